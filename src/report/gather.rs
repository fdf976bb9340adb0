//! Gathers the runs of each line: one method, under one combination of axis values, on one data set.

use std::collections::{BTreeMap, BTreeSet};

use schema::{Dataset, Metric};

use crate::{
    Row, RunState, Source, Titles,
    key::{DatasetIndex, Panel, RowKey},
};

/// The runs of one line.
pub(crate) struct RowRuns<'a> {
    pub(crate) panel: Panel,
    pub(crate) key: RowKey,
    pub(crate) is_baseline: bool,
    pub(crate) metrics: Vec<Metric>,
    /// Each run once, by fold and seed.
    pub(crate) runs: Vec<&'a Row>,
    /// Runs that serve further seeds, as one without training does, under those seeds.
    pub(crate) repeats: Vec<&'a Row>,
}

impl RowRuns<'_> {
    /// The position of the metric by which comparisons are judged: MAP@R where it is measured, as
    /// the most informative.
    pub(crate) fn primary(&self) -> Option<usize> {
        primary(&self.metrics)
    }

    pub(crate) fn finished(&self) -> usize {
        self.runs
            .iter()
            .filter(|row| matches!(row.state, RunState::Finished(_)))
            .count()
    }

    /// What the finished runs were measured on.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let finished = self
            .runs
            .iter()
            .filter(|row| matches!(row.state, RunState::Finished(_)));
        finished.map(|row| row.source()).collect()
    }

    /// The number of runs without any outcome.
    pub(crate) fn missing(&self) -> usize {
        self.runs
            .iter()
            .filter(|row| matches!(row.state, RunState::Missing))
            .count()
    }

    /// The number of runs that measured a metric.
    pub(crate) fn measured(&self, metric: Metric) -> usize {
        self.runs
            .iter()
            .filter(|row| row.measured(metric).is_some())
            .count()
    }
}

/// The position of the metric by which comparisons are judged.
pub(crate) fn primary(metrics: &[Metric]) -> Option<usize> {
    let map_at_r = metrics.iter().position(|metric| *metric == Metric::MapAtR);
    map_at_r.or((!metrics.is_empty()).then_some(0))
}

/// What is printed for each key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Names {
    pub(crate) datasets: Titles,
    methods: Vec<String>,
    axes: Vec<AxisValues>,
}

/// An axis and its values by first appearance.
#[derive(Clone, Debug, PartialEq)]
struct AxisValues {
    name: String,
    values: Vec<String>,
}

impl Names {
    fn of(rows: &[Row]) -> Names {
        let names = rows.iter().flat_map(|row| &row.settings);
        let names = distinct(names.map(|setting| setting.axis.as_str()));
        Names {
            datasets: Titles::of(rows.iter().map(|row| &row.dataset)),
            methods: distinct(rows.iter().map(|row| row.method.as_str())),
            axes: names
                .into_iter()
                .map(|name| AxisValues::of(name, rows))
                .collect(),
        }
    }

    fn panel_of(&self, row: &Row) -> Option<Panel> {
        Some(Panel {
            dataset: self.dataset(&row.dataset)?,
            together: row.together,
        })
    }

    /// The key of a data set, if it has rows.
    pub(crate) fn dataset(&self, dataset: &Dataset) -> Option<DatasetIndex> {
        self.datasets.position(dataset).map(DatasetIndex)
    }

    pub(crate) fn title(&self, dataset: DatasetIndex) -> &str {
        self.datasets.at(dataset.0)
    }

    pub(crate) fn method(&self, key: &RowKey) -> &str {
        &self.methods[key.method]
    }

    pub(crate) fn is_method(&self, key: &RowKey, name: &str) -> bool {
        self.method(key) == name
    }

    pub(crate) fn axes(&self) -> Vec<String> {
        self.axes.iter().map(|axis| axis.name.clone()).collect()
    }

    /// The position of an axis, if a row has a value of it.
    pub(crate) fn axis(&self, name: &str) -> Option<usize> {
        self.axes.iter().position(|axis| axis.name == name)
    }

    /// The values of an axis, by first appearance.
    pub(crate) fn values(&self, axis: usize) -> &[String] {
        &self.axes[axis].values
    }

    /// The value of each axis; empty where it does not apply.
    pub(crate) fn settings(&self, key: &RowKey) -> Vec<String> {
        let values = self.axes.iter().zip(&key.values);
        values
            .map(|(axis, value)| value.map(|value| axis.values[value].clone()))
            .map(Option::unwrap_or_default)
            .collect()
    }

