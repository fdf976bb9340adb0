//! Sources of variance: by how much another search, another seed, another fold or another
//! class moves what was measured.

use std::collections::BTreeMap;

use schema::Metric;

use crate::{
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    repetition::{ByCondition, Repetition},
    stats::{deviation, mean, two_way},
};

/// The standard deviations of one row, by its primary metric, as fractions; none where they cannot be
/// estimated.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) panel: Panel,
    pub(crate) row: RowKey,
    pub(crate) metric: Metric,
    /// Of one search, beyond what its seeds explain; none if searches are not repeated.
    pub(crate) search: Option<f64>,
    /// Of one seed, its folds averaged; of the same search if there are several.
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
        let Some(values) = measured.records.of_cell(cell) else {
            continue;
        };
        let searches = by_search(values);
        let seeds: Vec<Vec<f64>> = searches.iter().flatten().cloned().collect();
        let sources = Sources {
            panel: runs.panel,
            row: runs.key.clone(),
            metric: measured.metric(cell),
            search: of_search(&searches),
            seed: of_seed(&searches),
            fold: of_fold(&seeds),
            class: of_class(measured, cell),
        };
        if [sources.search, sources.seed, sources.fold, sources.class]
            .iter()
            .any(Option::is_some)
        {
            all.push(sources);
        }
    }
    all
}

/// The values of each search, by seed and fold; a single group if searches are not repeated.
fn by_search(values: &ByCondition<f64>) -> Vec<Vec<Vec<f64>>> {
    let mut searches: BTreeMap<Option<Repetition>, BTreeMap<u64, Vec<f64>>> = BTreeMap::new();
    for (condition, value) in values.iter() {
        let search = Some(condition.repetition).filter(|repetition| repetition.is_search());
        let seeds = searches.entry(search).or_default();
        seeds.entry(condition.seed).or_default().push(*value);
    }
    let of_seeds = |seeds: BTreeMap<u64, Vec<f64>>| seeds.into_values().collect();
    searches.into_values().map(of_seeds).collect()
}

/// The deviation of seeds of the same search: the root of the mean variance.
fn of_seed(searches: &[Vec<Vec<f64>>]) -> Option<f64> {
    let variances: Vec<f64> = searches
        .iter()
        .filter_map(|seeds| deviation(&means(seeds)))
        .map(|deviation| deviation.powi(2))
        .collect();
    mean(&variances).map(f64::sqrt)
}

/// The deviation of searches beyond that of their seeds: the variance component of a one-way design with
/// random effects, in which seeds are nested in searches. None for fewer than two searches.
fn of_search(searches: &[Vec<Vec<f64>>]) -> Option<f64> {
    let of_searches: Vec<f64> = searches
        .iter()
        .filter_map(|seeds| mean(&means(seeds)))
        .collect();
    let all = deviation(&of_searches)?.powi(2);
    let shares: Vec<f64> = searches
        .iter()
        .map(|seeds| 1.0 / seeds.len() as f64)
        .collect();
    let explained = of_seed(searches).map_or(0.0, |seed| seed.powi(2)) * mean(&shares)?;
    Some((all - explained).max(0.0).sqrt())
}

/// The mean of each seed.
fn means(seeds: &[Vec<f64>]) -> Vec<f64> {
    seeds.iter().filter_map(|folds| mean(folds)).collect()
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
