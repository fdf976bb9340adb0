//! The cells of a table one by one, each with all that says what it is: what formats for programs contain.

use schema::Metric;

use crate::{
    Table,
    key::Slice,
    model::{Cell, Line, Part, Value},
    published,
    significance::Significance,
};

/// One cell, and where it belongs.
pub(crate) struct FlatCell<'t> {
    pub(crate) shows: Slice,
    pub(crate) line: &'t Line,
    pub(crate) part: &'t Part,
    /// The position of its metric among those of the part.
    pub(crate) position: usize,
    pub(crate) metric: Metric,
    pub(crate) cell: &'t Cell,
}

impl Table {
    /// All cells, by blocks, rows and columns; published rows first.
    pub(crate) fn cells(&self) -> Vec<FlatCell<'_>> {
        let mut cells = Vec::new();
        for block in &self.blocks {
            for line in block.published.iter().chain(block.rows()) {
                let parts = block.groups.iter().zip(&line.parts);
                for (group, part) in parts.filter_map(|(group, part)| Some((group, part.as_ref()?)))
                {
                    let columns = group.metrics.iter().zip(&part.cells).enumerate();
                    cells.extend(columns.map(|(position, (&metric, cell))| FlatCell {
                        shows: group.shows,
                        line,
                        part,
                        position,
                        metric,
                        cell,
                    }));
                }
            }
        }
        cells
    }

    /// The title of the data set of a slice; empty if it has none.
    pub(crate) fn dataset_of(&self, shows: Slice) -> &str {
        shows
            .dataset
            .map_or("", |dataset| self.names.title(dataset))
    }
}

impl Cell {
    /// The value as a fraction in full precision, and half the width of its interval.
    pub(crate) fn numbers(&self) -> (Option<f64>, Option<f64>) {
        match &self.value {
            Value::Measured(summary) => (Some(summary.mean), summary.half_width),
            Value::Published(quoted) => (
                fraction(published::value(quoted)),
                fraction(published::half_width(quoted)),
            ),
            Value::Broken(_) | Value::Failed | Value::Missing => (None, None),
        }
    }

    /// What became of the runs, in one word.
    pub(crate) fn state(&self) -> &'static str {
        match &self.value {
            Value::Measured(_) => "measured",
            Value::Published(_) => "published",
            Value::Broken(how) => how.word(),
            Value::Failed => "failed",
            Value::Missing => "missing",
        }
    }

    /// How it compares with the best of its column, in one word; empty if it is not compared.
    pub(crate) fn standing(&self) -> &'static str {
        match self.significance {
            Some(Significance::Best) => "best",
            Some(Significance::Equal) => "equal",
            Some(Significance::NotDistinguishable) => "not_distinguishable",
            Some(Significance::Worse) => "worse",
            Some(Significance::TooFew) => "too_few",
            None => "",
        }
    }
}

/// A percentage with the digits that were printed, as a fraction: 53.6 is 0.536.
fn fraction(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| (percent * 1e6).round() / 1e8)
}
