//! Assembles the view of a table from the rows of a sweep.

use polars::prelude::PolarsError;
use schema::{Dataset, Metric};
use serde::Deserialize;

use crate::{
    Caption, ClassScores, Compare, Layout, Published, Row,
    claims::claims,
    comparison::{Against, Comparisons},
    footnotes,
    gather::{RowRuns, primary},
    heads,
    key::CellIndex,
    layout::{self, Placed},
    measured::MeasuredRows,
    model::{Block, Cell, Part, RunResult, Table, Value},
    pivot,
    published::Quotes,
    significance::{Verdicts, significance},
    ties,
};

/// Why a table could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The aggregation failed.
    #[error("failed to aggregate the records")]
    Aggregation(#[from] PolarsError),
    /// The CSV text could not be written.
    #[error("failed to write the table as CSV")]
    Csv(#[from] ::csv::Error),
    /// The Parquet file could not be written.
    #[error("failed to write the results as Parquet")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// The JSON text could not be written.
    #[error("failed to write the table as JSON")]
    Json(#[from] serde_json::Error),
}

/// The order of the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// That of the sweep file.
    #[default]
    File,
    /// By the primary metric of the first group of columns, the best first.
    Score,
}

/// What a table shows, and how.
pub struct Description<'a> {
    /// The layout.
    pub layout: Layout,
    /// The metrics of each data set.
    pub metrics: &'a dyn Fn(&Dataset) -> Vec<Metric>,
    /// Rows to quote above those that were run here.
    pub published: &'a [Published],
    /// The scores of each class, for intervals over seeds and classes; without them, over seeds.
    pub by_class: Option<&'a ClassScores>,
    /// The largest difference that does not matter, as a fraction: rows are then marked as equal to the
    /// best, or not.
    pub equal_within: Option<f64>,
    /// Which rows are compared with each other.
    pub compare: &'a Compare,
    /// An axis to show the primary metric over.
    pub pivot: Option<&'a str>,
    /// The order of the rows.
    pub sort: Sort,
    /// The text around the table.
    pub caption: &'a Caption,
}

/// Compares the runs of a sweep.
///
/// Data sets, methods and values of further axes are in the order in which they first appear in
/// `rows`; apart from that, the order of the rows does not matter. Several rows of one line about the
/// same run count once.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should cause.
pub fn table(rows: &[Row], description: &Description<'_>) -> Result<Table, ReportError> {
    let measured = MeasuredRows::of(
        rows,
        description.metrics,
        description.by_class,
        description.compare,
    )?;
    let comparisons = Comparisons::of(&measured, Against::Best, description.equal_within);
    let significance = significance(&measured, &comparisons);
    let footnotes = footnotes::failures(&measured);
    let mut placed = Vec::with_capacity(measured.lines.len());
    for (line, runs) in measured.lines.iter().enumerate() {
        let footnote = footnotes.iter().position(|footnote| footnote.line == line);
        let mut part = part(&measured, &significance, line);
        part.footnote = footnote.map(|position| position + 1);
        let heads = heads::parts(runs, &part)?;
        placed.push(Placed { runs, part, heads });
    }
    let quotes = Quotes::of(description.published, &measured.names);
    let mut blocks = layout::blocks(description.layout, &measured.names, &placed);
    let axes = measured.names.axes();
    for block in &mut blocks {
        block.published = quotes.lines(block, axes.len());
        match description.sort {
            Sort::File => {}
            Sort::Score => by_score(block),
        }
    }
    let mut pivots = match description.pivot {
        Some(axis) => pivot::pivots(&measured.names, &placed, axis),
        None => Vec::new(),
    };
    match description.sort {
        Sort::File => {}
        Sort::Score => pivots.iter_mut().for_each(pivot::by_score),
    }
    Ok(Table {
        caption: description.caption.clone(),
        claims: claims(
            &measured,
            &comparisons,
            &significance,
            description.equal_within,
        ),
        compare: description.compare.clone(),
        equal_within: description.equal_within,
        ties: ties::notes(&measured),
        sources: quotes.sources(&blocks),
        to_come: footnotes::to_come(&measured),
        footnotes: footnotes.into_iter().map(|note| note.text).collect(),
        axes,
        blocks,
        pivots,
        names: measured.names,
    })
}

/// Sorts the lines by the primary metric of the first group, those without a value last.
fn by_score(block: &mut Block) {
    let metrics = block.groups.first().map(|group| &group.metrics);
    let Some(metric) = metrics.and_then(|metrics| primary(metrics)) else {
        return;
    };
    block.lines.sort_by(|a, b| {
        let [a, b] = [a, b].map(|line| line.mean(0, metric).unwrap_or(f64::NEG_INFINITY));
        b.total_cmp(&a)
    });
}

/// The cells of a line.
fn part(measured: &MeasuredRows<'_>, significance: &Verdicts, line: usize) -> Part {
    let runs = &measured.lines[line];
    let mut cells = Vec::with_capacity(runs.metrics.len());
    for (position, &metric) in runs.metrics.iter().enumerate() {
        let index = CellIndex {
            line,
            metric: position,
        };
        let value = match measured.summaries.get(&index) {
            Some(&summary) => Value::Measured(summary),
            None => footnotes::reason(&runs.runs),
        };
        cells.push(Cell {
            value,
            runs: runs.measured(metric),
            of: runs.runs.len(),
            significance: significance.of(index),
            ties: ties::bounds(&runs.runs, metric),
        });
    }
    Part {
        finished: runs.finished(),
        missing: runs.missing(),
        of: runs.runs.len(),
        sources: runs.sources(),
        cells,
        footnote: None,
        results: runs.runs.iter().map(|row| result(row, runs)).collect(),
    }
}

/// What a run contributes to a line.
fn result(row: &Row, runs: &RowRuns<'_>) -> RunResult {
    let metrics = runs.metrics.iter();
    RunResult::new(row, metrics.map(|metric| row.measured(*metric)).collect())
}
