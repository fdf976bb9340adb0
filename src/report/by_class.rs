//! What runs measured for each class of the test images, from the values of each query: the input of
//! intervals that cover new classes as well as new seeds.
//!
//! A run whose queries are not known, or whose mean over them is not the value of its record, has none;
//! intervals of its cell are then over seeds alone.

use std::collections::BTreeMap;

use rayon::prelude::*;
use schema::{Dataset, Metric, RunId};

use crate::{
    Row, RunState, Together,
    gather::RowRuns,
    key::CellIndex,
    repetition::{ByCondition, Condition, Pair, by_repetition, pairs},
    stats::{ClassOf, Estimate, two_way},
};

/// How far the mean over queries may be from the value of the record.
const ROUNDING: f64 = 1e-6;

/// The values of a metric for each query of a run's test images.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// The class of each query.
    pub classes: Vec<ClassOf>,
    /// The value of each query.
    pub values: Vec<f64>,
}

/// Returns the values of each query of a row's run by these metrics, none for those that are not known.
pub type QueriesOf<'a> = dyn Fn(&Row, &[Metric]) -> Vec<Option<Queries>> + Sync + 'a;

/// The scores of all runs by class.
#[derive(Debug, Default)]
pub struct ClassScores(BTreeMap<(RunId, Option<Together>), BTreeMap<Metric, ByClass>>);

/// The score of one run on each class.
#[derive(Debug, PartialEq)]
struct ByClass {
    classes: Vec<ClassOf>,
    /// The number of queries of each class.
    queries: Vec<f64>,
    /// Their mean.
    scores: Vec<f64>,
}

impl ClassScores {
    /// Reads the queries of each finished run once.
    pub fn read(
        rows: &[Row],
        metrics_of: &dyn Fn(&Dataset) -> Vec<Metric>,
        queries: &QueriesOf<'_>,
    ) -> ClassScores {
        let mut finished = BTreeMap::new();
        for row in rows {
            if matches!(row.state, RunState::Finished(_)) {
                let metrics = metrics_of(&row.dataset);
                finished
                    .entry((row.run, row.together))
                    .or_insert((row, metrics));
            }
        }
        let of_run = |(key, (row, metrics)): (_, (&Row, Vec<Metric>))| {
            let found = queries(row, &metrics);
            let by_metric = metrics.into_iter().zip(found);
            let by_class = by_metric.filter_map(|(metric, queries)| {
                Some((metric, ByClass::of(&queries?, row.measured(metric)?)?))
            });
            (key, by_class.collect())
        };
        ClassScores(finished.into_par_iter().map(of_run).collect())
    }

    fn get(&self, row: &Row, metric: Metric) -> Option<&ByClass> {
        self.0.get(&(row.run, row.together))?.get(&metric)
    }
}

impl ByClass {
    /// None if the mean over queries is not what was measured.
    fn of(queries: &Queries, measured: f64) -> Option<ByClass> {
        let mut sums: BTreeMap<ClassOf, (f64, f64)> = BTreeMap::new();
        for (class, value) in queries.classes.iter().zip(&queries.values) {
            let (sum, count) = sums.entry(*class).or_default();
            *sum += value;
            *count += 1.0;
        }
        let total: f64 = sums.values().map(|(sum, _)| sum).sum();
        let mean = total / queries.values.len() as f64;
        let is_measured = (mean - measured).abs() < ROUNDING;
        is_measured.then(|| ByClass {
            classes: sums.keys().copied().collect(),
            queries: sums.values().map(|(_, count)| *count).collect(),
            scores: sums.values().map(|(sum, count)| sum / count).collect(),
        })
    }

    fn has_queries_of(&self, other: &ByClass) -> bool {
        self.classes == other.classes && self.queries == other.queries
    }
}

/// The scores by class of all runs of a cell.
pub(crate) struct CellByClass<'a>(ByCondition<&'a ByClass>);

