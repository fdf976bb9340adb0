//! The table as JSON: its cells with the runs behind them, and its claims and notes.

use schema::RunId;
use serde::Serialize;

use crate::{ReportError, Table, flat::FlatCell, legend::Marks, model::RunResult};

/// The version of the format. It rises when a key changes its meaning or is removed.
const VERSION: u32 = 1;

/// The marks of a standing.
const IN_JSON: Marks = Marks {
    best: "best",
    equal: "equal",
    open: "not_distinguishable",
    tie: "lowest, highest",
};

#[derive(Serialize)]
struct TableJson<'t> {
    version: u32,
    sweep: &'t str,
    command: &'t str,
    /// What numbers and marks mean.
    legend: String,
    axes: &'t [String],
    cells: Vec<CellJson<'t>>,
    claims: Vec<String>,
    footnotes: &'t [String],
    not_run_yet: Option<&'t str>,
    fairness: &'t [String],
    facts: &'t [String],
    published: &'t [String],
}

/// Values are fractions.
#[derive(Serialize)]
struct CellJson<'t> {
    dataset: &'t str,
    folds: Option<String>,
    method: &'t str,
    /// In the order of `axes`; empty where an axis does not apply.
    settings: &'t [String],
    metric: String,
    state: &'static str,
    value: Option<f64>,
    ci95: Option<f64>,
    standing: Option<&'static str>,
    n: usize,
    of: usize,
    lowest: Option<f64>,
    highest: Option<f64>,
    /// The number of the footnote on its failures, from 1.
    footnote: Option<usize>,
    runs: Vec<RunJson>,
}

#[derive(Serialize)]
struct RunJson {
    run: RunId,
    seed: u64,
    fold: Option<u32>,
    state: &'static str,
    value: Option<f64>,
}

impl Table {
    /// Returns the table as JSON. Its `version` rises when a key changes its meaning or is removed.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn json(&self) -> Result<String, ReportError> {
        let cells = self.cells();
        let table = TableJson {
            version: VERSION,
            sweep: &self.caption.sweep,
            command: &self.caption.command,
            legend: self.legend(&IN_JSON),
            axes: &self.axes,
            cells: cells.iter().map(|flat| self.cell_json(flat)).collect(),
            claims: self.claims_in_words(),
            footnotes: &self.footnotes,
            not_run_yet: self.to_come.as_deref(),
            fairness: &self.caption.fairness,
            facts: &self.caption.lines,
            published: &self.sources,
        };
        Ok(serde_json::to_string_pretty(&table)? + "\n")
    }

    fn cell_json<'t>(&'t self, flat: &FlatCell<'t>) -> CellJson<'t> {
        let (value, ci95) = flat.cell.numbers();
        let standing = flat.cell.standing();
        let runs = flat.part.results.iter();
        CellJson {
            dataset: self.dataset_of(flat.shows),
            folds: flat.shows.together.map(|together| together.to_string()),
            method: &flat.line.method,
            settings: &flat.line.settings,
            metric: flat.metric.to_string(),
            state: flat.cell.state(),
            value,
            ci95,
            standing: (!standing.is_empty()).then_some(standing),
            n: flat.cell.runs,
            of: flat.cell.of,
            lowest: flat.cell.ties.map(|bounds| bounds.low),
            highest: flat.cell.ties.map(|bounds| bounds.high),
            footnote: flat.part.footnote,
            runs: runs.map(|result| run_json(result, flat.position)).collect(),
        }
    }
}

fn run_json(result: &RunResult, metric: usize) -> RunJson {
    RunJson {
        run: result.run,
        seed: result.seed,
        fold: result.fold.map(|fold| fold.index),
        state: result.state,
        value: result.values.get(metric).copied().flatten(),
    }
}
