//! Estimates the time and the disk space of the remaining jobs from similar jobs that have finished here:
//! the times in the journal and the folders of finished runs. Without a similar job there is no estimate of time; the
//! space of a run is then that of its network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use rayon::prelude::*;
use schema::{
    Attempt, Cache, DataId, Files, Identity, ImageSize, RunId, Trained, Work, canonical_json,
};
use serde::Serialize;

use super::{
    Plan, PlannedData, StudyState,
    freshness::{Freshness, FreshnessOf},
};
use crate::ledger::{
    AttemptEnd, Job, Ledger, LedgerError,
    fingerprint::registration,
    journal::{self, Decision},
    read_json,
};

/// The number of recent runs on which estimates are based.
const RECENT: usize = 2000;

/// The estimate for a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// The estimate for each kind of jobs.
    pub verbs: BTreeMap<&'static str, Expected>,
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
        let known: f64 = self.verbs.values().map(|expected| expected.seconds).sum();
        let trainings = self
            .verbs
            .get("train")
            .map_or(0.0, |expected| expected.mean());
        known + self.ahead as f64 * trainings
    }

    /// The number of jobs to do.
    pub fn todo(&self) -> usize {
        self.verbs.values().map(|expected| expected.todo).sum()
    }

    /// The number of jobs without an estimate.
    pub fn unknown(&self) -> usize {
        self.verbs.values().map(Expected::unknown).sum()
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

/// What an estimate is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The same recipe with another seed or fold.
    Recipe,
    /// The same network, images and batch, in proportion to the steps.
    Steps,
    /// The same network, measured on the same data set.
    Measurement,
    /// The same data set in another format.
    Preparation,
}

impl Basis {
    /// The basis in words.
    pub fn words(self) -> &'static str {
        match self {
            Basis::Recipe => "from the same recipe with another seed or fold",
            Basis::Steps => "from the same network, images and batch, by steps",
            Basis::Measurement => "from the same network on the same data set",
            Basis::Preparation => "from the same data set in another format",
        }
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
        .map(|&job| (job, past.time(job, plan), past.size(job, plan, data_root)))
        .collect();
    let mut forecast = Forecast {
        ahead: ahead(plan),
        ..Forecast::default()
    };
    for (job, time, size) in expected {
        let of_verb = forecast.verbs.entry(job.verb()).or_default();
        of_verb.todo += 1;
        if let Some((basis, seconds)) = time {
            of_verb.seconds += seconds;
            *of_verb.known.entry(basis).or_default() += 1;
            forecast.longest = forecast.longest.max(seconds);
        }
        match size {
            Some(bytes) => {
                of_verb.bytes += bytes;
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
            let folds = study.trials.first().map_or(1, |trial| trial.runs.len());
            let trials = study.budget.saturating_sub(study.trials.len());
            ahead += folds * trials + study.members.len();
        }
    }
    ahead
}

/// The costs of finished jobs, each list by what the jobs have in common.
#[derive(Default)]
struct Past {
    recipes: BTreeMap<String, Vec<f64>>,
    /// Seconds per step.
    steps: BTreeMap<String, Vec<f64>>,
    measurements: BTreeMap<String, Vec<f64>>,
    preparations: BTreeMap<String, Vec<f64>>,
    /// Bytes of a run's folder.
    folders: BTreeMap<String, Vec<f64>>,
}

impl Past {
    fn read(ledger: &Ledger) -> Result<Past, LedgerError> {
        let seconds = seconds(ledger);
        let mut past = Past::default();
        for (&job, &seconds) in seconds
            .iter()
            .filter(|(job, _)| matches!(job, Job::Prepare(_)))
        {
            let attempt: Option<Attempt> =
                read_json(&ledger.attempt_folder(job, ledger.attempts(job)?).attempt())
                    .ok()
                    .flatten();
            if let Some(Attempt {
                work: Work::Prepare(work),
                ..
            }) = attempt
            {
                past.preparations
                    .entry(canonical_json(&work.dataset))
                    .or_default()
                    .push(seconds);
            }
        }
        let trained: Vec<RunId> = seconds
            .keys()
            .rev()
            .filter_map(|job| match job {
                Job::Train(run) => Some(*run),
                Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => None,
            })
            .take(RECENT)
            .collect();
        let read: Vec<_> = trained
            .par_iter()
            .map(|&run| finished(run, ledger))
            .collect::<Result<_, _>>()?;
        for (run, identity, trained, bytes) in read.into_iter().flatten() {
            let training = seconds[&Job::Train(run)];
            add(&mut past.recipes, recipe(&identity), training);
            if trained.steps > 0 {
                let step = training / trained.steps as f64;
                add(&mut past.steps, network(&identity), step);
            }
            if let Some(&measurement) = seconds.get(&Job::Evaluate(run)) {
                add(&mut past.measurements, test(&identity), measurement);
            }
            add(&mut past.folders, weights(&identity), bytes);
        }
        Ok(past)
    }

