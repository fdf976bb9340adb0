//! Ranks of trained methods over several data sets.

use std::collections::{BTreeMap, BTreeSet};

use schema::Metric;

use crate::{
    Together,
    comparison::LEVEL,
    key::{CellIndex, DatasetIndex, RowKey},
    measured::MeasuredRows,
    stats::{friedman, nemenyi_difference},
};

/// The fewest data sets over which methods are ranked.
const FEWEST: usize = 3;

/// Methods ranked over data sets.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    pub(crate) together: Option<Together>,
    /// The data sets, each with its primary metric.
    pub(crate) datasets: Vec<(DatasetIndex, Metric)>,
    pub(crate) chi_squared: f64,
    pub(crate) p: f64,
    /// Two methods differ whose mean ranks differ by at least this much.
    pub(crate) critical: f64,
    /// Methods with their mean ranks, the best first.
    pub(crate) methods: Vec<(RowKey, f64)>,
}

/// The scores by the primary metric of each data set.
#[derive(Default)]
struct RankedScores<'a> {
    datasets: BTreeMap<DatasetIndex, Metric>,
    rows: Vec<&'a RowKey>,
    values: BTreeMap<(DatasetIndex, &'a RowKey), f64>,
}

/// One ranking for each way to combine folds, if at least three data sets measured the same three
/// methods or more.
pub(super) fn of(measured: &MeasuredRows<'_>) -> Vec<Ranking> {
    let ways: BTreeSet<Option<Together>> = measured
        .lines
        .iter()
        .map(|runs| runs.panel.together)
        .collect();
    ways.into_iter()
        .filter_map(|together| ranking(measured, together))
        .collect()
}

fn ranking(measured: &MeasuredRows<'_>, together: Option<Together>) -> Option<Ranking> {
    let scores = scores(measured, together)?;
    if scores.datasets.len() < FEWEST {
        return None;
    }
    let rows = scores.complete();
    let mut table = Vec::with_capacity(scores.datasets.len());
    for &dataset in scores.datasets.keys() {
        let values = rows.iter().map(|row| scores.values[&(dataset, *row)]);
        table.push(values.collect::<Vec<f64>>());
    }
    let test = friedman(&table)?;
    let rows = rows.into_iter().cloned();
    let mut methods: Vec<(RowKey, f64)> = rows.zip(test.mean_ranks).collect();
    methods.sort_by(|a, b| a.1.total_cmp(&b.1));
    Some(Ranking {
        together,
        chi_squared: test.chi_squared,
        p: test.p,
        critical: nemenyi_difference(methods.len(), table.len(), LEVEL),
        methods,
        datasets: scores.datasets.into_iter().collect(),
    })
}

/// The scores of all trained methods; none if a data set has no metric.
fn scores<'a>(
    measured: &'a MeasuredRows<'_>,
    together: Option<Together>,
) -> Option<RankedScores<'a>> {
    let mut scores = RankedScores::default();
    for (line, runs) in measured.lines.iter().enumerate() {
        if runs.panel.together != together || runs.is_baseline {
            continue;
        }
        let dataset = runs.panel.dataset;
        let metric = runs.primary()?;
        scores
            .datasets
            .entry(dataset)
            .or_insert(runs.metrics[metric]);
        if !scores.rows.contains(&&runs.key) {
            scores.rows.push(&runs.key);
        }
        if let Some(mean) = measured.mean(CellIndex { line, metric }) {
            scores.values.insert((dataset, &runs.key), mean);
        }
    }
    Some(scores)
}

impl<'a> RankedScores<'a> {
    /// The rows that have a score on every data set.
    fn complete(&self) -> Vec<&'a RowKey> {
        let mut rows = self.rows.clone();
        rows.retain(|row| {
            let mut datasets = self.datasets.keys();
            datasets.all(|dataset| self.values.contains_key(&(*dataset, *row)))
        });
        rows
    }
}
