//! `sweep cell`: the runs behind a number of a table.

use std::str::FromStr;

use clap::Args;
use report::{CellRuns, Row, RunState};
use schema::{Dataset, Metric, RunId};
use serde::Serialize;
use serde_json::json;

use super::{
    Exit, Opened, Target,
    chosen::no_method,
    report::{by_class, folder_of, rows},
    show, show_json,
};

/// Show the runs behind a number of a table
///
/// Prints the mean, and the value and the folder of each run: one cell for each data set and combination of axis values.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep cell sweeps/quickstart.toml Contrastive map@r
  sweep cell sweeps/quickstart.toml 'Triplet, semi-hard' R@1 --json")]
pub(super) struct Cell {
    #[command(flatten)]
    target: Target,
    /// The name of a method, as the table has it
    method: String,
    /// A metric, as sweep files or the headings of tables have it
    #[arg(value_parser = Metric::from_str)]
    metric: Metric,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Cell {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let opened = self.target.open_results()?;
        opened.require_ids()?;
        let rows = rows(&opened.sweep, &opened.plan, &opened.ledger)?;
        opened.tell_damage()?;
        let by_class = by_class(&opened, &rows);
        let metrics = |dataset: &Dataset| opened.sweep.report.metrics(dataset);
        let cells = report::cells(
            &rows,
            &metrics,
            by_class.as_ref(),
            &self.method,
            self.metric,
        )
        .map_err(Exit::stuck)?;
        if cells.is_empty() {
            return Err(self.nothing(&rows, &metrics, &opened));
        }
        if self.json {
            let printed: Vec<PrintedCell> = cells.iter().map(PrintedCell::of).collect();
            return show_json(&json!({ "version": VERSION, "cells": printed }));
        }
        let texts: Vec<String> = cells.iter().map(|cell| self.text(cell, &opened)).collect();
        show(&texts.join("\n"))
    }

    /// What exists instead of a method or a metric that does not.
    fn nothing(
        &self,
        rows: &[Row],
        metrics: &dyn Fn(&Dataset) -> Vec<Metric>,
        opened: &Opened,
    ) -> Exit {
        let mut of_method = rows.iter().filter(|row| row.method == self.method);
        let Some(row) = of_method.next() else {
            return no_method(&self.method, opened);
        };
        let metrics = metrics(&row.dataset);
        let metrics: Vec<String> = metrics.iter().map(|metric| format!("`{metric}`")).collect();
        Exit::mistake(format!(
            "the sweep does not measure `{}`, only {}; add it to `report.metrics`, and `sweep run` measures it without \
             training again",
            self.metric,
            metrics.join(", ")
        ))
    }

    fn text(&self, cell: &CellRuns, opened: &Opened) -> String {
        let heading = self.metric.heading();
        let mean = match (cell.mean, cell.half_width) {
            (Some(mean), Some(half_width)) => {
                format!("{} ± {}", percent(mean), percent(half_width))
            }
            (Some(mean), None) => percent(mean),
            (None, _) => "no value".to_owned(),
        };
        let mut text = format!("{}, {heading}: {mean}\n", cell.title);
        for row in &cell.rows {
            let folder = folder_of(row.source(), &opened.ledger);
            text.push_str(&format!(
                "  {:<18} {:>8}  {}\n",
                repetition(row),
                outcome(row, self.metric),
                folder.path().display()
            ));
        }
        text
    }
}

/// `seed 2`, `seed 2, fold 0`.
fn repetition(row: &Row) -> String {
    match row.fold {
        Some(fold) => format!("seed {}, fold {}", row.seed, fold.index),
        None => format!("seed {}", row.seed),
    }
}

/// The value of a run in percent, or why there is none.
fn outcome(row: &Row, metric: Metric) -> String {
    match &row.state {
        RunState::Finished(evaluated) => match evaluated.scores.get(&metric) {
            Some(value) => percent(*value),
            None => "not measured".to_owned(),
        },
        RunState::Broken { how, .. } => how.word().to_owned(),
        RunState::Failed { .. } => "failed".to_owned(),
        RunState::Missing => "not run".to_owned(),
    }
}

fn percent(fraction: f64) -> String {
    format!("{:.2}", 100.0 * fraction)
}

/// Raised when a key of the JSON changes its meaning or disappears.
const VERSION: u32 = 1;

/// A cell as JSON; values are fractions.
#[derive(Serialize)]
struct PrintedCell<'a> {
    cell: &'a str,
    mean: Option<f64>,
    half_width: Option<f64>,
    runs: Vec<PrintedRun>,
}

#[derive(Serialize)]
struct PrintedRun {
    /// The run; the first of several, for an ensemble.
    run: RunId,
    ensemble: Option<String>,
    seed: u64,
    fold: Option<u32>,
    scores: Option<schema::Scores>,
}

impl<'a> PrintedCell<'a> {
    fn of(cell: &'a CellRuns) -> PrintedCell<'a> {
        PrintedCell {
            cell: &cell.title,
            mean: cell.mean,
            half_width: cell.half_width,
            runs: cell.rows.iter().map(|row| PrintedRun::of(row)).collect(),
        }
    }
}

impl PrintedRun {
    fn of(row: &Row) -> PrintedRun {
        let scores = match &row.state {
            RunState::Finished(evaluated) => Some(evaluated.scores.clone()),
            RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => None,
        };
        PrintedRun {
            run: row.run,
            ensemble: row.ensemble.map(|ensemble| ensemble.to_string()),
            seed: row.seed,
            fold: row.fold.map(|fold| fold.index),
            scores,
        }
    }
}