    fn time(&self, job: Job, plan: &Plan) -> Option<(Basis, f64)> {
        match job {
            Job::Train(run) => {
                let identity = &plan.runs.get(&run)?.identity;
                let same = usual(&self.recipes, || recipe(identity))
                    .map(|seconds| (Basis::Recipe, seconds));
                same.or_else(|| {
                    let steps = identity.recipe.training.as_ref()?.steps as f64;
                    Some((
                        Basis::Steps,
                        steps * usual(&self.steps, || network(identity))?,
                    ))
                })
            }
            Job::Evaluate(run) => Some((Basis::Measurement, self.measurement(run, plan)?)),
            // As long as measuring each of its networks alone.
            Job::Ensemble(id) => {
                let runs = &plan.ensembles.get(&id)?.runs;
                Some((
                    Basis::Measurement,
                    runs.len() as f64 * self.measurement(*runs.first()?, plan)?,
                ))
            }
            Job::Prepare(data) => {
                let dataset = &plan.data.get(&data)?.dataset;
                Some((
                    Basis::Preparation,
                    usual(&self.preparations, || canonical_json(dataset))?,
                ))
            }
        }
    }

    fn measurement(&self, run: RunId, plan: &Plan) -> Option<f64> {
        let identity = &plan.runs.get(&run)?.identity;
        usual(&self.measurements, || test(identity))
    }

    fn size(&self, job: Job, plan: &Plan, data_root: &Path) -> Option<u64> {
        match job {
            Job::Train(run) => {
                let planned = plan.runs.get(&run)?;
                let identity = &planned.identity;
                let similar = usual(&self.folders, || weights(identity)).map(|bytes| bytes as u64);
                // Of a trial, only scores are kept.
                let is_kept = planned.member.is_some();
                let network = || is_kept.then(|| identity.recipe.bytes_of_network());
                Some(similar.or_else(network).unwrap_or(0))
            }
            Job::Evaluate(_) | Job::Ensemble(_) => Some(0),
            Job::Prepare(data) => images(data, plan, data_root),
        }
    }
}

fn add(lists: &mut BTreeMap<String, Vec<f64>>, key: String, value: f64) {
    lists.entry(key).or_default().push(value);
}

/// The median of the list of a key. Keys are made only if there are lists: a hundred thousand of them
/// take a second.
fn usual(lists: &BTreeMap<String, Vec<f64>>, key: impl FnOnce() -> String) -> Option<f64> {
    if lists.is_empty() {
        None
    } else {
        lists.get(&key()).map(|list| median(list))
    }
}

/// The seconds of each finished job, over all of its attempts.
fn seconds(ledger: &Ledger) -> BTreeMap<Job, f64> {
    // An unreadable journal costs the forecast, nothing else.
    let contents = journal::read(ledger.root()).unwrap_or_default();
    let (mut started, mut spent, mut finished) =
        (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    for entry in contents.entries {
        match entry.what {
            Decision::Started { job, attempt, .. } => {
                started.insert((job, attempt), entry.time);
            }
            Decision::Ended { job, attempt, end } => {
                if let Some(begun) = started.remove(&(job, attempt)) {
                    *spent.entry(job).or_insert(0.0) +=
                        entry.time.saturating_sub(begun) as f64 / 1e3;
                }
                if end == AttemptEnd::Finished {
                    finished.insert(job);
                }
            }
            Decision::Opened { .. }
            | Decision::LeftOut { .. }
            | Decision::Selected { .. }
            | Decision::Closed => {}
        }
    }
    spent.retain(|job, _| finished.contains(job));
    spent
}

/// What is known of a run that was trained. Those that an older program left are passed over.
#[allow(clippy::type_complexity)]
fn finished(
    run: RunId,
    ledger: &Ledger,
) -> Result<Option<(RunId, Identity, Trained, f64)>, LedgerError> {
    let identity = ledger
        .identity(run)?
        .and_then(|identity| serde_json::from_value(identity).ok());
    let trained = ledger.trained(run)?;
    let files = fs::read_dir(ledger.run(run).path())
        .into_iter()
        .flatten()
        .flatten();
    let bytes: u64 = files
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len())
        .sum();
    Ok(identity
        .zip(trained)
        .map(|(identity, trained)| (run, identity, trained, bytes as f64)))
}

/// The recipe, whatever its seed and fold.
fn recipe(identity: &Identity) -> String {
    let mut identity = identity.clone();
    identity.recipe.seed = 0;
    identity.recipe.fold = None;
    canonical_json(&identity)
}

/// What a step takes time for.
fn network(identity: &Identity) -> String {
    let recipe = &identity.recipe;
    let batch = recipe
        .training
        .as_ref()
        .map(|training| (&training.sampler, training.accumulate, training.chunk));
    canonical_json(&(
        &recipe.model,
        &recipe.images,
        &recipe.transform,
        batch,
        identity.numerics,
    ))
}

/// What measuring takes time for.
fn test(identity: &Identity) -> String {
    let recipe = &identity.recipe;
    canonical_json(&(
        &recipe.model,
        &recipe.images,
        &recipe.transform.test,
        &recipe.dataset,
        identity.numerics,
    ))
}

/// What a run's folder takes room for.
fn weights(identity: &Identity) -> String {
    canonical_json(&(&identity.recipe.model, identity.recipe.training.is_some()))
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

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}
