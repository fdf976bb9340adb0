//! The metrics, measured on test classes: names, order and headings.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// A retrieval metric, a fraction between 0 and 1; higher is better.
///
/// Every test image is a query against all the others; itself is excluded by its index. With R the
/// number of other images of its class, the definitions are those of "A Metric Learning Reality Check"
/// (ECCV 2020), section 3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Share of queries with an image of their class among the K nearest.
    RecallAt(u32),
    /// Share of queries whose nearest image is of their class. Equal to Recall@1.
    PrecisionAt1,
    /// Share of the R nearest images that are of the query's class.
    RPrecision,
    /// Mean average precision over the R nearest images.
    MapAtR,
    /// Mean average precision over all images.
    Map,
    /// Mean of one divided by the rank of the nearest image of the class.
    Mrr,
    /// Mutual information of classes and k-means clusters, normalized by the arithmetic mean of their entropies.
    Nmi,
    /// The same, adjusted for chance.
    Ami,
    /// F1 of pairs of images: those in one cluster that are of one class.
    F1,
    /// Precision@1 averaged within each class first: every class counts the same, however many images it has.
    MacroPrecisionAt1,
    /// MAP@R averaged within each class first.
    MacroMapAtR,
    /// Verification: the share of pairs of one class that a threshold accepts which accepts one in 10 to the power of this
    /// of the other pairs, at most.
    TarAtFar(u8),
    /// Verification: 1 minus the equal-error rate, where a threshold rejects as large a share of the pairs of one class as it
    /// accepts of the others.
    EqualErrorAccuracy,
    /// Hierarchical average precision: images that share a category with the query are partly right.
    HierarchicalAp,
    /// Normalized discounted cumulative gain over the levels of categories.
    Ndcg,
    /// Precision@1 averaged within each category first.
    CategoryPrecisionAt1,
    /// MAP@R averaged within each category first.
    CategoryMapAtR,
}

/// All metrics but Recall@K and TAR at a false accept rate.
const NAMED: [Metric; 15] = [
    Metric::PrecisionAt1,
    Metric::RPrecision,
    Metric::MapAtR,
    Metric::Map,
    Metric::Mrr,
    Metric::Nmi,
    Metric::Ami,
    Metric::F1,
    Metric::MacroPrecisionAt1,
    Metric::MacroMapAtR,
    Metric::EqualErrorAccuracy,
    Metric::HierarchicalAp,
    Metric::Ndcg,
    Metric::CategoryPrecisionAt1,
    Metric::CategoryMapAtR,
];

/// The smallest false accept rate is 10 to the power of minus this.
const SMALLEST_FAR: u8 = 9;

/// The largest error of a value that is due to rounding.
const ROUNDING: f64 = 1e-6;

/// The values of some metrics, in the order of a table's columns.
pub type Scores = BTreeMap<Metric, f64>;

impl Metric {
    /// True if it compares clusters with classes, which takes longer than retrieval.
    pub fn is_of_clusters(self) -> bool {
        matches!(self, Metric::Nmi | Metric::Ami | Metric::F1)
    }

    /// True if it compares pairs of images instead of ranks, which takes about as long again.
    pub fn is_of_pairs(self) -> bool {
        matches!(self, Metric::TarAtFar(_) | Metric::EqualErrorAccuracy)
    }

    /// True if it ranks all images that share a category with the query, which takes longer still.
    pub fn is_of_levels(self) -> bool {
        matches!(self, Metric::HierarchicalAp | Metric::Ndcg)
    }

    /// True if it can have this value: a fraction, up to rounding. AMI is negative for clusters that
    /// are worse than chance.
    pub fn allows(self, value: f64) -> bool {
        let least = if self == Metric::Ami {
            f64::MIN
        } else {
            -ROUNDING
        };
        (least..=1.0 + ROUNDING).contains(&value)
    }

    /// Returns the heading of its column.
    pub fn heading(self) -> String {
        let Written {
            heading, number, ..
        } = self.written();
        match number {
            Some(number) => format!("{heading}{number}"),
            None => heading.to_owned(),
        }
    }

    fn written(self) -> Written {
        let (name, heading, number) = match self {
            Metric::RecallAt(k) => ("recall@", "R@", Some(k)),
            Metric::PrecisionAt1 => ("precision@1", "P@1", None),
            Metric::RPrecision => ("r_precision", "RP", None),
            Metric::MapAtR => ("map@r", "MAP@R", None),
            Metric::Map => ("map", "mAP", None),
            Metric::Mrr => ("mrr", "MRR", None),
            Metric::Nmi => ("nmi", "NMI", None),
            Metric::Ami => ("ami", "AMI", None),
            Metric::F1 => ("f1", "F1", None),
            Metric::MacroPrecisionAt1 => ("macro_precision@1", "Macro P@1", None),
            Metric::MacroMapAtR => ("macro_map@r", "Macro MAP@R", None),
            Metric::TarAtFar(exponent) => ("tar@1e-", "TAR@1e-", Some(exponent.into())),
            Metric::EqualErrorAccuracy => ("1-eer", "1-EER", None),
            Metric::HierarchicalAp => ("h_ap", "H-AP", None),
            Metric::Ndcg => ("ndcg", "NDCG", None),
            Metric::CategoryPrecisionAt1 => ("category_precision@1", "Category P@1", None),
            Metric::CategoryMapAtR => ("category_map@r", "Category MAP@R", None),
        };
        Written {
            name,
            heading,
            number,
        }
    }
}