/// The cells all of whose runs have scores by class.
#[derive(Default)]
pub(crate) struct CellsByClass<'a>(BTreeMap<CellIndex, CellByClass<'a>>);

impl<'a> CellsByClass<'a> {
    pub(crate) fn of(scores: &'a ClassScores, lines: &[RowRuns<'_>]) -> CellsByClass<'a> {
        let mut cells = CellsByClass::default();
        for (line, runs) in lines.iter().enumerate() {
            for (metric, &kind) in runs.metrics.iter().enumerate() {
                if let Some(cell) = CellByClass::of(scores, runs, kind) {
                    cells.0.insert(CellIndex { line, metric }, cell);
                }
            }
        }
        cells
    }

    /// The mean of a cell over repetitions and classes. None if scores by class are not known, or there are
    /// fewer than two repetitions or classes.
    pub(crate) fn mean(&self, cell: CellIndex) -> Option<Estimate> {
        let scores = &self.0.get(&cell)?.0;
        let queries = &scores.values().next()?.queries;
        let repetitions = by_repetition(scores);
        let means: Vec<Vec<f64>> = repetitions.iter().map(|runs| mean_of(runs)).collect();
        two_way(&means, queries)
    }

    /// The difference of two cells over the repetitions that both have and the classes.
    pub(crate) fn difference(&self, first: CellIndex, second: CellIndex) -> Option<Estimate> {
        let (first, second) = (self.0.get(&first)?, self.0.get(&second)?);
        let known = *first.0.values().next()?;
        let mut differences = Vec::new();
        for pair in pairs(&first.0, &second.0) {
            let mut all = pair.first.iter().chain(&pair.second);
            if !all.all(|run| run.has_queries_of(known)) {
                return None;
            }
            differences.push(difference(&pair));
        }
        two_way(&differences, &known.queries)
    }
}

impl<'a> CellByClass<'a> {
    fn of(scores: &'a ClassScores, runs: &RowRuns<'_>, metric: Metric) -> Option<CellByClass<'a>> {
        let rows = runs.runs.iter().chain(&runs.repeats);
        let measured = rows.filter(|row| row.measured(metric).is_some());
        let by_class: Option<Vec<(Condition, &ByClass)>> = measured
            .map(|row| Some((Condition::of(row), scores.get(row, metric)?)))
            .collect();
        let cell = ByCondition::of(by_class?);
        // Two runs of one seed and fold: their values are averaged elsewhere.
        if cell.has_several_of_one() {
            return None;
        }
        let first = *cell.values().next()?;
        let is_one = cell.values().all(|run| run.has_queries_of(first));
        is_one.then_some(CellByClass(cell))
    }
}

/// The mean difference on each class in one repetition.
fn difference(pair: &Pair<'_, &ByClass>) -> Vec<f64> {
    if pair.is_matched {
        let runs = pair.first.iter().zip(&pair.second);
        let of_runs: Vec<Vec<f64>> = runs
            .map(|(own, other)| subtracted(&own.scores, &other.scores))
            .collect();
        return mean_of_folds(of_runs.iter());
    }
    subtracted(&mean_of(&pair.first), &mean_of(&pair.second))
}

fn subtracted(own: &[f64], other: &[f64]) -> Vec<f64> {
    own.iter().zip(other).map(|(a, b)| a - b).collect()
}

/// The mean score on each class.
fn mean_of(runs: &[&&ByClass]) -> Vec<f64> {
    mean_of_folds(runs.iter().map(|run| &run.scores))
}

fn mean_of_folds<'s>(folds: impl ExactSizeIterator<Item = &'s Vec<f64>> + Clone) -> Vec<f64> {
    let count = folds.len() as f64;
    let mut sums = Vec::new();
    for scores in folds {
        sums.resize(scores.len(), 0.0);
        for (sum, score) in sums.iter_mut().zip(scores) {
            *sum += score / count;
        }
    }
    sums
}
