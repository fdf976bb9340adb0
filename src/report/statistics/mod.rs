//! Statistics beyond the table, for readers who want to know how far to trust it: every method against
//! a reference, intervals over test images, and ranks over data sets.

mod images;
mod ranking;
mod render;

use std::collections::BTreeMap;

use schema::{Dataset, Metric};

use crate::{
    ReportError, Row,
    claims::are_compatible,
    gather::{Names, RowRuns},
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    significance::LEVEL,
    stats::{ClassOf, Paired, holm, more_seeds, paired},
};
use images::ImageIntervals;
use ranking::Ranking;

/// What to compare.
pub struct Question<'a> {
    /// The name of the sweep.
    pub sweep: &'a str,
    /// The metrics of each data set.
    pub metrics: &'a dyn Fn(&Dataset) -> Vec<Metric>,
    /// The method that all others are compared with; without one, the best of each column.
    pub baseline: Option<&'a str>,
    /// The values of each query of a run, if they are known.
    pub queries: &'a (dyn Fn(&Row, Metric) -> Option<Queries> + Sync),
}

/// The values of a metric for each query of a run's test images.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// The class of each query.
    pub classes: Vec<ClassOf>,
    /// The value of each query.
    pub values: Vec<f64>,
}

/// The statistics of a sweep, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Statistics {
    sweep: String,
    /// True if the sweep names the method that others are compared with.
    has_baseline: bool,
    pub(crate) names: Names,
    pub(crate) comparisons: Vec<PairedComparison>,
    pub(crate) images: Vec<ImageIntervals>,
    pub(crate) rankings: Vec<Ranking>,
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
    /// The number of seeds that both have.
    pub(crate) seeds: usize,
    /// None for fewer than two seeds.
    pub(crate) paired: Option<Paired>,
    /// The p value of the t test, adjusted by Holm over all comparisons by the same metric.
    pub(crate) holm: Option<f64>,
    /// Further seeds that would show a difference of this size in the adjusted test.
    pub(crate) more: Option<usize>,
}

impl PairedComparison {
    fn p(&self) -> Option<f64> {
        self.paired.as_ref()?.t.map(|test| test.p)
    }
}

/// The reference of each cell: the baseline, or the best of the column.
type ReferenceCells = BTreeMap<CellIndex, CellIndex>;

/// Computes the statistics of these runs, if there is anything to compare.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should cause.
pub fn statistics(
    rows: &[Row],
    question: &Question<'_>,
) -> Result<Option<Statistics>, ReportError> {
    let measured = MeasuredRows::of(rows, question.metrics)?;
    let references = references(&measured, question.baseline);
    let mut comparisons = comparisons(&measured, &references)?;
    if comparisons.is_empty() {
        return Ok(None);
    }
    adjust(&mut comparisons);
    count_seeds(&mut comparisons);
    Ok(Some(Statistics {
        sweep: question.sweep.to_owned(),
        has_baseline: question.baseline.is_some(),
        images: images::of(&measured, &references, question.queries),
        rankings: ranking::of(&measured),
        comparisons,
        names: measured.names,
    }))
}

fn references(measured: &MeasuredRows<'_>, baseline: Option<&str>) -> ReferenceCells {
    let mut references = ReferenceCells::new();
    for column in measured.columns() {
        let best = measured.best(&column);
        for &cell in &column {
            let reference = match baseline {
                Some(name) => best_of(measured, &column, cell, name),
                None => best,
            };
            references.extend(reference.map(|reference| (cell, reference)));
        }
    }
    references
}

/// The best of the baseline's rows under the same axis values as a cell.
fn best_of(
    measured: &MeasuredRows<'_>,
    column: &[CellIndex],
    cell: CellIndex,
    baseline: &str,
) -> Option<CellIndex> {
    let key = &measured.line(cell).key;
    let mut candidates = column.to_vec();
    candidates.retain(|other| {
        let other = &measured.line(*other).key;
        measured.names.is_method(other, baseline) && are_compatible(key, other)
    });
    measured.best(&candidates)
}

/// All comparisons, by line and metric.
fn comparisons(
    measured: &MeasuredRows<'_>,
    references: &ReferenceCells,
) -> Result<Vec<PairedComparison>, ReportError> {
    let mut pairs = Vec::new();
    for (&cell, &reference) in references {
        if cell != reference && measured.summaries.contains_key(&cell) {
            pairs.push((cell, reference));
        }
    }
    let differences = measured.records.differences(&pairs)?;
    let mut comparisons = Vec::with_capacity(pairs.len());
    for ((cell, reference), differences) in pairs.into_iter().zip(differences) {
        let runs: &RowRuns<'_> = measured.line(cell);
        comparisons.push(PairedComparison {
            panel: runs.panel,
            row: runs.key.clone(),
            reference: measured.line(reference).key.clone(),
            metric: measured.metric(cell),
            is_primary: runs.primary() == Some(cell.metric),
            seeds: differences.len(),
            paired: paired(&differences, &vec![0.0; differences.len()]),
            holm: None,
            more: None,
        });
    }
    Ok(comparisons)
}

/// Adjusts p values within each metric: other metrics are seldom more than the same question asked
/// again.
fn adjust(comparisons: &mut [PairedComparison]) {
    let mut families: BTreeMap<Metric, Vec<&mut PairedComparison>> = BTreeMap::new();
    for comparison in comparisons {
        if comparison.p().is_some() {
            let family = families.entry(comparison.metric).or_default();
            family.push(comparison);
        }
    }
    for family in families.into_values() {
        let p: Vec<f64> = family.iter().filter_map(|test| test.p()).collect();
        for (comparison, adjusted) in family.into_iter().zip(holm(&p)) {
            comparison.holm = Some(adjusted);
        }
    }
}

/// Counts the seeds that are missing to a significant difference, at the level that Holm leaves to each test.
fn count_seeds(comparisons: &mut [PairedComparison]) {
    for comparison in comparisons {
        let factor = match (comparison.p(), comparison.holm) {
            (Some(p), Some(holm)) if p > 0.0 => holm / p,
            _ => 1.0,
        };
        let more = |paired| more_seeds(paired, factor, LEVEL);
        comparison.more = comparison.paired.as_ref().and_then(more);
    }
}

#[cfg(test)]
mod tests;
