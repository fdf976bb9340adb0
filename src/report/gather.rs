//! Which runs belong to one line of one data set, and what they measured.

use std::collections::{BTreeMap, BTreeSet};

use schema::Metric;

use crate::{Row, RunState, Together, frame::Observation};

/// What was measured, by seed and fold.
pub(crate) type Results = BTreeMap<(u64, Option<u32>), f64>;

/// The runs of one line of one data set.
pub(crate) struct Runs<'a> {
    pub(crate) dataset: &'a str,
    pub(crate) together: Option<Together>,
    pub(crate) method: &'a str,
    pub(crate) is_baseline: bool,
    /// In the order of the axes; empty where one does not apply.
    pub(crate) settings: Vec<String>,
    /// Where the line stands among those of a table: its method's place, then its settings'.
    pub(crate) place: (Option<usize>, Vec<Option<usize>>),
    pub(crate) metrics: Vec<Metric>,
    /// Each run once, by fold and seed.
    pub(crate) rows: Vec<&'a Row>,
    /// What was measured of each metric. A run that serves several seeds, as one without training does, counts for each.
    pub(crate) results: Vec<Results>,
}

/// The names of all axes, by first appearance.
pub(crate) fn axes(rows: &[Row]) -> Vec<String> {
    distinct(
        rows.iter()
            .flat_map(|row| row.settings.iter().map(|(axis, _)| axis)),
    )
}

/// All lines: data sets, methods and values of axes in the order in which they first appear.
pub(crate) fn lines<'a>(
    rows: &'a [Row],
    axes: &[String],
    metrics_of: &dyn Fn(&str) -> Vec<Metric>,
) -> Vec<Runs<'a>> {
    let datasets = distinct(rows.iter().map(|row| &row.dataset));
    let methods = distinct(rows.iter().map(|row| &row.method));
    let values: Vec<Vec<String>> = axes
        .iter()
        .map(|axis| distinct(rows.iter().filter_map(|row| setting(row, axis))))
        .collect();
    let mut lines: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let settings: Vec<Option<usize>> = axes
            .iter()
            .zip(&values)
            .map(|(axis, values)| setting(row, axis).and_then(|v| place(values, v)))
            .collect();
        let line = (place(&methods, &row.method), settings);
        lines
            .entry((place(&datasets, &row.dataset), row.together, line))
            .or_default()
            .push(row);
    }
    lines
        .into_iter()
        .map(|((.., place), rows)| line(rows, place, axes, metrics_of))
        .collect()
}

fn line<'a>(
    mut rows: Vec<&'a Row>,
    place: (Option<usize>, Vec<Option<usize>>),
    axes: &[String],
    metrics_of: &dyn Fn(&str) -> Vec<Metric>,
) -> Runs<'a> {
    let metrics = metrics_of(&rows[0].dataset);
    let results = metrics
        .iter()
        .map(|&metric| results(&rows, metric))
        .collect();
    rows.sort_by_key(|row| (row.run, row.state.rank(), row.seed, row.fold));
    rows.dedup_by_key(|row| row.run);
    rows.sort_by_key(|row| (row.fold, row.seed, row.run));
    Runs {
        dataset: &rows[0].dataset,
        together: rows[0].together,
        method: &rows[0].method,
        is_baseline: rows[0].is_baseline,
        settings: axes
            .iter()
            .map(|axis| setting(rows[0], axis).cloned().unwrap_or_default())
            .collect(),
        place,
        metrics,
        results,
        rows,
    }
}

fn results(rows: &[&Row], metric: Metric) -> Results {
    let result = |row: &&Row| {
        Some((
            (row.seed, row.fold.map(|fold| fold.index)),
            measured(row, metric)?,
        ))
    };
    rows.iter().filter_map(result).collect()
}

impl Runs<'_> {
    /// What was measured of the metric at this place, by seed; each run once.
    pub(crate) fn observations(
        &self,
        metric: usize,
        cell: u32,
    ) -> impl Iterator<Item = Observation> {
        let value = move |row: &&Row| {
            Some(Observation {
                cell,
                seed: row.seed,
                value: measured(row, self.metrics[metric])?,
            })
        };
        self.rows.iter().filter_map(value)
    }

    /// The method with the values of its axes: `Triplet (embedding 64)`.
    pub(crate) fn name(&self, axes: &[String]) -> String {
        let settings: Vec<String> = axes
            .iter()
            .zip(&self.settings)
            .filter(|(_, value)| !value.is_empty())
            .map(|(axis, value)| format!("{axis} {value}"))
            .collect();
        if settings.is_empty() {
            self.method.to_owned()
        } else {
            format!("{} ({})", self.method, settings.join(", "))
        }
    }

    /// The data set, and how its folds are taken together.
    pub(crate) fn block(&self) -> String {
        block(self.dataset, self.together)
    }

    pub(crate) fn finished(&self) -> usize {
        self.rows
            .iter()
            .filter(|row| matches!(row.state, RunState::Finished(_)))
            .count()
    }
}

/// A data set, and how its folds are taken together: `Omniglot, separated`.
pub(crate) fn block(dataset: &str, together: Option<Together>) -> String {
    match together {
        Some(together) => format!("{dataset}, {together}"),
        None => dataset.to_owned(),
    }
}

/// What a run measured, if it is a number.
pub(crate) fn measured(row: &Row, metric: Metric) -> Option<f64> {
    match &row.state {
        RunState::Finished(evaluated) => evaluated
            .scores
            .get(&metric)
            .copied()
            .filter(|value| value.is_finite()),
        RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => None,
    }
}

/// The distinct texts, by first appearance.
pub(crate) fn distinct<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts
        .filter(|text| seen.insert(text.as_str()))
        .cloned()
        .collect()
}

fn place(texts: &[String], text: &str) -> Option<usize> {
    texts.iter().position(|other| other == text)
}

fn setting<'a>(row: &'a Row, axis: &str) -> Option<&'a String> {
    row.settings
        .iter()
        .find(|(name, _)| name == axis)
        .map(|(_, value)| value)
}
