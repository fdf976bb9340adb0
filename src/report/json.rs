//! The table as JSON: its cells with the runs behind them, and its claims and notes.

use schema::RunId;
use serde::Serialize;

use crate::{
    ReportError, Table,
    flat::FlatCell,
    legend::Marks,
    model::{Cell, Pivot, PivotLine, RunResult},
};

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
    /// Empty unless the sweep asks for a pivot.
    pivots: Vec<PivotJson<'t>>,
    claims: Vec<String>,
    footnotes: &'t [String],
    not_run_yet: Option<&'t str>,
    fairness: &'t [String],
    same_functions: &'t [String],
    facts: &'t [String],
    published: &'t [String],
}

/// Values are fractions.
#[derive(Serialize)]
struct CellJson<'t> {
    dataset: &'t str,
    folds: Option<String>,
    method: &'t str,
    /// Which head of its network, measured alone; absent for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'t str>,
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

/// One metric over the values of one axis.
#[derive(Serialize)]
struct PivotJson<'t> {
    dataset: &'t str,
    folds: Option<String>,
    metric: String,
    axis: &'t str,
    values: &'t [String],
    /// The other axes.
    others: &'t [String],
    rows: Vec<PivotRowJson<'t>>,
}

#[derive(Serialize)]
struct PivotRowJson<'t> {
    method: &'t str,
    /// In the order of `others`; empty where an axis does not apply.
    settings: &'t [String],
    /// In the order of `values`; null where there was nothing to run.
    cells: Vec<Option<PivotCellJson>>,
}

#[derive(Serialize)]
struct PivotCellJson {
    state: &'static str,
    value: Option<f64>,
    ci95: Option<f64>,
    standing: Option<&'static str>,
    n: usize,
    of: usize,
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
        Ok(serde_json::to_string_pretty(&self.object())? + "\n")
    }

    /// Returns the object that [`json`](Self::json) writes.
    pub fn object(&self) -> impl Serialize + '_ {
        let cells = self.cells();
        TableJson {
            version: VERSION,
            sweep: &self.caption.sweep,
            command: &self.caption.command,
            legend: self.legend(&IN_JSON),
            axes: &self.axes,
            cells: cells.iter().map(|flat| self.cell_json(flat)).collect(),
            pivots: self
                .pivots
                .iter()
                .map(|pivot| self.pivot_json(pivot))
                .collect(),
            claims: self.claims_in_words(),
            footnotes: &self.footnotes,
            not_run_yet: self.to_come.as_deref(),
            fairness: &self.caption.fairness,
            same_functions: &self.caption.same,
            facts: &self.caption.lines,
            published: &self.sources,
        }
    }

    fn cell_json<'t>(&'t self, flat: &FlatCell<'t>) -> CellJson<'t> {
        let (value, ci95) = flat.cell.numbers();
        let runs = flat.part.results.iter();
        CellJson {
            dataset: self.dataset_of(flat.shows),
            folds: flat.shows.together.map(|together| together.to_string()),
            method: &flat.line.method,
            head: flat.line.head.as_deref(),
            settings: &flat.line.settings,
            metric: flat.metric.to_string(),
            state: flat.cell.state(),
            value,
            ci95,
            standing: standing(flat.cell),
            n: flat.cell.runs,
            of: flat.cell.of,
            lowest: flat.cell.ties.map(|bounds| bounds.low),
            highest: flat.cell.ties.map(|bounds| bounds.high),
            footnote: flat.part.footnote,
            runs: runs.map(|result| run_json(result, flat.position)).collect(),
        }
    }

    fn pivot_json<'t>(&'t self, pivot: &'t Pivot) -> PivotJson<'t> {
        PivotJson {
            dataset: self.names.title(pivot.panel.dataset),
            folds: pivot.panel.together.map(|together| together.to_string()),
            metric: pivot.metric.to_string(),
            axis: &pivot.axis,
            values: &pivot.values,
            others: &pivot.others,
            rows: pivot.lines.iter().map(pivot_row_json).collect(),
        }
    }
}

/// The standing of a cell, if it has any.
fn standing(cell: &Cell) -> Option<&'static str> {
    Some(cell.standing()).filter(|standing| !standing.is_empty())
}

fn pivot_row_json(line: &PivotLine) -> PivotRowJson<'_> {
    let cells = line.cells.iter().map(Option::as_ref);
    PivotRowJson {
        method: &line.method,
        settings: &line.settings,
        cells: cells.map(|cell| cell.map(pivot_cell_json)).collect(),
    }
}

fn pivot_cell_json(cell: &Cell) -> PivotCellJson {
    let (value, ci95) = cell.numbers();
    PivotCellJson {
        state: cell.state(),
        value,
        ci95,
        standing: standing(cell),
        n: cell.runs,
        of: cell.of,
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
