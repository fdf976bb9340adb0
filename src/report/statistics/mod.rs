//! Statistics beyond the table, for readers who want to know how far to trust it: every method against
//! a reference, intervals over test images, and ranks over data sets.

mod aggregate;
mod images;
mod ranking;
mod render;
mod variance;

use rayon::prelude::*;
use schema::{Dataset, Metric};

use crate::{
    ClassScores, Compare, QueriesOf, ReportError, Row,
    comparison::{Against, Comparison, Comparisons},
    gather::{Names, RowRuns},
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    stats::{Paired, paired},
};
use aggregate::Aggregate;
use images::ImageIntervals;
use ranking::Ranking;
use variance::Sources;

/// What to compare.
pub struct Question<'a> {
    /// The name of the sweep.
    pub sweep: &'a str,
    /// The metrics of each data set.
    pub metrics: &'a dyn Fn(&Dataset) -> Vec<Metric>,
    /// The method that all others are compared with; without one, the best of each column.
    pub baseline: Option<&'a str>,
    /// Which rows are compared with each other, if no baseline is named.
    pub compare: &'a Compare,
    /// The scores of each class, for intervals over seeds and classes; without them, over seeds.
    pub by_class: Option<&'a ClassScores>,
    /// The largest difference that does not matter, as a fraction.
    pub equal_within: Option<f64>,
    /// The values of each query of a run, if they are known.
    pub queries: &'a QueriesOf<'a>,
}

/// The statistics of a sweep, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Statistics {
    sweep: String,
    /// True if the sweep names the method that others are compared with.
    has_baseline: bool,
    equal_within: Option<f64>,
    pub(crate) names: Names,
    pub(crate) comparisons: Vec<PairedComparison>,
    pub(crate) images: Vec<ImageIntervals>,
    pub(crate) sources: Vec<Sources>,
    pub(crate) rankings: Vec<Ranking>,
    pub(crate) aggregates: Vec<Aggregate>,
}

/// A method and a reference on the same seeds and folds.
#[derive(Clone, Debug)]
pub(crate) struct PairedComparison {
    pub(crate) panel: Panel,
    pub(crate) row: RowKey,
    pub(crate) reference: RowKey,
    pub(crate) metric: Metric,
    /// True if comparisons are judged by this metric.
    pub(crate) is_primary: bool,
    pub(crate) comparison: Comparison,
    /// None for fewer than two seeds.
    pub(crate) paired: Option<Paired>,
    /// About as many further seeds would show a difference; none if none would.
    pub(crate) more_for_difference: Option<usize>,
    /// About as many further seeds would show equality, likewise.
    pub(crate) more_for_equality: Option<usize>,
}

/// Computes the statistics of these runs, if there is anything to compare.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should cause.
pub fn statistics(
    rows: &[Row],
    question: &Question<'_>,
) -> Result<Option<Statistics>, ReportError> {
    let all = Compare::Rows;
    let compare = question.baseline.map_or(question.compare, |_| &all);
    let measured = MeasuredRows::of(rows, question.metrics, question.by_class, compare)?;
    let against = question.baseline.map_or(Against::Best, Against::Method);
    let comparisons = Comparisons::of(&measured, against, question.equal_within);
    if comparisons.is_empty() {
        return Ok(None);
    }
    Ok(Some(Statistics {
        sweep: question.sweep.to_owned(),
        has_baseline: question.baseline.is_some(),
        equal_within: question.equal_within,
        images: images::of(&measured, &comparisons, question.queries),
        sources: variance::of(&measured),
        rankings: ranking::of(&measured),
        aggregates: aggregate::of(&measured),
        comparisons: comparisons
            .par_iter()
            .map(|(cell, comparison)| PairedComparison::of(&measured, cell, comparison))
            .collect(),
        names: measured.names,
    }))
}

impl PairedComparison {
    fn of(measured: &MeasuredRows<'_>, cell: CellIndex, comparison: &Comparison) -> Self {
        let runs: &RowRuns<'_> = measured.line(cell);
        let differences = &comparison.differences;
        PairedComparison {
            panel: runs.panel,
            row: runs.key.clone(),
            reference: measured.line(comparison.reference).key.clone(),
            metric: measured.metric(cell),
            is_primary: runs.primary() == Some(cell.metric),
            paired: paired(differences, &vec![0.0; differences.len()]),
            more_for_difference: comparison.more_for_difference(),
            more_for_equality: comparison.more_for_equality(),
            comparison: comparison.clone(),
        }
    }

    /// The p value of the test of a difference, before and after the adjustment.
    fn p(&self) -> Option<(f64, f64)> {
        let test = self.comparison.test?;
        Some((test.p, test.adjusted))
    }
}

#[cfg(test)]
mod tests;
