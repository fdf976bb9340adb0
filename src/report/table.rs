//! What each cell of a table says, and what is noted below.

use std::collections::BTreeMap;

use polars::prelude::PolarsError;
use schema::{Breakdown, Metric};

use crate::{
    Caption, Layout, Published, Row, Together,
    claims::claims,
    footnotes,
    gather::{self, Runs},
    layout, published,
    standing::{Candidate, Standing, standings},
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

/// What a table is to show, and how.
pub struct Description<'a> {
    /// How it is laid out.
    pub layout: Layout,
    /// The metrics of each data set, which is given by its title.
    pub metrics: &'a dyn Fn(&str) -> Vec<Metric>,
    /// Rows to quote above ours.
    pub published: &'a [Published],
    /// What is said around it.
    pub caption: &'a Caption,
}

/// A finished comparison: what every cell says, ready to be rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub(crate) caption: Caption,
    pub(crate) axes: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    /// About cells with runs that went wrong, by number from 1.
    pub(crate) footnotes: Vec<String>,
    /// Runs that are still to come.
    pub(crate) to_come: Option<String>,
    /// What can and what cannot be claimed.
    pub(crate) claims: Vec<String>,
    /// Where published rows stand.
    pub(crate) sources: Vec<String>,
}

/// Lines under one heading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// If it is of one.
    pub(crate) dataset: Option<String>,
    pub(crate) together: Option<Together>,
    /// Empty if there is nothing to tell apart.
    pub(crate) heading: String,
    /// Columns side by side.
    pub(crate) groups: Vec<Group>,
    /// Quoted rows.
    pub(crate) published: Vec<Line>,
    pub(crate) lines: Vec<Line>,
}

/// Columns of one data set, or of one kind of folds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) dataset: Option<String>,
    pub(crate) together: Option<Together>,
    /// Empty if there is nothing to tell apart.
    pub(crate) heading: String,
    pub(crate) metrics: Vec<Metric>,
}

/// One method at one point of the further axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) method: String,
    /// In the order of [`Table::axes`]; empty where an axis does not apply.
    pub(crate) settings: Vec<String>,
    /// In the order of [`Block::groups`]; none where the method was not to run.
    pub(crate) parts: Vec<Option<Part>>,
}

/// What a line has in one group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) finished: usize,
    pub(crate) of: usize,
    /// In the order of [`Group::metrics`].
    pub(crate) cells: Vec<Cell>,
    /// The number of the footnote that tells what went wrong.
    pub(crate) footnote: Option<usize>,
}

/// One number, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) value: Value,
    /// How many runs it is the mean of.
    pub(crate) runs: usize,
    /// How many there should be.
    pub(crate) of: usize,
    pub(crate) standing: Option<Standing>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Measured(Summary),
    /// As it was printed, in percent.
    Published(String),
    Broken(Breakdown),
    Failed,
    Missing,
}

impl Cell {
    /// The number in percent with two decimals, or a word.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Value::Measured(summary) => {
                let half_width = summary
                    .half_width
                    .map(|half| format!(" ± {:.2}", 100.0 * half));
                format!(
                    "{:.2}{}",
                    100.0 * summary.mean,
                    half_width.unwrap_or_default()
                )
            }
            Value::Published(text) => text.clone(),
            Value::Broken(how) => how.word().to_owned(),
            Value::Failed => "failed".to_owned(),
            Value::Missing => "–".to_owned(),
        }
    }

    /// ` (2/4)` where runs are missing behind a number.
    pub(crate) fn share(&self) -> String {
        match &self.value {
            Value::Measured(_) if self.runs < self.of => format!(" ({}/{})", self.runs, self.of),
            Value::Measured(_)
            | Value::Published(_)
            | Value::Broken(_)
            | Value::Failed
            | Value::Missing => String::new(),
        }
    }
}

impl Part {
    /// How many runs finished, and of how many if that is not all.
    pub(crate) fn runs(&self) -> String {
        if self.finished == self.of {
            self.of.to_string()
        } else {
            format!("{}/{}", self.finished, self.of)
        }
    }
}

impl Line {
    /// The runs of all its parts, once if they are as many everywhere.
    pub(crate) fn runs(&self) -> String {
        let mut runs: Vec<String> = self
            .parts
            .iter()
            .flatten()
            .filter(|part| part.of > 0)
            .map(Part::runs)
            .collect();
        if runs.iter().all(|other| *other == runs[0]) {
            runs.truncate(1);
        }
        runs.join(", ")
    }
}

impl Table {
    /// What the numbers and their marks are, in a few sentences; `best` says how the highest are marked.
    pub(crate) fn legend(&self, best: &str) -> String {
        let cells = || {
            self.blocks
                .iter()
                .flat_map(|block| &block.lines)
                .flat_map(|line| &line.parts)
                .flatten()
        };
        let has = |standing| {
            cells().any(|part| {
                part.cells
                    .iter()
                    .any(|cell| cell.standing == Some(standing))
            })
        };
        let groups = || self.blocks.iter().flat_map(|block| &block.groups);
        let mut text =
            "Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is \
                        half the width of the 95 % Student-t interval over the seeds, absent for a single one."
                .to_owned();
        if cells().any(|part| part.finished < part.of) {
            text.push_str(" n/N: only n of N runs finished.");
        }
        if has(Standing::Best) {
            text.push_str(&format!(" {best}: the highest mean of its column."));
        }
        if has(Standing::NotDistinguishable) || has(Standing::Worse) {
            let marked = if has(Standing::NotDistinguishable) {
                "≈: not distinguishable"
            } else {
                "All others are distinguishable"
            };
            text.push_str(&format!(
                " {marked} from it, by paired t tests on the same seeds and folds at the level of 5 %, their p values adjusted \
                 by Holm over all rows and data sets for each metric."
            ));
        }
        if groups().any(|group| group.together == Some(Together::Concatenated)) {
            text.push_str(
                " Separated: the network of each fold is measured alone. Concatenated: the embeddings of an image by those of \
                 all folds, normalised, are joined and normalised again, and measured once for each seed.",
            );
        }
        text
    }