    /// The method with its axis values: `Triplet (embedding 64)`.
    pub(crate) fn row(&self, key: &RowKey) -> String {
        let mut settings = Vec::new();
        for (axis, value) in self.axes.iter().zip(&key.values) {
            if let Some(value) = *value {
                settings.push(format!("{} {}", axis.name, axis.values[value]));
            }
        }
        match settings[..] {
            [] => self.method(key).to_owned(),
            _ => format!("{} ({})", self.method(key), settings.join(", ")),
        }
    }

    /// The data set, and how its folds are combined: `Omniglot, separated`.
    pub(crate) fn panel(&self, panel: Panel) -> String {
        match panel.together {
            Some(together) => format!("{}, {together}", self.title(panel.dataset)),
            None => self.title(panel.dataset).to_owned(),
        }
    }
}

impl AxisValues {
    fn of(name: String, rows: &[Row]) -> AxisValues {
        let values = distinct(rows.iter().filter_map(|row| row.setting(&name)));
        AxisValues { name, values }
    }
}

/// The positions of methods and axis values, to find the keys of many rows.
struct Positions<'n> {
    methods: BTreeMap<&'n str, usize>,
    /// The name of each axis, and its values.
    axes: Vec<(&'n str, BTreeMap<&'n str, usize>)>,
}

impl<'n> Positions<'n> {
    fn of(names: &'n Names) -> Positions<'n> {
        let axes = names.axes.iter();
        Positions {
            methods: positions(&names.methods),
            axes: axes
                .map(|axis| (axis.name.as_str(), positions(&axis.values)))
                .collect(),
        }
    }

    fn key_of(&self, row: &Row) -> Option<RowKey> {
        let values = self.axes.iter().map(|(axis, values)| {
            let value = row.setting(axis)?;
            values.get(value).copied()
        });
        Some(RowKey {
            method: *self.methods.get(row.method.as_str())?,
            values: values.collect(),
        })
    }
}

fn positions(texts: &[String]) -> BTreeMap<&str, usize> {
    let texts = texts.iter().enumerate();
    texts
        .map(|(position, text)| (text.as_str(), position))
        .collect()
}

/// The lines, and what is printed for their keys. Data sets, methods and axis values are in the
/// order of first appearance.
pub(crate) fn gather<'a>(
    rows: &'a [Row],
    metrics_of: &dyn Fn(&Dataset) -> Vec<Metric>,
) -> (Names, Vec<RowRuns<'a>>) {
    let names = Names::of(rows);
    let positions = Positions::of(&names);
    let mut grouped: BTreeMap<(Panel, RowKey), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        if let (Some(panel), Some(key)) = (names.panel_of(row), positions.key_of(row)) {
            grouped.entry((panel, key)).or_default().push(row);
        }
    }
    let mut lines = Vec::with_capacity(grouped.len());
    for ((panel, key), rows) in grouped {
        let metrics = metrics_of(&rows[0].dataset);
        let is_baseline = rows[0].is_baseline;
        let (runs, repeats) = once(rows);
        lines.push(RowRuns {
            panel,
            key,
            is_baseline,
            metrics,
            runs,
            repeats,
        });
    }
    (names, lines)
}

/// Each run once, by fold and seed, and the runs that serve further seeds.
fn once(mut rows: Vec<&Row>) -> (Vec<&Row>, Vec<&Row>) {
    rows.sort_by_key(|row| (row.run, row.state.rank(), row.seed, row.fold));
    let mut known = BTreeSet::new();
    let (mut runs, mut repeats): (Vec<&Row>, Vec<&Row>) =
        rows.into_iter().partition(|row| known.insert(row.run));
    runs.sort_by_key(|row| (row.fold, row.seed, row.run));
    let mut served: BTreeSet<_> = runs
        .iter()
        .map(|row| (row.run, row.seed, row.fold))
        .collect();
    repeats.retain(|row| served.insert((row.run, row.seed, row.fold)));
    (runs, repeats)
}

/// The distinct texts, by first appearance.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts
        .filter(|text| seen.insert(*text))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_at_r_is_the_most_informative_metric() {
        assert_eq!(primary(&[Metric::RecallAt(1), Metric::MapAtR]), Some(1));
        assert_eq!(primary(&[Metric::RecallAt(1)]), Some(0));
        assert_eq!(primary(&[]), None);
    }
}
