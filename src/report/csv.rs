//! The table as CSV, one line for each method, for further computation.

use crate::{ReportError, Table, table::Line};

impl Table {
    /// The table as CSV: fractions in full precision, empty where nothing was measured. `n` runs finished of
    /// `of`; `<metric>_ci95` is half the width of the confidence interval.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(self.csv_headings())?;
        for block in &self.blocks {
            for line in &block.lines {
                writer.write_record(fields(&block.dataset, line))?;
            }
        }
        let bytes = writer.into_inner().map_err(|error| ::csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn csv_headings(&self) -> Vec<String> {
        let mut headings = vec!["dataset".to_owned(), "method".to_owned()];
        headings.extend(self.axes.iter().cloned());
        headings.extend(["n".to_owned(), "of".to_owned()]);
        headings.extend(self.metrics.iter().flat_map(|metric| [metric.to_string(), format!("{metric}_ci95")]));
        headings
    }
}

fn fields(dataset: &str, line: &Line) -> Vec<String> {
    let mut fields = vec![dataset.to_owned(), line.method.clone()];
    fields.extend(line.settings.iter().cloned());
    fields.extend([line.finished.to_string(), line.of.to_string()]);
    for cell in &line.cells {
        let summary = cell.summary();
        fields.push(number(summary.map(|summary| summary.mean)));
        fields.push(number(summary.and_then(|summary| summary.half_width)));
    }
    fields
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
