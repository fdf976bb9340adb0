//! Sources of variance: by how much another seed, another fold or another class moves what was measured.

use std::collections::BTreeMap;

use schema::Metric;

use crate::{
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    stats::{deviation, mean, two_way},
};

/// The standard deviations of one row, by its primary metric, as fractions; none where they cannot be
/// estimated.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) panel: Panel,
    pub(crate) row: RowKey,
    pub(crate) metric: Metric,
    /// Of one seed, its folds averaged.
    pub(crate) seed: Option<f64>,
    /// Of one fold, beyond what the seed explains.
    pub(crate) fold: Option<f64>,
    /// Of one class, its seeds averaged.
    pub(crate) class: Option<f64>,
}

/// The sources of variance of each row for which one of them is known.
pub(super) fn of(measured: &MeasuredRows<'_>) -> Vec<Sources> {
    let mut all = Vec::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        let Some(metric) = runs.primary() else {
            continue;
        };
        let cell = CellIndex { line, metric };
        let seeds = by_seed(measured, cell);
        let sources = Sources {
            panel: runs.panel,
            row: runs.key.clone(),
            metric: measured.metric(cell),
            seed: of_seed(&seeds),
            fold: of_fold(&seeds),
            class: of_class(measured, cell),
        };
        if [sources.seed, sources.fold, sources.class]
            .iter()
            .any(Option::is_some)
        {
            all.push(sources);
        }
    }
    all
}

/// The values of each seed, by fold.
fn by_seed(measured: &MeasuredRows<'_>, cell: CellIndex) -> Vec<Vec<f64>> {
    let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (seed, value) in measured.records.of_cell(cell) {
        seeds.entry(seed).or_default().push(value);
    }
    seeds.into_values().collect()
}

fn of_seed(seeds: &[Vec<f64>]) -> Option<f64> {
    let means: Vec<f64> = seeds.iter().filter_map(|folds| mean(folds)).collect();
    deviation(&means)
}

/// None if seeds differ in their number of folds.
fn of_fold(seeds: &[Vec<f64>]) -> Option<f64> {
    let folds = seeds.first()?.len();
    if folds < 2 || seeds.iter().any(|seed| seed.len() != folds) {
        return None;
    }
    match seeds {
        [only] => deviation(only),
        _ => two_way(seeds, &vec![1.0; folds]).map(|crossed| crossed.classes.of_one()),
    }
}

fn of_class(measured: &MeasuredRows<'_>, cell: CellIndex) -> Option<f64> {
    let estimate = measured.by_class.mean(cell)?;
    Some(estimate.classes.of_one())
}
