//! What each cell of a table says, and what is noted below.
//!
//! There is one block for each data set, one after another: with several metrics and several data sets a
//! combined table soon outgrows a page, and the blocks always read the same way.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::PolarsError;
use schema::{Breakdown, Metric};

use crate::{
    Caption, Row, RunState, Together,
    frame::{Observation, frame},
    summary::{Summary, summarise},
};

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The aggregation failed.
    #[error("failed to aggregate the records")]
    Aggregation(#[from] PolarsError),
    /// The CSV text could not be written.
    #[error("failed to write the table as CSV")]
    Csv(#[from] ::csv::Error),
}

/// A finished comparison: what every cell says, ready to be rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub(crate) caption: Caption,
    pub(crate) axes: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) notes: Vec<String>,
}

/// The lines of one data set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) dataset: String,
    pub(crate) together: Option<Together>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) lines: Vec<Line>,
}

/// One method at one point of the further axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) method: String,
    /// In the order of [`Table::axes`]; empty where an axis does not apply.
    pub(crate) settings: Vec<String>,
    pub(crate) finished: u32,
    pub(crate) of: u32,
    /// In the order of [`Block::metrics`].
    pub(crate) cells: Vec<Cell>,
}

/// One number, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) value: Value,
    /// How many runs there should be.
    pub(crate) of: u32,
    /// Whether no other line of the block has a higher mean.
    pub(crate) best: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Measured(Summary),
    Broken(Breakdown),
    Failed,
    Missing,
}

impl Cell {
    /// The cell in words: percent with two decimals.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Value::Measured(summary) => self.measured(summary),
            Value::Broken(how) => how.word().to_owned(),
            Value::Failed => "failed".to_owned(),
            Value::Missing => "–".to_owned(),
        }
    }

    fn measured(&self, summary: &Summary) -> String {
        let mut text = format!("{:.2}", 100.0 * summary.mean);
        if let Some(half_width) = summary.half_width {
            text.push_str(&format!(" ± {:.2}", 100.0 * half_width));
        }
        if summary.runs < self.of {
            text.push_str(&format!(" ({} of {})", summary.runs, self.of));
        }
        text
    }

    pub(crate) fn summary(&self) -> Option<&Summary> {
        match &self.value {
            Value::Measured(summary) => Some(summary),
            Value::Broken(_) | Value::Failed | Value::Missing => None,
        }
    }
}

impl Block {
    /// What stands above it.
    pub(crate) fn heading(&self) -> String {
        match self.together {
            Some(together) => format!("{}, {together}", self.dataset),
            None => self.dataset.clone(),
        }
    }
}

impl Line {
    /// How many runs finished, and of how many if that is not all.
    pub(crate) fn runs(&self) -> String {
        if self.finished == self.of { self.of.to_string() } else { format!("{} of {}", self.finished, self.of) }
    }
}

impl Table {
    /// What the numbers are, in a sentence; `best` says how the highest are marked.
    pub(crate) fn legend(&self, best: &str) -> String {
        let is_concatenated = |block: &Block| block.together == Some(Together::Concatenated);
        let together = match self.blocks.iter().any(is_concatenated) {
            true => {
                " Separated: the network of each fold is measured alone. Concatenated: the embeddings of an image by \
                 those of all folds, normalised, are joined and normalised again, and measured once for each seed."
            }
            false => "",
        };
        format!(
            "Each number is a mean in percent over the finished runs (all seeds and folds); ± is half the width of \
             its 95 % Student-t confidence interval, absent for a single run. {best}: the highest mean of its column.{together}"
        )
    }
}

/// The comparison of these runs by the metrics of each data set, which is given by its title.
///
/// Data sets, methods and values of further axes come in the order in which they first appear in `rows`; apart
/// from that the order of the rows changes nothing. Several rows of one line about the same run count once.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should bring about.
pub fn table(rows: &[Row], metrics_of: impl Fn(&str) -> Vec<Metric>, caption: &Caption) -> Result<Table, ReportError> {
    let axes = distinct(rows.iter().flat_map(|row| row.settings.iter().map(|(axis, _)| axis)));
    let lines = lines(rows, &axes, &metrics_of);
    let summaries = summarise(&frame(observations(&lines))?)?;
    Ok(Table {
        caption: caption.clone(),
        axes,
        notes: lines.iter().flat_map(notes).collect(),
        blocks: blocks(&lines, &summaries),
    })
}

/// The runs of one line, each once, by fold and seed.
struct Runs<'a> {
    dataset: &'a str,
    together: Option<Together>,
    method: &'a str,
    settings: Vec<String>,
    metrics: Vec<Metric>,
    rows: Vec<&'a Row>,
}

fn lines<'a>(rows: &'a [Row], axes: &[String], metrics_of: &impl Fn(&str) -> Vec<Metric>) -> Vec<Runs<'a>> {
    let datasets = distinct(rows.iter().map(|row| &row.dataset));
    let methods = distinct(rows.iter().map(|row| &row.method));
    let values: Vec<Vec<String>> =
        axes.iter().map(|axis| distinct(rows.iter().filter_map(|row| setting(row, axis)))).collect();
    let mut lines: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let settings: Vec<Option<usize>> =
            axes.iter().zip(&values).map(|(axis, values)| setting(row, axis).and_then(|v| place(values, v))).collect();
        lines
            .entry((place(&datasets, &row.dataset), row.together, place(&methods, &row.method), settings))
            .or_default()
            .push(row);
    }
    lines.into_values().map(|rows| line(rows, axes, metrics_of)).collect()
}

