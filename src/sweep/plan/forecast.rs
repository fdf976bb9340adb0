//! Estimates the time and the disk space of the remaining jobs from similar jobs that have finished here:
//! the times in the journal and the folders of finished runs. Without a similar job there is no estimate of time; the
//! space of a run is then that of its network.

use std::{collections::BTreeMap, path::Path};

use rayon::prelude::*;
use schema::{Cache, DataId, Files, ImageSize};
use serde::Serialize;

pub use super::past::Basis;
use super::{
    Plan, PlannedData, StudyState,
    freshness::{Freshness, FreshnessOf},
    past::Past,
};
use crate::ledger::{Job, JobKind, Ledger, LedgerError, fingerprint::registration};

/// The estimate for a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// The estimate for each kind of jobs.
    #[serde(rename = "verbs")]
    pub kinds: BTreeMap<JobKind, Expected>,
    /// The longest job with an estimate, in seconds.
    pub longest: f64,
    /// Bytes to be written under `results/`.
    pub bytes: u64,
    /// The number of jobs whose size is unknown.
    pub unsized_jobs: usize,
    /// The largest number of trainings that searches may add.
    pub ahead: usize,
}

/// The estimate for all jobs of a kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Expected {
    /// The number of jobs to do.
    pub todo: usize,
    /// The total time of those with an estimate, in seconds.
    pub seconds: f64,
    /// The number of jobs with an estimate, by its basis.
    pub known: BTreeMap<Basis, usize>,
    /// Bytes to be written under `results/`.
    #[serde(skip)]
    pub bytes: u64,
}

impl Forecast {
    /// The total time of all jobs with an estimate, in seconds; trainings that searches may add count as
    /// the mean of the others.
    pub fn seconds(&self) -> f64 {
        let known: f64 = self.kinds.values().map(|expected| expected.seconds).sum();
        let trainings = self.kinds.get(&JobKind::Train).map_or(0.0, Expected::mean);
        known + self.ahead as f64 * trainings
    }

    /// The number of jobs to do.
    pub fn todo(&self) -> usize {
        self.kinds.values().map(|expected| expected.todo).sum()
    }

    /// The number of jobs without an estimate.
    pub fn unknown(&self) -> usize {
        self.kinds.values().map(Expected::unknown).sum()
    }
}

impl Expected {
    /// The mean time of the jobs with an estimate.
    fn mean(&self) -> f64 {
        match self.known.values().sum::<usize>() {
            0 => 0.0,
            known => self.seconds / known as f64,
        }
    }

    /// The number of jobs without an estimate.
    pub fn unknown(&self) -> usize {
        self.todo - self.known.values().sum::<usize>()
    }
}

/// Estimates the jobs that have to run from those that have finished under `results/`.
///
/// # Errors
/// A file there is damaged.
pub fn of(
    plan: &Plan,
    freshness: &FreshnessOf,
    ledger: &Ledger,
    data_root: &Path,
) -> Result<Forecast, LedgerError> {
    let todo = freshness
        .iter()
        .filter(|(_, freshness)| matches!(freshness, Freshness::Stale(_)));
    let todo: Vec<Job> = todo.map(|(&job, _)| job).collect();
    let past = Past::read(ledger)?;
    let expected: Vec<_> = todo
        .par_iter()
        .map(|&job| (job, past.time(job, plan), size(&past, job, plan, data_root)))
        .collect();
    let mut forecast = Forecast {
        ahead: ahead(plan),
        ..Forecast::default()
    };
    for (job, time, size) in expected {
        let of_kind = forecast.kinds.entry(job.kind()).or_default();
        of_kind.todo += 1;
        if let Some((basis, seconds)) = time {
            of_kind.seconds += seconds;
            *of_kind.known.entry(basis).or_default() += 1;
            forecast.longest = forecast.longest.max(seconds);
        }
        match size {
            Some(bytes) => {
                of_kind.bytes += bytes;
                forecast.bytes += bytes;
            }
            None => forecast.unsized_jobs += 1,
        }
    }
    Ok(forecast)
}

/// The largest number of trials and repetitions that open studies may add.
fn ahead(plan: &Plan) -> usize {
    let mut ahead = 0;
    for study in &plan.studies {
        if study.state == StudyState::Open {
            let trials = study.budget.saturating_sub(study.trials.len());
            ahead += study.folds() * trials + study.runs_ahead() + study.members.len();
        }
    }
    ahead
}

/// Returns the bytes that a job writes; nothing if that is unknown.
fn size(past: &Past, job: Job, plan: &Plan, data_root: &Path) -> Option<u64> {
    match job {
        Job::Train(run) => {
            let planned = plan.runs.get(&run)?;
            let identity = &planned.unseeded;
            let similar = past.folder(identity).map(|bytes| bytes as u64);
            // Of a trial, only scores are kept.
            let is_kept = planned.member.is_some();
            let network = || is_kept.then(|| identity.recipe.bytes_of_network());
            Some(similar.or_else(network).unwrap_or(0))
        }
        Job::Evaluate(_) | Job::Ensemble(_) => Some(0),
        Job::Prepare(data) => images(data, plan, data_root),
    }
}

/// The bytes of a prepared data set, if all its images have the same size and it is known how many there are.
fn images(data: DataId, plan: &Plan, data_root: &Path) -> Option<u64> {
    let PlannedData {
        dataset,
        images,
        cache,
        ..
    } = plan.data.get(&data)?;
    let side = match (images.size, cache) {
        (_, Cache::Never) => return Some(0),
        (ImageSize::Square(side), _) => u64::from(side),
        (ImageSize::ShortSide(_), _) => return None,
    };
    let facts = dataset.facts();
    let count = if facts.files == Files::Drawn {
        let counts = facts.counts?;
        counts.training_images + counts.test_images
    } else {
        let found = registration(dataset, data_root)?;
        found.training_images + found.test_images
    };
    Some(count * side * side * u64::from(images.color.channels()))
}
