//! The view of a table: what every cell shows, ready to be rendered.

use std::fmt;

use schema::{Breakdown, Fold, Metric, RunId};

use crate::{
    Caption, Compare, Row, Source,
    gather::Names,
    key::{Panel, RowKey, Slice},
    number::percent,
    repetition::Repetitions,
    significance::Significance,
    stats::Interval,
    summary::{Over, Summary},
};

/// A finished comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub(crate) caption: Caption,
    pub(crate) names: Names,
    pub(crate) axes: Vec<String>,
    pub(crate) blocks: Vec<Block>,
    /// One metric over one axis, if the sweep asks for it.
    pub(crate) pivots: Vec<Pivot>,
    /// On cells whose runs failed, by number from 1.
    pub(crate) footnotes: Vec<String>,
    /// Runs that have not finished.
    pub(crate) to_come: Option<String>,
    /// What can and what cannot be claimed.
    pub(crate) claims: Vec<Claim>,
    /// Which rows are compared with each other.
    pub(crate) compare: Compare,
    /// The largest difference that does not matter, as a fraction, if the sweep says so.
    pub(crate) equal_within: Option<f64>,
    /// The bounds of values that the order of equally similar images changes.
    pub(crate) ties: Vec<String>,
    /// Sources of published rows.
    pub(crate) sources: Vec<String>,
}

impl Table {
    /// Adds facts to those that a reader has to know.
    pub fn extend_caption(&mut self, facts: impl IntoIterator<Item = String>) {
        self.caption.lines.extend(facts);
    }
}

/// A statement about the rows of one panel by one metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) panel: Panel,
    pub(crate) metric: Metric,
    pub(crate) says: Statement,
}

/// What the results show, or leave open. Differences are fractions with their 95 % intervals, p values
/// are adjusted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// The best row is better than another.
    Better {
        row: RowKey,
        than: RowKey,
        by: Interval,
        p: f64,
    },
    /// The best row is better than this number of further rows.
    BetterThanMore { row: RowKey, rows: usize },
    /// The difference of a row from the best is too small to matter.
    Equal {
        row: RowKey,
        to: RowKey,
        /// How far the row is below the best.
        by: Interval,
        within: f64,
        p: f64,
    },
    /// Neither is shown.
    Open {
        row: RowKey,
        against: RowKey,
        /// What both have.
        have: Repetitions,
        /// None if the sweep does not say what difference matters.
        within: Option<f64>,
        settled: Settled,
    },
    /// The number of further rows that are open, too.
    OpenForMore { rows: usize },
    /// No test is possible without at least this number of further repetitions.
    TooFew { have: Repetitions, needed: usize },
    /// A trained row has a lower mean than a row without training.
    BelowUntrained {
        row: RowKey,
        mean: f64,
        baseline: RowKey,
        untrained: f64,
    },
    /// The number of further trained rows with a lower mean than a row without training.
    MoreBelowUntrained { rows: usize },
}

/// What would settle an open question, if the estimates are right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// About as many further repetitions would show the difference.
    Difference(usize),
    /// About as many further repetitions would show that the difference does not matter.
    Equality(usize),
    /// More than this number would.
    TooMany(Repetitions),
    /// None would.
    Never(Repetitions),
}

/// The primary metric of a panel over the values of one axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pivot {
    pub(crate) panel: Panel,
    pub(crate) metric: Metric,
    pub(crate) axis: String,
    /// The other axes.
    pub(crate) others: Vec<String>,
    /// The values of the axis.
    pub(crate) values: Vec<String>,
    pub(crate) lines: Vec<PivotLine>,
}

/// One method under one combination of values of the other axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PivotLine {
    pub(crate) method: String,
    /// In the order of [`Pivot::others`].
    pub(crate) settings: Vec<String>,
    /// In the order of [`Pivot::values`]; none where there was nothing to run.
    pub(crate) cells: Vec<Option<Cell>>,
}

/// Lines under one heading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) slice: Slice,
    /// Empty if there is only one block.
    pub(crate) heading: String,
    /// Columns side by side.
    pub(crate) groups: Vec<Group>,
    /// Quoted rows.
    pub(crate) published: Vec<Line>,
    pub(crate) lines: Vec<Line>,
}

/// Columns of one data set, or of one way to combine folds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    /// What tells this group apart from the others of its block.
    pub(crate) slice: Slice,
    /// Its data set and folds, be they of the group or of the whole block.
    pub(crate) shows: Slice,
    /// Empty if there is only one group.
    pub(crate) heading: String,
    pub(crate) metrics: Vec<Metric>,
}

/// One method under one combination of axis values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) method: String,
    /// In the order of [`Table::axes`]; empty where an axis does not apply.
    pub(crate) settings: Vec<String>,
    /// Which head of its network it is about, if not the whole.
    pub(crate) head: Option<String>,
    /// In the order of [`Block::groups`]; none where the method was not to run.
    pub(crate) parts: Vec<Option<Part>>,
    /// The heads of its network, each alone; none if there is one.
    pub(crate) heads: Vec<Line>,
}