    /// What stands below the table as lists, each with its heading.
    pub(crate) fn lists(&self) -> [(&'static str, &[String]); 4] {
        [
            ("What can be claimed", &self.claims),
            ("Published, not run here", &self.sources),
            ("Fairness", &self.caption.fairness),
            ("Facts", &self.caption.lines),
        ]
    }
}

/// The comparison of these runs.
///
/// Data sets, methods and values of further axes come in the order in which they first appear in `rows`; apart
/// from that the order of the rows changes nothing. Several rows of one line about the same run count once.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should bring about.
pub fn table(rows: &[Row], description: &Description<'_>) -> Result<Table, ReportError> {
    let axes = gather::axes(rows);
    let lines = gather::lines(rows, &axes, description.metrics);
    let summaries = summaries(&lines)?;
    let columns = columns(&lines);
    let candidates = |column: &Vec<At>| {
        let (line, metric) = column[0];
        let candidates = column
            .iter()
            .map(|&cell| candidate(&lines, &summaries, cell))
            .collect();
        (lines[line].metrics[metric], candidates)
    };
    let candidates: Vec<(Metric, Vec<Candidate<'_>>)> = columns.iter().map(candidates).collect();
    let standings: BTreeMap<At, Standing> = columns
        .iter()
        .flatten()
        .zip(standings(&candidates).into_iter().flatten())
        .filter_map(|(&cell, standing)| Some((cell, standing?)))
        .collect();
    let mut footnotes = Vec::new();
    let mut parts = Vec::with_capacity(lines.len());
    for (place, runs) in lines.iter().enumerate() {
        let footnote = footnotes::of(runs, &axes).map(|text| {
            footnotes.push(text);
            footnotes.len()
        });
        parts.push((runs, part(runs, place, &summaries, &standings, footnote)));
    }
    let mut blocks = layout::blocks(description.layout, &parts);
    for block in &mut blocks {
        block.published = published::lines(description.published, block, axes.len());
    }
    Ok(Table {
        caption: description.caption.clone(),
        claims: claims(&lines, &summaries, &standings, &axes),
        sources: published::sources(description.published, &blocks),
        to_come: footnotes::to_come(&lines, &axes),
        footnotes,
        blocks,
        axes,
    })
}

/// The line and the metric of a cell, by position.
pub(crate) type At = (usize, usize);

pub(crate) fn summaries(lines: &[Runs<'_>]) -> Result<BTreeMap<At, Summary>, ReportError> {
    let cells: Vec<At> = lines
        .iter()
        .enumerate()
        .flat_map(|(line, runs)| (0..runs.metrics.len()).map(move |metric| (line, metric)))
        .collect();
    let observations = (0..)
        .zip(&cells)
        .flat_map(|(number, &(line, metric))| lines[line].observations(metric, number))
        .collect();
    let summaries = summarise(observations)?;
    Ok((0..)
        .zip(cells)
        .filter_map(|(number, cell)| Some((cell, *summaries.get(&number)?)))
        .collect())
}

/// The cells of each column: one metric on one data set, folds taken together in one way.
fn columns(lines: &[Runs<'_>]) -> Vec<Vec<At>> {
    let mut columns: BTreeMap<_, Vec<At>> = BTreeMap::new();
    for (line, runs) in lines.iter().enumerate() {
        for metric in 0..runs.metrics.len() {
            columns
                .entry((runs.dataset, runs.together, metric))
                .or_default()
                .push((line, metric));
        }
    }
    columns.into_values().collect()
}

pub(crate) fn candidate<'a>(
    lines: &'a [Runs<'_>],
    summaries: &'a BTreeMap<At, Summary>,
    cell: At,
) -> Candidate<'a> {
    let runs = &lines[cell.0];
    Candidate {
        results: &runs.results[cell.1],
        summary: summaries.get(&cell),
        is_baseline: runs.is_baseline,
    }
}

fn part(
    runs: &Runs<'_>,
    line: usize,
    summaries: &BTreeMap<At, Summary>,
    standings: &BTreeMap<At, Standing>,
    footnote: Option<usize>,
) -> Part {
    let cell = |metric: usize| Cell {
        value: summaries
            .get(&(line, metric))
            .map_or_else(|| footnotes::reason(&runs.rows), |&s| Value::Measured(s)),
        runs: runs.observations(metric, 0).count(),
        of: runs.rows.len(),
        standing: standings.get(&(line, metric)).copied(),
    };
    Part {
        finished: runs.finished(),
        of: runs.rows.len(),
        cells: (0..runs.metrics.len()).map(cell).collect(),
        footnote,
    }
}
