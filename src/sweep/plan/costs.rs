//! What each job is expected to take: seconds, and what its memory and speed depend on.
//!
//! A time is measured where a similar job has finished, and otherwise guessed from the amount of work:
//! steps x batch x pixels x maps of the backbone, at the speed of the measured jobs of this plan. A guess
//! serves the order of jobs and simulations; [`forecast`](super::forecast) never shows one.

use schema::{Identity, KindId, Loss, Recipe, RunId, Training, canonical_json};
use serde_json::{Value, json};

use super::{
    PerRecipe, Plan, PlannedRun,
    past::{Past, median},
};
use crate::ledger::{Job, Ledger, LedgerError, journal::JournalContents};

/// Bytes of maps in a second, where nothing is measured.
const USUAL_SPEED: f64 = 2e9;

/// Images of a half of a data set, where their number is unknown.
const USUAL_IMAGES: u64 = 5_000;

/// Seconds of a process that hardly computes.
const LEAST: f64 = 1.0;

/// The expected times of jobs.
#[derive(Debug)]
pub struct Costs {
    past: Past,
    /// Bytes of maps in a second.
    speed: f64,
}

impl Costs {
    /// Learns from the finished jobs in a results folder. A damaged file costs accuracy, nothing else.
    pub fn read(plan: &Plan, ledger: &Ledger) -> Costs {
        Costs::after(Past::read(ledger), plan)
    }

    /// The same if the orchestrator's journal is read already.
    pub fn of(journal: JournalContents, plan: &Plan, ledger: &Ledger) -> Costs {
        Costs::after(Past::of(journal, ledger), plan)
    }

    fn after(past: Result<Past, LedgerError>, plan: &Plan) -> Costs {
        let past = past.unwrap_or_default();
        let speed = |run: RunId| {
            let (_, seconds) = past.time(Job::Train(run), plan)?;
            Some(work(Job::Train(run), plan) / seconds.max(1e-3))
        };
        let known = PerRecipe::default();
        let speeds = plan.runs.iter();
        let speeds = speeds.filter_map(|(&run, planned)| known.get(planned, || speed(run)));
        let speeds: Vec<f64> = speeds.filter(|speed| *speed > 0.0).collect();
        let speed = if speeds.is_empty() {
            USUAL_SPEED
        } else {
            median(&speeds)
        };
        Costs { past, speed }
    }

    /// Returns the seconds that a job is expected to take.
    pub fn seconds(&self, job: Job, plan: &Plan) -> f64 {
        self.measured(job, plan)
            .unwrap_or_else(|| LEAST + work(job, plan) / self.speed)
    }

    /// Returns the seconds that similar jobs took; nothing if none has finished.
    pub fn measured(&self, job: Job, plan: &Plan) -> Option<f64> {
        self.past.time(job, plan).map(|(_, seconds)| seconds)
    }
}

/// Returns the bytes of maps that a job goes through, roughly.
fn work(job: Job, plan: &Plan) -> f64 {
    let of_run = |run: &RunId| plan.runs.get(run);
    let work = match job {
        Job::Train(run) => of_run(&run).map(training),
        Job::Evaluate(run) => of_run(&run).map(measuring),
        Job::Ensemble(id) => plan.ensembles.get(&id).map(|ensemble| {
            let runs = ensemble.runs.iter().filter_map(of_run);
            runs.map(measuring).sum()
        }),
        Job::Prepare(data) => plan.data.get(&data).map(|data| {
            let side = u64::from(data.images.size.short_side());
            2 * USUAL_IMAGES * side * side
        }),
    };
    work.unwrap_or(0) as f64
}

fn training(run: &PlannedRun) -> u64 {
    let recipe = &run.unseeded.recipe;
    let Some(training) = &recipe.training else {
        return 0;
    };
    let of_steps = training
        .steps
        .saturating_mul(recipe.work_of_step().unwrap_or(0));
    of_steps.saturating_add(surveys(recipe, training))
}

/// Returns the bytes of maps that the surveys of a training go through.
fn surveys(recipe: &Recipe, training: &Training) -> u64 {
    let counts = recipe.dataset.facts().counts;
    let images = counts.map_or(USUAL_IMAGES, |counts| counts.training_images);
    let per_class = training.survey.as_ref().and_then(|survey| survey.per_class);
    let of_each = match (per_class, counts) {
        (Some(most), Some(counts)) => images.min(counts.training_classes * u64::from(most)),
        (Some(_), None) | (None, _) => images,
    };
    training
        .surveys(images)
        .saturating_mul(of_each)
        .saturating_mul(recipe.work_of_image())
}

fn measuring(run: &PlannedRun) -> u64 {
    let recipe = &run.unseeded.recipe;
    let counts = recipe.dataset.facts().counts;
    let images = counts.map_or(USUAL_IMAGES, |counts| counts.test_images);
    images.saturating_mul(recipe.work_of_image())
}

/// Returns the kind of a job.
pub(super) fn kind(job: Job, plan: &Plan) -> KindId {
    let of_run = |run: &RunId| plan.runs.get(run).map(|run| &*run.unseeded);
    let described = match job {
        Job::Train(run) => of_run(&run).map(kind_of_training),
        Job::Evaluate(run) => of_run(&run).map(kind_of_measuring),
        Job::Ensemble(id) => {
            let ensemble = plan.ensembles.get(&id);
            let first = ensemble.and_then(|ensemble| of_run(ensemble.runs.first()?));
            first.map(kind_of_measuring)
        }
        Job::Prepare(data) => plan.data.get(&data).map(|data| json!(data.images)),
    };
    KindId::of(&canonical_json(&(job.verb(), described)))
}

/// What memory and speed of a training depend on.
fn kind_of_training(identity: &Identity) -> Value {
    let recipe = &identity.recipe;
    let training = recipe.training.as_ref().map(|training| {
        json!([
            training.sampler,
            training.accumulate,
            training.chunk,
            family(&training.loss),
            training.memory,
            training.optimizer.key(),
        ])
    });
    json!([
        recipe.model,
        recipe.images,
        recipe.transform,
        training,
        identity.numerics
    ])
}

fn kind_of_measuring(identity: &Identity) -> Value {
    let recipe = &identity.recipe;
    let numerics = &identity.numerics;
    json!([
        recipe.model,
        recipe.images,
        recipe.transform.test,
        recipe.dataset,
        numerics
    ])
}

/// Returns a loss without its numbers.
fn family(loss: &Loss) -> Value {
    let mut family = json!(loss);
    erase_numbers(&mut family);
    family
}

/// Replaces each number in a value by null.
pub(super) fn erase_numbers(value: &mut Value) {
    match value {
        Value::Number(_) => *value = Value::Null,
        Value::Array(items) => items.iter_mut().for_each(erase_numbers),
        Value::Object(fields) => fields.values_mut().for_each(erase_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