/// The cells of a line in one group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) finished: usize,
    /// The number of runs without any outcome.
    pub(crate) missing: usize,
    pub(crate) of: usize,
    /// What finished, by fold and seed.
    pub(crate) sources: Vec<Source>,
    /// In the order of [`Group::metrics`].
    pub(crate) cells: Vec<Cell>,
    /// The number of the footnote on its failures.
    pub(crate) footnote: Option<usize>,
    /// What the cells summarize, by fold and seed; none if they are quoted.
    pub(crate) results: Vec<RunResult>,
}

/// What one run contributes to the cells of a part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunResult {
    pub(crate) run: RunId,
    pub(crate) seed: u64,
    pub(crate) fold: Option<Fold>,
    /// What became of it, in one word.
    pub(crate) state: &'static str,
    /// In the order of [`Group::metrics`].
    pub(crate) values: Vec<Option<f64>>,
}

/// One number, or the reason why there is none.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) value: Value,
    /// The number of runs behind it.
    pub(crate) runs: usize,
    /// The number of runs that were planned.
    pub(crate) of: usize,
    pub(crate) significance: Option<Significance>,
    /// The values between which another order of equally similar images would lead.
    pub(crate) ties: Option<Bounds>,
}

/// The lowest and the highest value over all orders of equally similar images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Bounds {
    /// True if they differ as they are printed.
    pub(crate) fn are_visible(&self) -> bool {
        percent(self.low) != percent(self.high)
    }
}

/// `36.34 to 38.01`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", percent(self.low), percent(self.high))
    }
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
    /// The value in percent with two decimals, or a word.
    pub(crate) fn text(&self) -> String {
        match &self.value {
            Value::Measured(summary) => measured(summary),
            Value::Published(text) => text.clone(),
            Value::Broken(how) => how.word().to_owned(),
            Value::Failed => "failed".to_owned(),
            Value::Missing => "–".to_owned(),
        }
    }

    /// True if it has an interval that covers this.
    pub(crate) fn covers(&self, over: Over) -> bool {
        match &self.value {
            Value::Measured(summary) => summary.half_width.is_some() && summary.over == over,
            Value::Published(_) | Value::Broken(_) | Value::Failed | Value::Missing => false,
        }
    }

    /// `†` if equally similar images leave the value open.
    pub(crate) fn tie_mark(&self) -> &'static str {
        match self.ties {
            Some(bounds) if bounds.are_visible() => "†",
            Some(_) | None => "",
        }
    }

    /// ` (2/4)` after a value with missing runs.
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

/// `79.85 ± 0.67`.
fn measured(summary: &Summary) -> String {
    let mean = percent(summary.mean);
    match summary.half_width {
        Some(half_width) => format!("{mean} ± {}", percent(half_width)),
        None => mean,
    }
}

impl Pivot {
    /// `Omniglot: MAP@R by model.embedding`.
    pub(crate) fn heading(&self, names: &Names) -> String {
        let panel = names.panel(self.panel);
        format!("{panel}: {} by {}", self.metric.heading(), self.axis)
    }

    /// The headings of its columns.
    pub(crate) fn columns(&self) -> Vec<String> {
        let names = ["method".to_owned()].into_iter().chain(self.others.clone());
        names.chain(self.values.clone()).collect()
    }
}

impl PivotLine {
    /// What names it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        [&self.method].into_iter().chain(&self.settings)
    }
}

impl Part {
    /// The number of finished runs, and of all runs if some are missing.
    fn runs(&self) -> String {
        if self.finished == self.of {
            self.of.to_string()
        } else {
            format!("{}/{}", self.finished, self.of)
        }
    }
}

impl Block {
    /// The rows that were run here: those of methods, each followed by those of its heads.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().flat_map(Line::with_heads)
    }
}

impl RunResult {
    /// What a run contributes with these values.
    pub(crate) fn new(row: &Row, values: Vec<Option<f64>>) -> RunResult {
        RunResult {
            run: row.run,
            seed: row.seed,
            fold: row.fold,
            state: row.state.word(),
            values,
        }
    }
}

impl Line {
    /// Itself, and the heads of its network.
    pub(crate) fn with_heads(&self) -> impl Iterator<Item = &Line> {
        [self].into_iter().chain(&self.heads)
    }

    /// What it is called below its method, or the method: tables for people indent heads.
    pub(crate) fn name(&self) -> &str {
        self.head.as_ref().unwrap_or(&self.method)
    }

    /// The mean of a metric in one group, by position.
    pub(crate) fn mean(&self, group: usize, metric: usize) -> Option<f64> {
        let part = self.parts.get(group)?.as_ref()?;
        match &part.cells.get(metric)?.value {
            Value::Measured(summary) => Some(summary.mean),
            Value::Published(_) | Value::Broken(_) | Value::Failed | Value::Missing => None,
        }
    }

    /// The runs of all its parts, once if they are equal.
    pub(crate) fn runs(&self) -> String {
        let parts = self.parts.iter().flatten().filter(|part| part.of > 0);
        let mut runs: Vec<String> = parts.map(Part::runs).collect();
        if runs.iter().all(|other| *other == runs[0]) {
            runs.truncate(1);
        }
        runs.join(", ")
    }
}
