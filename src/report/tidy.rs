//! CSV with a line for each observation: the cells of a table, and the results behind them.

use std::collections::BTreeSet;

use schema::Metric;

use crate::{
    ReportError, Row, RunState, Table, Titles,
    csv::{optional, text},
    text::field,
};

impl Table {
    /// Returns a CSV file with a line for each cell: fractions in full precision, empty where nothing was
    /// measured. `state` is `measured`, `published`, `diverged`, `collapsed`, `dead`, `failed` or `missing`;
    /// the other columns are those of [`Table::csv`].
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn tidy(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let mut headings = ["dataset", "folds", "method"].map(str::to_owned).to_vec();
        headings.extend(self.axes.iter().map(|axis| field(axis)));
        let measured = [
            "metric", "value", "ci95", "n", "of", "state", "standing", "lowest", "highest",
        ];
        headings.extend(measured.map(str::to_owned));
        writer.write_record(headings)?;
        for flat in self.cells() {
            let together = flat.shows.together;
            let mut fields = vec![
                field(self.dataset_of(flat.shows)),
                together.map_or_else(String::new, |together| together.to_string()),
                field(&flat.line.method),
            ];
            fields.extend(flat.line.settings.iter().map(|setting| field(setting)));
            let (value, half_width) = flat.cell.numbers();
            fields.extend([
                flat.metric.to_string(),
                optional(value),
                optional(half_width),
                flat.cell.runs.to_string(),
                flat.cell.of.to_string(),
                flat.cell.state().to_owned(),
                flat.cell.standing().to_owned(),
                optional(flat.cell.ties.map(|bounds| bounds.low)),
                optional(flat.cell.ties.map(|bounds| bounds.high)),
            ]);
            writer.write_record(fields)?;
        }
        text(writer)
    }
}

/// Returns all results of a sweep as CSV: a line for each run, under each seed and fold that it serves, and a
/// column for each axis and each metric that any run measured. Values are fractions, empty where a run has
/// none.
///
/// # Errors
/// If the text cannot be written.
pub fn results(rows: &[Row]) -> Result<String, ReportError> {
    let titles = Titles::of(rows.iter().map(|row| &row.dataset));
    let mut axes: Vec<&str> = Vec::new();
    for setting in rows.iter().flat_map(|row| &row.settings) {
        if !axes.contains(&setting.axis.as_str()) {
            axes.push(&setting.axis);
        }
    }
    let metrics: BTreeSet<Metric> = rows.iter().flat_map(measured).collect();
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut headings: Vec<String> = ["dataset", "folds", "method", "is_baseline"]
        .map(str::to_owned)
        .to_vec();
    headings.extend(axes.iter().map(|axis| field(axis)));
    headings.extend(["seed", "fold", "run", "state"].map(str::to_owned));
    headings.extend(metrics.iter().map(Metric::to_string));
    writer.write_record(headings)?;
    for row in rows {
        let mut fields = vec![
            field(titles.title(&row.dataset)),
            row.together
                .map_or_else(String::new, |together| together.to_string()),
            field(&row.method),
            row.is_baseline.to_string(),
        ];
        let settings = axes
            .iter()
            .map(|axis| row.setting(axis).unwrap_or_default());
        fields.extend(settings.map(field));
        fields.extend([
            row.seed.to_string(),
            row.fold
                .map_or_else(String::new, |fold| fold.index.to_string()),
            row.run.to_string(),
            row.state.word().to_owned(),
        ]);
        fields.extend(metrics.iter().map(|metric| optional(row.measured(*metric))));
        writer.write_record(fields)?;
    }
    text(writer)
}

/// The metrics that a run measured.
fn measured(row: &Row) -> Vec<Metric> {
    match &row.state {
        RunState::Finished(evaluated) => evaluated.scores.keys().copied().collect(),
        RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => Vec::new(),
    }
}
