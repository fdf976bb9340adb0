//! Ties: between which values a cell would lie under other orders of equally similar images.

use std::collections::BTreeMap;

use schema::Metric;

use crate::{Row, measured::MeasuredRows, model::Bounds, stats::mean};

/// The bounds of the mean of a cell, if the metric of any of its runs depends on the order of equally
/// similar images.
pub(crate) fn bounds(runs: &[&Row], metric: Metric) -> Option<Bounds> {
    let is_touched = |row: &&Row| row.bounds(metric).is_some();
    if !runs.iter().any(is_touched) {
        return None;
    }
    let low = |row: &Row| row.bounds(metric).map(|(low, _)| low);
    let high = |row: &Row| row.bounds(metric).map(|(_, high)| high);
    Some(Bounds {
        low: mean_of_seeds(runs, metric, low)?,
        high: mean_of_seeds(runs, metric, high)?,
    })
}

/// The mean over seeds, a seed with folds being the mean of its folds, of a bound or else the value.
fn mean_of_seeds(
    runs: &[&Row],
    metric: Metric,
    bound: impl Fn(&Row) -> Option<f64>,
) -> Option<f64> {
    let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for row in runs {
        if let Some(value) = row.measured(metric) {
            let values = seeds.entry(row.seed).or_default();
            values.push(bound(row).unwrap_or(value));
        }
    }
    let seeds: Vec<f64> = seeds.values().filter_map(|values| mean(values)).collect();
    mean(&seeds)
}

/// A line for each row with cells whose bounds differ as they are printed.
pub(crate) fn notes(measured: &MeasuredRows<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        let mut touched = Vec::new();
        for &metric in &runs.metrics {
            let bounds = bounds(&runs.runs, metric).filter(Bounds::are_visible);
            touched.extend(bounds.map(|bounds| format!("{} {bounds}", metric.heading())));
        }
        if !touched.is_empty() {
            let panel = measured.names.panel(runs.panel);
            let name = measured.name(line);
            notes.push(format!("{panel}, {name}: {}.", touched.join("; ")));
        }
    }
    notes
}