/// How a metric is written.
struct Written {
    name: &'static str,
    heading: &'static str,
    /// What follows either of them.
    number: Option<u32>,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { name, number, .. } = self.written();
        f.write_str(name)?;
        number.map_or(Ok(()), |number| write!(f, "{number}"))
    }
}

/// The error for a name that is no metric.
#[derive(Debug)]
pub struct ParseMetricError(String);

impl fmt::Display for ParseMetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown metric `{}`, expected `recall@K`, `tar@1e-3` or one of {}",
            self.0,
            NAMED.map(|metric| format!("`{metric}`")).join(", ")
        )
    }
}

impl std::error::Error for ParseMetricError {}

/// Returns the exponent of a false accept rate, written as `1e-3` or `0.001`.
fn exponent(rate: &str) -> Option<u8> {
    let rate: f64 = rate.parse().ok()?;
    (1..=SMALLEST_FAR).find(|&exponent| {
        let power = 10_f64.powi(-i32::from(exponent));
        (rate - power).abs() < 1e-6 * power
    })
}

impl FromStr for Metric {
    type Err = ParseMetricError;

    /// Reads a name, or the heading of a column, in small or in large letters.
    fn from_str(text: &str) -> Result<Self, ParseMetricError> {
        let written = text.trim();
        let is_named = |metric: &Metric| {
            let Written { name, heading, .. } = metric.written();
            written.eq_ignore_ascii_case(name) || written.eq_ignore_ascii_case(heading)
        };
        let recall = || {
            let k = after("recall@", written).or_else(|| after("r@", written))?;
            k.parse().ok().filter(|&k| k > 0).map(Metric::RecallAt)
        };
        let tar = || {
            after("tar@", written)
                .and_then(exponent)
                .map(Metric::TarAtFar)
        };
        NAMED
            .into_iter()
            .find(is_named)
            .or_else(recall)
            .or_else(tar)
            .ok_or_else(|| ParseMetricError(text.to_owned()))
    }
}

/// Returns what follows a beginning, in small or in large letters.
fn after<'t>(beginning: &str, text: &'t str) -> Option<&'t str> {
    let (begins, rest) = text.split_at_checked(beginning.len())?;
    begins.eq_ignore_ascii_case(beginning).then_some(rest)
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name)
    }
}

/// Reads a metric from its name, without a copy of it.
struct Name;

impl Visitor<'_> for Name {
    type Value = Metric;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Metric, E> {
        name.parse().map_err(E::custom)
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A retrieval metric: `recall@K` for any K, `tar@1e-3` for a false accept rate of a power of ten, or one of those named.",
            "anyOf": [
                { "type": "string", "enum": NAMED.map(|metric| metric.to_string()) },
                { "type": "string", "enum": NAMED.map(Metric::heading) },
                { "type": "string", "pattern": "^(recall|R)@[1-9][0-9]*$" },
                { "type": "string", "pattern": "^(tar|TAR)@1e-[1-9]$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, NAMED, SMALLEST_FAR};

    #[test]
    fn names_are_read_as_they_are_written() {
        for metric in NAMED
            .into_iter()
            .chain([Metric::RecallAt(1), Metric::RecallAt(1000)])
            .chain([Metric::TarAtFar(1), Metric::TarAtFar(SMALLEST_FAR)])
        {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
            assert_eq!(metric.heading().parse::<Metric>().unwrap(), metric);
            let large = format!(" {} ", metric.to_string().to_uppercase());
            assert_eq!(large.parse::<Metric>().unwrap(), metric);
        }
        for wrong in [
            "recall@0",
            "recall@",
            "recall@-1",
            "R@",
            "MAP@K",
            "recall 1",
            "tar@0",
            "tar@1",
            "tar@2e-3",
            "tar@1e-10",
            "",
        ] {
            assert!(wrong.parse::<Metric>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_false_accept_rate_is_read_in_either_notation() {
        for text in ["tar@1e-3", "TAR@0.001", "Tar@1E-03"] {
            assert_eq!(text.parse::<Metric>().unwrap(), Metric::TarAtFar(3));
        }
    }

    #[test]
    fn values_outside_of_a_metric_are_told_from_rounded_ones() {
        for value in [0.0, -0.0, 0.5, 1.0, 1.0 + 1e-9] {
            assert!(Metric::MapAtR.allows(value), "{value}");
        }
        for value in [
            -5.0,
            1.01,
            1e300,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ] {
            assert!(
                NAMED
                    .into_iter()
                    .all(|metric| metric == Metric::Ami || !metric.allows(value))
            );
        }
        assert!(Metric::Ami.allows(-0.2) && !Metric::Ami.allows(f64::NEG_INFINITY));
    }
}
