//! Where the numbers of a table come from: programs, machines, dates and costs, beside what was tried on the way.
//!
//! None of it is in the table itself: the same command on the same machine makes the same table, byte for byte, whenever
//! it runs.

mod render;

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::Sum,
    ops::Add,
    sync::Arc,
};

use schema::{Computation, Dataset, Fold, Metric, RunId, Scores};

use crate::{
    Row, Together,
    gather::{Names, RowRuns, gather},
    key::{DatasetIndex, Panel, RowKey},
};

/// What is known of how the result of a run was computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The attempts at its training.
    pub training: Vec<Arc<Computation>>,
    /// The attempts at measuring it.
    pub measuring: Vec<Arc<Computation>>,
    /// The images of all batches of its training.
    pub images: Option<u64>,
    /// The validation scores of the network that was kept.
    pub validation: Option<Scores>,
}

/// What was tried on the way to a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tried {
    /// The runs of the sweep that have a result, trials of searches among them.
    pub runs: usize,
    /// What all its jobs took.
    pub cost: Cost,
    /// For each data set, what was ever measured on its test classes.
    pub measured: Vec<EverMeasured>,
}

/// What attempts at jobs took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Their number.
    pub attempts: usize,
    /// Their time in milliseconds.
    pub milliseconds: u64,
    /// The time of those that had a GPU.
    pub on_gpus: u64,
}

impl Cost {
    /// Returns the cost of one attempt.
    pub fn of(attempt: &Computation) -> Cost {
        let has_gpu = attempt.host.as_ref().is_some_and(|host| host.gpu.is_some());
        Cost {
            attempts: 1,
            milliseconds: attempt.milliseconds,
            on_gpus: if has_gpu { attempt.milliseconds } else { 0 },
        }
    }
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            attempts: self.attempts + other.attempts,
            milliseconds: self.milliseconds + other.milliseconds,
            on_gpus: self.on_gpus + other.on_gpus,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), Cost::add)
    }
}

/// What all sweeps together have measured on the test classes of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct EverMeasured {
    /// The data set.
    pub dataset: Dataset,
    /// The number of recipes that differ in more than seed and fold.
    pub recipes: usize,
    /// The number of runs.
    pub runs: usize,
}

/// The origins of a sweep's results, ready to be rendered.
#[derive(Clone, Debug)]
pub struct Provenance {
    sweep: String,
    pub(crate) names: Names,
    tried: Tried,
    pub(crate) lines: Vec<OriginLine>,
    pub(crate) runs: Vec<RunOrigin>,
    /// The models of the devices that computed the runs, with the number of runs of each.
    devices: BTreeMap<String, usize>,
}

/// A method under one combination of axis values on one data set: means over its runs.
#[derive(Clone, Debug)]
pub(crate) struct OriginLine {
    pub(crate) panel: Panel,
    pub(crate) row: RowKey,
    pub(crate) parameters: Option<u64>,
    pub(crate) images_per_second: Option<f64>,
    /// The time of all attempts in hours.
    pub(crate) hours: Option<f64>,
    /// The largest memory of a process in bytes: that of the GPU, if it is known.
    pub(crate) memory: Option<u64>,
    /// The same metric on validation and on test classes.
    pub(crate) compared: Option<Compared>,
}

/// A metric on validation and on test classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Compared {
    pub(crate) metric: Metric,
    pub(crate) validation: f64,
    pub(crate) test: f64,
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct RunOrigin {
    pub(crate) dataset: DatasetIndex,
    pub(crate) seed: u64,
    pub(crate) fold: Option<Fold>,
    pub(crate) run: RunId,
    pub(crate) key: RowKey,
    pub(crate) origin: Arc<Origin>,
    pub(crate) compared: Option<Compared>,
}

/// Collects the origins of the runs of a sweep.
pub fn provenance(
    sweep: &str,
    rows: &[Row],
    metrics: &dyn Fn(&Dataset) -> Vec<Metric>,
    origins: &BTreeMap<RunId, Arc<Origin>>,
    tried: Tried,
) -> Provenance {
    let (names, gathered) = gather(rows, metrics);
    let mut lines = Vec::new();
    let mut runs = Vec::new();
    for line in &gathered {
        // An ensemble consists of runs that have lines of their own.
        if line.panel.together == Some(Together::Concatenated) {
            continue;
        }
        let found = runs_of(line, origins);
        lines.push(summary(line, &found));
        runs.extend(found);
    }
    Provenance {
        sweep: sweep.to_owned(),
        tried,
        devices: counted_devices(&runs),
        lines,
        runs,
        names,
    }
}

fn counted_devices(runs: &[RunOrigin]) -> BTreeMap<String, usize> {
    let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
    for device in runs.iter().flat_map(RunOrigin::devices) {
        *devices.entry(device).or_default() += 1;
    }
    let devices = devices.into_iter();
    devices
        .map(|(device, runs)| (device.to_owned(), runs))
        .collect()
}

