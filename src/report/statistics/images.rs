//! The bootstrap over test images, from what each query of each run measured.

use rayon::prelude::*;
use schema::Metric;

use super::{Images, Queries};
use crate::{
    Row, RunState,
    claims::primary,
    gather::Runs,
    stats::{over_classes, over_queries},
};

/// Samples of a bootstrap.
const REPLICATES: usize = 2000;
/// The level of its intervals.
const CONFIDENCE: f64 = 0.95;
/// Names its draws.
const SEED: u64 = 0;

/// For each line whose runs tell what they measured for each query.
pub(super) fn of(
    lines: &[Runs<'_>],
    references: &[Option<usize>],
    axes: &[String],
    queries: &(dyn Fn(&Row, Metric) -> Option<Queries> + Sync),
) -> Vec<Images> {
    let means: Vec<Option<Queries>> = lines.par_iter().map(|runs| mean(runs, queries)).collect();
    let images = |(line, runs): (usize, &Runs<'_>)| {
        let own = means[line].as_ref()?;
        let metric = runs.metrics[primary(&runs.metrics)?];
        let reference = references[line].filter(|&reference| reference != line);
        let above = reference.and_then(|reference| {
            let other = means[reference]
                .as_ref()
                .filter(|other| other.classes == own.classes)?;
            let differences: Vec<f64> = own
                .values
                .iter()
                .zip(&other.values)
                .map(|(a, b)| a - b)
                .collect();
            let resampled = over_classes(&differences, &own.classes, CONFIDENCE, REPLICATES, SEED)?;
            Some((lines[reference].name(axes), resampled))
        });
        Some(Images {
            block: runs.block(),
            method: runs.name(axes),
            metric,
            queries: own.values.len(),
            over_queries: over_queries(&own.values, CONFIDENCE, REPLICATES, SEED),
            over_classes: over_classes(&own.values, &own.classes, CONFIDENCE, REPLICATES, SEED),
            above,
        })
    };
    lines.par_iter().enumerate().filter_map(images).collect()
}

/// What each query measured in the mean over the runs. None if a run does not tell, or has other queries.
fn mean(
    runs: &Runs<'_>,
    queries: &(dyn Fn(&Row, Metric) -> Option<Queries> + Sync),
) -> Option<Queries> {
    let metric = runs.metrics[primary(&runs.metrics)?];
    let mut sum: Option<Queries> = None;
    let finished: Vec<&Row> = runs
        .rows
        .iter()
        .filter(|row| matches!(row.state, RunState::Finished(_)))
        .copied()
        .collect();
    for row in &finished {
        let next = queries(row, metric)?;
        match &mut sum {
            None => sum = Some(next),
            Some(sum) if sum.classes == next.classes => {
                sum.values
                    .iter_mut()
                    .zip(next.values)
                    .for_each(|(sum, value)| *sum += value);
            }
            Some(_) => return None,
        }
    }
    let mut mean = sum?;
    mean.values
        .iter_mut()
        .for_each(|value| *value /= finished.len() as f64);
    Some(mean)
}