fn line<'a>(mut rows: Vec<&'a Row>, axes: &[String], metrics_of: &impl Fn(&str) -> Vec<Metric>) -> Runs<'a> {
    rows.sort_by_key(|row| (row.run, row.state.rank(), row.seed, row.fold));
    rows.dedup_by_key(|row| row.run);
    rows.sort_by_key(|row| (row.fold, row.seed, row.run));
    Runs {
        dataset: &rows[0].dataset,
        together: rows[0].together,
        method: &rows[0].method,
        settings: axes.iter().map(|axis| setting(rows[0], axis).cloned().unwrap_or_default()).collect(),
        metrics: metrics_of(&rows[0].dataset),
        rows,
    }
}

fn observations(lines: &[Runs<'_>]) -> Vec<Observation> {
    let mut observations = Vec::new();
    for (line, runs) in (0..).zip(lines) {
        for row in &runs.rows {
            for (metric, value) in (0..).zip(runs.metrics.iter().map(|&metric| measured(row, metric))) {
                observations.extend(value.map(|value| Observation { line, metric, value }));
            }
        }
    }
    observations
}

fn measured(row: &Row, metric: Metric) -> Option<f64> {
    match &row.state {
        RunState::Finished(evaluated) => evaluated.scores.get(&metric).copied().filter(|value| value.is_finite()),
        RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => None,
    }
}

fn blocks(lines: &[Runs<'_>], summaries: &BTreeMap<(u32, u32), Summary>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (place, runs) in (0..).zip(lines) {
        let of = count(runs.rows.len());
        let cell = |summary: Option<&Summary>| Cell {
            value: summary.map_or_else(|| reason(&runs.rows), |&summary| Value::Measured(summary)),
            of,
            best: false,
        };
        let line = Line {
            method: runs.method.to_owned(),
            settings: runs.settings.clone(),
            finished: count(runs.rows.iter().filter(|row| matches!(row.state, RunState::Finished(_))).count()),
            of,
            cells: (0..count(runs.metrics.len())).map(|metric| cell(summaries.get(&(place, metric)))).collect(),
        };
        match blocks.last_mut() {
            Some(block) if (block.dataset.as_str(), block.together) == (runs.dataset, runs.together) => {
                block.lines.push(line)
            }
            Some(_) | None => blocks.push(Block {
                dataset: runs.dataset.to_owned(),
                together: runs.together,
                metrics: runs.metrics.clone(),
                lines: vec![line],
            }),
        }
    }
    blocks.iter_mut().for_each(|block| (0..block.metrics.len()).for_each(|metric| mark_best(&mut block.lines, metric)));
    blocks
}

/// Why a cell without any value has none: the worst that happened to any of its runs.
fn reason(rows: &[&Row]) -> Value {
    let broken = rows.iter().filter_map(|row| match row.state {
        RunState::Broken { how, .. } => Some(how),
        RunState::Finished(_) | RunState::Failed { .. } | RunState::Missing => None,
    });
    match broken.min() {
        Some(how) => Value::Broken(how),
        None if rows.iter().any(|row| matches!(row.state, RunState::Failed { .. })) => Value::Failed,
        None => Value::Missing,
    }
}

/// Marks the highest unrounded mean of a column, and all that equal it. A number alone is no winner.
fn mark_best(lines: &mut [Line], metric: usize) {
    let means: Vec<f64> = lines.iter().filter_map(|line| line.cells[metric].summary()).map(|s| s.mean).collect();
    let Some(best) = means.iter().copied().reduce(f64::max).filter(|_| means.len() > 1) else { return };
    for line in lines {
        let cell = &mut line.cells[metric];
        cell.best = cell.summary().is_some_and(|summary| summary.mean == best);
    }
}

fn notes(line: &Runs<'_>) -> Vec<String> {
    line.rows.iter().filter_map(|row| Some(format!("{}: {}", name(row), what_happened(row, &line.metrics)?))).collect()
}

/// Names a run for a person: data set, method, settings, seed and fold.
fn name(row: &Row) -> String {
    let mut name = format!("{}, {}", row.dataset, row.method);
    for (axis, value) in &row.settings {
        name.push_str(&format!(", {axis} {value}"));
    }
    name.push_str(&format!(", seed {}", row.seed));
    if let Some(fold) = row.fold {
        name.push_str(&format!(", fold {} of {}", u64::from(fold.index) + 1, fold.of));
    }
    if row.together == Some(Together::Concatenated) {
        name.push_str(", all folds concatenated");
    }
    name
}

fn what_happened(row: &Row, metrics: &[Metric]) -> Option<String> {
    match &row.state {
        RunState::Finished(_) => {
            let absent = metrics.iter().filter(|&&metric| measured(row, metric).is_none());
            let absent: Vec<String> = absent.map(|metric| format!("`{metric}`")).collect();
            (!absent.is_empty()).then(|| format!("finished without {}", absent.join(", ")))
        }
        RunState::Broken { how, step } => Some(format!("{}, {} at step {step}", how.word(), how.reason())),
        RunState::Failed { class: _, message } => Some(format!("failed, {}", message.trim())),
        RunState::Missing => Some("not run yet".to_owned()),
    }
}

/// The distinct texts, by first appearance.
fn distinct<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.filter(|text| seen.insert(text.as_str())).cloned().collect()
}

fn place(texts: &[String], text: &str) -> Option<usize> {
    texts.iter().position(|other| other == text)
}

fn setting<'a>(row: &'a Row, axis: &str) -> Option<&'a String> {
    row.settings.iter().find(|(name, _)| name == axis).map(|(_, value)| value)
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