fn runs_of(line: &RowRuns<'_>, origins: &BTreeMap<RunId, Arc<Origin>>) -> Vec<RunOrigin> {
    let with_origin = line.runs.iter().map(|&row| {
        let origin = origins.get(&row.run).cloned().unwrap_or_default();
        RunOrigin {
            key: line.key.clone(),
            compared: compared(row, &origin, line),
            dataset: line.panel.dataset,
            seed: row.seed,
            fold: row.fold,
            run: row.run,
            origin,
        }
    });
    with_origin.collect()
}

/// Returns the most informative metric that a run has on both validation and test classes.
fn compared(row: &Row, origin: &Origin, line: &RowRuns<'_>) -> Option<Compared> {
    let validation = origin.validation.as_ref()?;
    let primary = line.primary().map(|position| line.metrics[position]);
    let mut metrics = primary.into_iter().chain(line.metrics.iter().copied());
    metrics.find_map(|metric| {
        Some(Compared {
            metric,
            validation: *validation.get(&metric)?,
            test: row.measured(metric)?,
        })
    })
}

fn summary(line: &RowRuns<'_>, runs: &[RunOrigin]) -> OriginLine {
    let attempts = || runs.iter().flat_map(RunOrigin::attempts);
    let speeds: Vec<f64> = runs
        .iter()
        .filter_map(RunOrigin::images_per_second)
        .collect();
    OriginLine {
        panel: line.panel,
        row: line.key.clone(),
        parameters: attempts().filter_map(|attempt| attempt.parameters).max(),
        images_per_second: mean(&speeds),
        hours: attempts().next().map(|_| hours(attempts())),
        memory: attempts().filter_map(memory).max(),
        compared: mean_of_compared(runs),
    }
}

fn mean_of_compared(runs: &[RunOrigin]) -> Option<Compared> {
    let all: Vec<Compared> = runs.iter().filter_map(|run| run.compared).collect();
    let of = |value: fn(&Compared) -> f64| mean(&all.iter().map(value).collect::<Vec<_>>());
    Some(Compared {
        metric: all.first()?.metric,
        validation: of(|one| one.validation)?,
        test: of(|one| one.test)?,
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the time of some attempts in hours.
pub(crate) fn hours<'a>(attempts: impl Iterator<Item = &'a Computation>) -> f64 {
    in_hours(attempts.map(|attempt| attempt.milliseconds).sum())
}

/// Returns milliseconds in hours.
pub(crate) fn in_hours(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0 / 3600.0
}

pub(crate) fn seconds<'a>(attempts: impl Iterator<Item = &'a Computation>) -> f64 {
    let milliseconds: u64 = attempts.map(|attempt| attempt.milliseconds).sum();
    milliseconds as f64 / 1000.0
}

/// Returns the memory of an attempt: that of the GPU, if it has one that tells.
pub(crate) fn memory(attempt: &Computation) -> Option<u64> {
    let host = attempt.host.as_ref()?;
    host.gpu.as_ref().map_or(host.memory, |gpu| gpu.memory)
}

impl RunOrigin {
    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Computation> {
        let all = self.origin.training.iter().chain(&self.origin.measuring);
        all.map(Arc::as_ref)
    }

    /// The attempt that led to the result.
    pub(crate) fn last(&self) -> Option<&Computation> {
        self.attempts().last()
    }

    pub(crate) fn images_per_second(&self) -> Option<f64> {
        let seconds = seconds(self.origin.training.iter().map(Arc::as_ref));
        (seconds > 0.0).then_some(self.origin.images? as f64 / seconds)
    }

    /// The models of the devices that computed it.
    pub(crate) fn devices(&self) -> BTreeSet<&str> {
        let hosts = self.attempts().filter_map(|attempt| attempt.host.as_ref());
        hosts.map(|host| host.device()).collect()
    }
}

impl Provenance {
    /// Returns the models of the devices that computed the runs of the tables, with the number of runs of each.
    pub fn devices(&self) -> BTreeMap<&str, usize> {
        let devices = self.devices.iter();
        devices
            .map(|(device, &runs)| (device.as_str(), runs))
            .collect()
    }

    /// Returns a sentence for tables whose runs were computed on different devices.
    pub fn mixture(&self) -> Option<String> {
        let devices = self.devices();
        let counted = devices
            .iter()
            .map(|(device, runs)| format!("{device}: {}", counted(*runs, "run")));
        let counted: Vec<String> = counted.collect();
        (devices.len() > 1).then(|| {
            format!(
                "Computed on different devices, whose results differ in the last digits ({}).",
                counted.join("; ")
            )
        })
    }
}

/// `1 run`, `2 runs`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
