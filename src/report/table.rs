//! Assembles the view of a table from the rows of a sweep.

use polars::prelude::PolarsError;
use schema::{Dataset, Metric};

use crate::{
    Caption, ClassScores, Layout, Published, Row,
    claims::claims,
    comparison::{Against, Comparisons},
    footnotes,
    gather::RowRuns,
    key::CellIndex,
    layout::{self, Placed},
    measured::MeasuredRows,
    model::{Cell, Part, RunResult, Table, Value},
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
    /// The JSON text could not be written.
    #[error("failed to write the table as JSON")]
    Json(#[from] serde_json::Error),
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
    let measured = MeasuredRows::of(rows, description.metrics, description.by_class)?;
    let comparisons = Comparisons::of(&measured, Against::Best, description.equal_within)?;
    let significance = significance(&measured, &comparisons);
    let footnotes = footnotes::failures(&measured);
    let mut placed = Vec::with_capacity(measured.lines.len());
    for (line, runs) in measured.lines.iter().enumerate() {
        let footnote = footnotes.iter().position(|footnote| footnote.line == line);
        let mut part = part(&measured, &significance, line);
        part.footnote = footnote.map(|position| position + 1);
        placed.push(Placed { runs, part });
    }
    let quotes = Quotes::of(description.published, &measured.names);
    let mut blocks = layout::blocks(description.layout, &measured.names, &placed);
    let axes = measured.names.axes();
    for block in &mut blocks {
        block.published = quotes.lines(block, axes.len());
    }
    Ok(Table {
        caption: description.caption.clone(),
        claims: claims(
            &measured,
            &comparisons,
            &significance,
            description.equal_within,
        ),
        equal_within: description.equal_within,
        ties: ties::notes(&measured),
        sources: quotes.sources(&blocks),
        to_come: footnotes::to_come(&measured),
        footnotes: footnotes.into_iter().map(|note| note.text).collect(),
        axes,
        blocks,
        names: measured.names,
    })
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
    RunResult {
        run: row.run,
        seed: row.seed,
        fold: row.fold,
        state: row.state.word(),
        values: metrics.map(|metric| row.measured(*metric)).collect(),
    }
}
