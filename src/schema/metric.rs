//! The metrics, measured on test classes: names, order and headings.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

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
}

/// All metrics but Recall@K.
const NAMED: [Metric; 10] = [
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
];

/// The largest error of a value that is due to rounding.
const ROUNDING: f64 = 1e-6;

/// The values of some metrics, in the order of a table's columns.
pub type Scores = BTreeMap<Metric, f64>;

impl Metric {
    /// True if it compares clusters with classes, which takes longer than retrieval.
    pub fn is_of_clusters(self) -> bool {
        matches!(self, Metric::Nmi | Metric::Ami | Metric::F1)
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
        match self {
            Metric::RecallAt(k) => format!("R@{k}"),
            Metric::PrecisionAt1 => "P@1".to_owned(),
            Metric::RPrecision => "RP".to_owned(),
            Metric::MapAtR => "MAP@R".to_owned(),
            Metric::Map => "mAP".to_owned(),
            Metric::Mrr => "MRR".to_owned(),
            Metric::Nmi => "NMI".to_owned(),
            Metric::Ami => "AMI".to_owned(),
            Metric::F1 => "F1".to_owned(),
            Metric::MacroPrecisionAt1 => "Macro P@1".to_owned(),
            Metric::MacroMapAtR => "Macro MAP@R".to_owned(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Metric::RecallAt(k) => write!(f, "recall@{k}"),
            Metric::PrecisionAt1 => f.write_str("precision@1"),
            Metric::RPrecision => f.write_str("r_precision"),
            Metric::MapAtR => f.write_str("map@r"),
            Metric::Map => f.write_str("map"),
            Metric::Mrr => f.write_str("mrr"),
            Metric::Nmi => f.write_str("nmi"),
            Metric::Ami => f.write_str("ami"),
            Metric::F1 => f.write_str("f1"),
            Metric::MacroPrecisionAt1 => f.write_str("macro_precision@1"),
            Metric::MacroMapAtR => f.write_str("macro_map@r"),
        }
    }
}

/// The error for a name that is no metric.
#[derive(Debug)]
pub struct ParseMetricError(String);

impl fmt::Display for ParseMetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown metric `{}`, expected `recall@K` or one of {}",
            self.0,
            NAMED.map(|metric| format!("`{metric}`")).join(", ")
        )
    }
}

impl std::error::Error for ParseMetricError {}

impl FromStr for Metric {
    type Err = ParseMetricError;

    /// Reads a name, or the heading of a column, in small or in large letters.
    fn from_str(text: &str) -> Result<Self, ParseMetricError> {
        let name = text.trim().to_lowercase();
        let is_named =
            |metric: &Metric| metric.to_string() == name || metric.heading().to_lowercase() == name;
        let recall = || {
            let k = name
                .strip_prefix("recall@")
                .or_else(|| name.strip_prefix("r@"))?;
            k.parse().ok().filter(|&k| k > 0).map(Metric::RecallAt)
        };
        NAMED
            .into_iter()
            .find(is_named)
            .or_else(recall)
            .ok_or_else(|| ParseMetricError(text.to_owned()))
    }
}

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A retrieval metric: `recall@K` for any K, or one of those named.",
            "anyOf": [
                { "type": "string", "enum": NAMED.map(|metric| metric.to_string()) },
                { "type": "string", "enum": NAMED.map(Metric::heading) },
                { "type": "string", "pattern": "^(recall|R)@[1-9][0-9]*$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Metric, NAMED};

    #[test]
    fn names_are_read_as_they_are_written() {
        for metric in NAMED
            .into_iter()
            .chain([Metric::RecallAt(1), Metric::RecallAt(1000)])
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
            "",
        ] {
            assert!(wrong.parse::<Metric>().is_err(), "{wrong}");
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
