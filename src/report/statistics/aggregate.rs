//! Each trained row over all data sets: the interquartile mean and the performance profile of its runs.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::{
    Together,
    key::{CellIndex, DatasetIndex, RowKey},
    measured::MeasuredRows,
    stats::{Interval, interquartile_mean_over, performance_profile},
};

/// The fewest data sets over which runs are aggregated.
const FEWEST: usize = 2;
/// Replicates of the bootstrap.
const REPLICATES: usize = 2000;
/// The seed of its draws.
const SEED: u64 = 0;
/// The number of scores of a profile, from 0 to 1.
const SCORES: u32 = 101;

/// The aggregates of one row.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) together: Option<Together>,
    pub(crate) row: RowKey,
    pub(crate) datasets: usize,
    pub(crate) interquartile: Interval,
    /// Scores, each with the share of runs that reach it.
    pub(crate) profile: Vec<(f64, f64)>,
}

/// The rows that were measured on all of two or more data sets, each by its primary metric, the best first.
pub(super) fn of(measured: &MeasuredRows<'_>) -> Vec<Aggregate> {
    let mut all = Vec::new();
    for (together, rows) in by_row(measured) {
        let datasets: BTreeSet<DatasetIndex> =
            rows.values().flat_map(BTreeMap::keys).copied().collect();
        if datasets.len() < FEWEST {
            continue;
        }
        let complete = rows
            .into_par_iter()
            .filter(|(_, sets)| sets.len() == datasets.len());
        let mut of_way: Vec<Aggregate> = complete
            .filter_map(|(row, sets)| aggregate(together, row, sets.into_values().collect()))
            .collect();
        of_way.sort_by(|a, b| b.interquartile.mean.total_cmp(&a.interquartile.mean));
        all.extend(of_way);
    }
    all
}

/// The scores of each repetition, by data set.
type OfRow = BTreeMap<DatasetIndex, Vec<f64>>;

/// The scores of trained rows, for each way to combine folds.
fn by_row(measured: &MeasuredRows<'_>) -> BTreeMap<Option<Together>, BTreeMap<RowKey, OfRow>> {
    let mut ways = BTreeMap::<_, BTreeMap<_, OfRow>>::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        let Some(metric) = runs.primary().filter(|_| !runs.is_baseline) else {
            continue;
        };
        let scores: Vec<f64> = measured
            .records
            .means_of_repetitions(CellIndex { line, metric });
        if !scores.is_empty() {
            let rows = ways.entry(runs.panel.together).or_default();
            let sets = rows.entry(runs.key.clone()).or_default();
            sets.insert(runs.panel.dataset, scores);
        }
    }
    ways
}

fn aggregate(together: Option<Together>, row: RowKey, sets: Vec<Vec<f64>>) -> Option<Aggregate> {
    let scores: Vec<f64> = (0..SCORES)
        .map(|step| f64::from(step) / f64::from(SCORES - 1))
        .collect();
    let shares = performance_profile(&sets, &scores);
    Some(Aggregate {
        together,
        row,
        datasets: sets.len(),
        interquartile: interquartile_mean_over(&sets, REPLICATES, SEED)?,
        profile: scores.into_iter().zip(shares).collect(),
    })
}
