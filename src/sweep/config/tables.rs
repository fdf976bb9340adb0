//! `[report]`: which tables a sweep leads to, what they show, and what they are compared with.

use std::{borrow::Cow, fmt, path::PathBuf};

use report::{Compare, Format, Layout, Sort};
use schema::{Dataset, Metric};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema_of};
use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor, value::StrDeserializer},
};

/// `[report]`: what the tables show.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportTable {
    /// The columns of `data_sets`; if they are not given, those usual for each data set.
    pub metrics: Option<Vec<Metric>>,
    /// One layout or several; the first is that of `table.md`.
    pub layout: Layouts,
    /// The name of the method that all others are compared with; absent: the best of each column.
    pub baseline: Option<String>,
    /// What ± and the tests of differences answer for: other seeds on other test classes, or on these.
    pub interval: IntervalKind,
    /// The largest difference that does not matter, in percentage points: rows are then said to be equal to
    /// the best within it, better, or undecided. Absent: nothing is said to be equal.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 100))]
    pub equal_within: Option<f64>,
    /// Which rows are compared with each other: `"rows"`, all of a column; `"methods"`, those with the same
    /// values of the axes; or an axis, whose values are compared within each method. Without it: the axis of
    /// `pivot`, or else all rows.
    pub compare: Option<Compared>,
    /// An axis: the primary metric is also shown over its values, with a row for each method.
    pub pivot: Option<String>,
    /// The order of the rows: that of the file, or the best first.
    pub sort: Sort,
    /// Rows quoted from publications, above those that are run.
    pub published: Quoted,
    /// Refuses tables whose runs were computed by different models of CPU or GPU.
    pub homogeneous: bool,
    /// The formats of the tables, each a file; `csv` is always written. Absent: `markdown`, `csv` and `html`.
    pub formats: Option<Vec<Format>>,
}

/// `compare = "methods"`, or the name of an axis.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Compared(pub Compare);

impl std::convert::From<String> for Compared {
    fn from(name: String) -> Compared {
        Compared(match &name[..] {
            "rows" => Compare::Rows,
            "methods" => Compare::Methods,
            _ => Compare::Axis(name),
        })
    }
}

impl JsonSchema for Compared {
    fn schema_name() -> Cow<'static, str> {
        "Compared".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "type": "string", "minLength": 1 })
    }
}

/// What an interval covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalKind {
    /// Other seeds and other test classes, where the values of each query are known.
    #[default]
    TwoWay,
    /// Other seeds on these classes.
    Seeds,
}

/// `layout = "benchmark"`, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layouts(pub Vec<Layout>);

/// Which published rows a table shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Quoted {
    /// None.
    #[default]
    Nothing,
    /// Those that come with the program: [`report::published::BUILT_IN`].
    BuiltIn,
    /// Those of this file, beside the sweep file; see [`report::published`].
    File(PathBuf),
}

impl ReportTable {
    /// What is measured on a data set: the columns of all its tables.
    pub fn metrics(&self, dataset: &Dataset) -> Vec<Metric> {
        let mut metrics = self.usual(dataset);
        for metric in self
            .layout
            .0
            .iter()
            .flat_map(|layout| layout.metrics(dataset.recall_at()))
            .flatten()
        {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        metrics
    }

    /// The formats in which tables are written.
    pub fn formats(&self) -> Vec<Format> {
        let usual = || vec![Format::Markdown, Format::Csv, Format::Html];
        self.formats.clone().unwrap_or_else(usual)
    }

    /// The largest difference that does not matter, as a fraction.
    pub fn equal_within(&self) -> Option<f64> {
        self.equal_within.map(|points| points / 100.0)
    }

    /// Which rows are compared with each other.
    pub fn compare(&self) -> Compare {
        match (&self.compare, &self.pivot) {
            (Some(compared), _) => compared.0.clone(),
            (None, Some(axis)) => Compare::Axis(axis.clone()),
            (None, None) => Compare::Rows,
        }
    }

    /// The columns of a table in this layout.
    pub fn columns(&self, layout: Layout, dataset: &Dataset) -> Vec<Metric> {
        layout
            .metrics(dataset.recall_at())
            .unwrap_or_else(|| self.usual(dataset))
    }

    fn usual(&self, dataset: &Dataset) -> Vec<Metric> {
        let usual = || {
            let recall = dataset.recall_at().iter().copied().map(Metric::RecallAt);
            recall
                .chain([Metric::PrecisionAt1, Metric::RPrecision, Metric::MapAtR])
                .collect()
        };
        self.metrics.clone().unwrap_or_else(usual)
    }
}

impl Default for Layouts {
    fn default() -> Self {
        Layouts(vec![Layout::default()])
    }
}

impl<'de> Deserialize<'de> for Layouts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LayoutsVisitor)
    }
}

struct LayoutsVisitor;

impl<'de> Visitor<'de> for LayoutsVisitor {
    type Value = Layouts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a layout or a list of layouts")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Layouts, E> {
        Ok(Layouts(vec![Layout::deserialize(StrDeserializer::new(
            name,
        ))?]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Layouts, A::Error> {
        let mut layouts = Vec::new();
        while let Some(layout) = sequence.next_element()? {
            layouts.push(layout);
        }
        Ok(Layouts(layouts))
    }
}

impl<'de> Deserialize<'de> for Quoted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuotedVisitor)
    }
}

struct QuotedVisitor;

impl Visitor<'_> for QuotedVisitor {
    type Value = Quoted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true, false or the path of a CSV file")
    }

    fn visit_bool<E: Error>(self, shown: bool) -> Result<Quoted, E> {
        Ok(if shown {
            Quoted::BuiltIn
        } else {
            Quoted::Nothing
        })
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Quoted, E> {
        Ok(Quoted::File(path.into()))
    }
}

impl JsonSchema for Layouts {
    fn schema_name() -> Cow<'static, str> {
        "Layouts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<report::Layout>();
        schema_of!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "uniqueItems": true }] })
    }
}

impl JsonSchema for Quoted {
    fn schema_name() -> Cow<'static, str> {
        "Quoted".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "anyOf": [{ "type": "boolean" }, { "type": "string" }] })
    }
}
