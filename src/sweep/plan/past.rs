//! What finished jobs took, in time and space: the times in the journal and the folders of finished runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use rayon::prelude::*;
use schema::{Attempt, Identity, RunId, Trained, Work, canonical_json};
use serde::Serialize;

use super::Plan;
use crate::ledger::{
    AttemptEnd, Job, Ledger, LedgerError,
    journal::{self, JournalContents},
    read_json,
};

/// The number of recent runs on which estimates are based.
const RECENT: usize = 2000;

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

/// The costs of finished jobs, each list by what the jobs have in common.
#[derive(Debug, Default)]
pub(super) struct Past {
    recipes: BTreeMap<String, Vec<f64>>,
    /// Seconds per step.
    steps: BTreeMap<String, Vec<f64>>,
    measurements: BTreeMap<String, Vec<f64>>,
    preparations: BTreeMap<String, Vec<f64>>,
    /// Bytes of a run's folder.
    folders: BTreeMap<String, Vec<f64>>,
}

impl Past {
    /// Reads what finished jobs took.
    ///
    /// # Errors
    /// A result is damaged.
    pub(super) fn read(ledger: &Ledger) -> Result<Past, LedgerError> {
        // An unreadable journal costs the forecast, nothing else.
        let journal = journal::read_of_orchestrator(ledger.root()).unwrap_or_default();
        Past::of(journal, ledger)
    }

    /// The same of the jobs in the orchestrator's journal, which is read, and in those of workers.
    ///
    /// # Errors
    /// As for [`read`](Past::read).
    pub(super) fn of(journal: JournalContents, ledger: &Ledger) -> Result<Past, LedgerError> {
        let all = journal.with_those_of_workers(ledger.root());
        let seconds = seconds(all.unwrap_or_default());
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

    /// Returns the seconds that a job is expected to take, and what that is based on; nothing if no similar
    /// job has finished.
    pub(super) fn time(&self, job: Job, plan: &Plan) -> Option<(Basis, f64)> {
        match job {
            Job::Train(run) => {
                let identity = &plan.runs.get(&run)?.unseeded;
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

    /// Returns the bytes of a run's folder; nothing if no similar run has finished.
    pub(super) fn folder(&self, identity: &Identity) -> Option<f64> {
        usual(&self.folders, || weights(identity))
    }

    fn measurement(&self, run: RunId, plan: &Plan) -> Option<f64> {
        let identity = &plan.runs.get(&run)?.unseeded;
        usual(&self.measurements, || test(identity))
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
fn seconds(journal: JournalContents) -> BTreeMap<Job, f64> {
    let (mut spent, mut finished) = (BTreeMap::new(), BTreeSet::new());
    for attempt in journal.ended() {
        if let Some(seconds) = attempt.seconds {
            *spent.entry(attempt.job).or_insert(0.0) += seconds;
        }
        if attempt.end == AttemptEnd::Finished {
            finished.insert(attempt.job);
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
    let batch = recipe.training.as_ref().map(|training| {
        let of_batches = (&training.sampler, training.accumulate, training.chunk);
        (of_batches, &training.survey)
    });
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

/// Returns the median; 0 of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}
