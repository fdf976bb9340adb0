//! Intervals of each line, by the question that they answer; those over test images are bootstraps over the
//! values of each query.

use rayon::prelude::*;
use schema::Metric;

use crate::{
    Queries, QueriesOf, RunState,
    comparison::Comparisons,
    gather::RowRuns,
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    stats::{Resampled, over_classes, over_queries},
    summary::{CONFIDENCE, Summary},
};

/// Replicates of the bootstrap.
const REPLICATES: usize = 2000;
/// The seed of its draws.
const SEED: u64 = 0;

/// The intervals of one line.
#[derive(Clone, Debug)]
pub(crate) struct ImageIntervals {
    pub(crate) panel: Panel,
    pub(crate) row: RowKey,
    pub(crate) metric: Metric,
    pub(crate) queries: usize,
    /// The mean, and its interval over seeds and classes.
    pub(crate) summary: Summary,
    pub(crate) over_queries: Option<Resampled>,
    pub(crate) over_classes: Option<Resampled>,
    pub(crate) above: Option<Above>,
}

/// The difference from the reference, over classes.
#[derive(Clone, Debug)]
pub(crate) struct Above {
    pub(crate) reference: RowKey,
    pub(crate) difference: Resampled,
}

/// The intervals of each line whose runs tell the values of their queries.
pub(super) fn of(
    measured: &MeasuredRows<'_>,
    comparisons: &Comparisons,
    queries: &QueriesOf<'_>,
) -> Vec<ImageIntervals> {
    let means: Vec<Option<Queries>> = measured
        .lines
        .par_iter()
        .map(|runs| mean(runs, queries))
        .collect();
    (0..measured.lines.len())
        .into_par_iter()
        .filter_map(|line| images(measured, comparisons, &means, line))
        .collect()
}

fn images(
    measured: &MeasuredRows<'_>,
    comparisons: &Comparisons,
    means: &[Option<Queries>],
    line: usize,
) -> Option<ImageIntervals> {
    let own = means[line].as_ref()?;
    let runs = &measured.lines[line];
    let metric = runs.primary()?;
    let cell = CellIndex { line, metric };
    let above = comparisons.get(cell).and_then(|comparison| {
        let reference = comparison.reference;
        let difference = difference(own, means[reference.line].as_ref()?)?;
        Some(Above {
            reference: measured.line(reference).key.clone(),
            difference,
        })
    });
    Some(ImageIntervals {
        panel: runs.panel,
        row: runs.key.clone(),
        metric: measured.metric(cell),
        queries: own.values.len(),
        summary: *measured.summaries.get(&cell)?,
        over_queries: over_queries(&own.values, CONFIDENCE, REPLICATES, SEED),
        over_classes: over_classes(&own.values, &own.classes, CONFIDENCE, REPLICATES, SEED),
        above,
    })
}

/// The difference over classes; none if the queries are not the same.
fn difference(own: &Queries, other: &Queries) -> Option<Resampled> {
    if own.classes != other.classes {
        return None;
    }
    let pairs = own.values.iter().zip(&other.values);
    let differences: Vec<f64> = pairs.map(|(own, other)| own - other).collect();
    over_classes(&differences, &own.classes, CONFIDENCE, REPLICATES, SEED)
}

/// The mean of each query over the finished runs; none if a run does not tell its queries, or has
/// others.
fn mean(runs: &RowRuns<'_>, queries: &QueriesOf<'_>) -> Option<Queries> {
    let metric = runs.metrics[runs.primary()?];
    let mut sum: Option<Queries> = None;
    let mut finished = 0;
    for row in &runs.runs {
        if !matches!(row.state, RunState::Finished(_)) {
            continue;
        }
        finished += 1;
        let next = queries(row, &[metric]).pop()??;
        sum = Some(match sum {
            None => next,
            Some(sum) => add(sum, next)?,
        });
    }
    let mut mean = sum?;
    for value in &mut mean.values {
        *value /= f64::from(finished);
    }
    Some(mean)
}

fn add(mut sum: Queries, next: Queries) -> Option<Queries> {
    if sum.classes != next.classes {
        return None;
    }
    for (sum, value) in sum.values.iter_mut().zip(next.values) {
        *sum += value;
    }
    Some(sum)
}
