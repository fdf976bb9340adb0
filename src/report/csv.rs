//! The table as CSV, one line for each method, for further computation.

use std::collections::BTreeSet;

use schema::Metric;

use crate::{
    ReportError, Table,
    table::{Block, Line},
};

impl Table {
    /// The table as CSV: fractions in full precision, empty where nothing was measured. `n` runs finished of
    /// `of`; `<metric>_ci95` is half the width of the confidence interval. It has the columns of all data sets.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let metrics = self.metrics();
        writer.write_record(self.csv_headings(&metrics))?;
        for block in &self.blocks {
            for line in &block.lines {
                writer.write_record(fields(block, line, &metrics))?;
            }
        }
        let bytes = writer.into_inner().map_err(|error| ::csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What is measured on any data set. Their own order stays, unless they differ.
    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.blocks.first().map(|block| block.metrics.clone()).unwrap_or_default();
        let all: BTreeSet<Metric> = self.blocks.iter().flat_map(|block| block.metrics.iter().copied()).collect();
        if all.len() > metrics.len() {
            metrics = all.into_iter().collect();
        }
        metrics
    }

    /// Whether a column says how the folds are taken together.
    fn has_folds(&self) -> bool {
        self.blocks.iter().any(|block| block.together.is_some())
    }

    fn csv_headings(&self, metrics: &[Metric]) -> Vec<String> {
        let mut headings = vec!["dataset".to_owned()];
        headings.extend(self.has_folds().then(|| "folds".to_owned()));
        headings.push("method".to_owned());
        headings.extend(self.axes.iter().cloned());
        headings.extend(["n".to_owned(), "of".to_owned()]);
        headings.extend(metrics.iter().flat_map(|metric| [metric.to_string(), format!("{metric}_ci95")]));
        headings
    }
}

fn fields(block: &Block, line: &Line, metrics: &[Metric]) -> Vec<String> {
    let mut fields = vec![block.dataset.clone()];
    fields.extend(block.together.map(|together| together.to_string()));
    fields.push(line.method.clone());
    fields.extend(line.settings.iter().cloned());
    fields.extend([line.finished.to_string(), line.of.to_string()]);
    for metric in metrics {
        let place = block.metrics.iter().position(|of_block| of_block == metric);
        let summary = place.and_then(|place| line.cells[place].summary());
        fields.push(number(summary.map(|summary| summary.mean)));
        fields.push(number(summary.and_then(|summary| summary.half_width)));
    }
    fields
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
