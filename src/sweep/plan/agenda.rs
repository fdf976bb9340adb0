//! The jobs of a plan as the scheduler sees them: what each waits for, what it takes, and whose turn it is.
//!
//! Jobs that can start at the same time have turns, in this order:
//! 1. preparing a data set, on which everything else waits;
//! 2. measuring, so that results appear early;
//! 3. canaries: the shortest training of each kind of method on each data set, so that a mistake in the last
//!    row is known after minutes. Recipes are of one kind if they differ in nothing but numbers;
//! 4. other trainings. The longest chain of jobs that starts with a training decides: what unblocks most
//!    comes first, then what takes longest. Chains within a tenth of each other count as equal; then the
//!    runs of a data set stay together, in the order of the table.
//!
//! The priorities of methods come before that: among data sets, among measurements and among trainings, whatever a
//! method of higher priority needs comes first.

mod foreseen;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use petgraph::Direction;
use rayon::prelude::*;
use schema::{DataId, Device, KindId, Recipe, RunId};

use super::{
    Node, PerRecipe, Plan, Study, StudyState,
    costs::{Costs, erase_numbers, kind},
    freshness::{Freshness, FreshnessOf},
    jobs_before,
};
use crate::{config::Counts, ledger::Job, visits::PerJob};

/// A job, and all that the scheduler knows of it.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// The job.
    pub job: Job,
    /// The jobs that must be done before it starts.
    pub waits_for: Vec<Job>,
    /// False if its result exists, or if nothing needs it.
    pub has_to_run: bool,
    /// Its turn among the jobs that can start.
    pub turn: Turn,
    /// What its memory and its speed depend on.
    pub kind: KindId,
    /// The bytes of a GPU's memory that it takes, roughly, as long as nothing is known of its kind; nothing:
    /// it has to be measured.
    pub guess: Option<u64>,
    /// On what it runs.
    pub device: Device,
    /// What it takes of countable resources.
    pub needs: Counts,
}

/// The turn of a job; the smallest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    stage: Stage,
    priority: Reverse<i32>,
    /// False for a canary.
    is_usual: bool,
    /// The length of the longest chain of jobs that starts with it, in steps of a tenth.
    chain: Reverse<i32>,
    data: Option<DataId>,
    row: usize,
}

/// What kind of job comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Prepare,
    Measure,
    Train,
}

impl Turn {
    /// A training with a chain of jobs of this many seconds behind it, itself included.
    #[cfg(test)]
    pub(crate) fn of_training(chain: f64, row: usize) -> Turn {
        Turn {
            stage: Stage::Train,
            priority: Reverse(0),
            is_usual: true,
            chain: Reverse(step(chain)),
            data: None,
            row,
        }
    }
}

/// A job that is about to be specified.
struct NewJob {
    job: Job,
    has_to_run: bool,
    /// How long it takes; 0 if it does not have to run.
    seconds: f64,
    kind: KindId,
}

/// The kinds of jobs of runs.
#[derive(Default)]
struct Kinds {
    training: PerRecipe<KindId>,
    measuring: PerRecipe<KindId>,
}

impl Kinds {
    fn of(&self, job: Job, plan: &Plan) -> KindId {
        let of_job = || kind(job, plan);
        let (run, known) = match job {
            Job::Train(run) => (run, &self.training),
            Job::Evaluate(run) => (run, &self.measuring),
            Job::Prepare(_) | Job::Ensemble(_) => return of_job(),
        };
        let planned = plan.runs.get(&run);
        planned.map_or_else(of_job, |planned| known.get(planned, of_job))
    }
}

/// Makes the specifications of a plan's jobs, and of those by which it grows.
#[derive(Debug)]
pub struct Agenda {
    costs: Costs,
    /// The device of everything but preparing.
    device: Device,
    /// The seconds of each known job.
    seconds: PerJob<f64>,
    /// The kinds of methods that have a canary or a result.
    tried: BTreeSet<KindId>,
}

impl Agenda {
    /// Creates an agenda for jobs on a kind of device.
    pub fn new(costs: Costs, device: Device) -> Agenda {
        Agenda {
            costs,
            device,
            seconds: PerJob::default(),
            tried: BTreeSet::new(),
        }
    }

    /// Returns how long a job is expected to take, in seconds; 0 if it does not have to run.
    pub fn seconds(&self, job: Job) -> f64 {
        self.seconds.get(&job).copied().unwrap_or(0.0)
    }

    /// Returns all jobs of a plan.
    pub fn all(&mut self, plan: &Plan, freshness: &FreshnessOf) -> Vec<JobSpec> {
        let jobs: Vec<Job> = plan.graph().nodes().filter_map(Node::job).collect();
        self.extend(&jobs, plan, freshness)
    }

    /// Returns the new jobs of a plan. What that costs depends on nothing but what is new and what waits for it.
    pub fn extend(&mut self, new: &[Job], plan: &Plan, freshness: &FreshnessOf) -> Vec<JobSpec> {
        let costs = &self.costs;
        let kinds = Kinds::default();
        let of_each = |&job: &Job| {
            let has_to_run = matches!(freshness.get(&job), Some(Freshness::Stale(_)));
            let seconds = if has_to_run {
                costs.seconds(job, plan)
            } else {
                0.0
            };
            NewJob {
                job,
                has_to_run,
                seconds,
                kind: kinds.of(job, plan),
            }
        };
        let new: Vec<NewJob> = new.par_iter().map(of_each).collect();
        let seconds = new.iter().map(|new| (new.job, new.seconds));
        self.seconds.extend(seconds);
        let canaries = self.canaries(&new, plan);
        let mut chains = BTreeMap::new();
        let specs = new
            .iter()
            .map(|new| self.spec(new, &canaries, &mut chains, plan));
        specs.collect()
    }

    fn spec(
        &self,
        new: &NewJob,
        canaries: &BTreeSet<RunId>,
        chains: &mut BTreeMap<Node, f64>,
        plan: &Plan,
    ) -> JobSpec {
        let job = new.job;
        JobSpec {
            job,
            waits_for: jobs_before(Node::Job(job), plan.graph()).collect(),
            has_to_run: new.has_to_run,
            turn: Turn {
                stage: stage(job),
                priority: Reverse(priority(job, plan)),
                is_usual: !matches!(job, Job::Train(run) if canaries.contains(&run)),
                chain: Reverse(step(self.chain(Node::Job(job), plan, chains))),
                data: data_of(job, plan),
                row: row(job, plan),
            },
            kind: new.kind,
            guess: self.guess(job, plan),
            device: match job {
                Job::Prepare(_) => Device::Cpu,
                Job::Train(_) | Job::Evaluate(_) | Job::Ensemble(_) => self.device,
            },
            needs: plan.needs_of(job),
        }
    }

    /// Returns the bytes of a GPU's memory that measuring takes: it embeds as many images at a time as fit into
    /// a fixed part. Of a training, too little is known.
    fn guess(&self, job: Job, plan: &Plan) -> Option<u64> {
        let run = match job {
            Job::Evaluate(run) => run,
            Job::Ensemble(id) => *plan.ensembles.get(&id)?.runs.first()?,
            Job::Prepare(_) | Job::Train(_) => return None,
        };
        let recipe = &plan.runs.get(&run)?.unseeded.recipe;
        Some(recipe.bytes_to_evaluate(self.device))
    }

    /// Returns the seconds of the longest chain of jobs that starts with a node. `chains` has those that are known.
    fn chain(&self, node: Node, plan: &Plan, chains: &mut BTreeMap<Node, f64>) -> f64 {
        if let Some(&chain) = chains.get(&node) {
            return chain;
        }
        let mut longest: f64 = 0.0;
        for after in plan.graph().neighbors_directed(node, Direction::Outgoing) {
            longest = longest.max(self.chain(after, plan, chains));
        }
        let chain = match node {
            Node::Job(job) => self.seconds(job) + longest,
            Node::Select(study) => longest.max(self.ahead(plan.study(study), plan)),
            Node::Report => longest,
        };
        chains.insert(node, chain);
        chain
    }

    /// Returns the seconds until the end of a search, if each trial that is not known yet takes as long as
    /// the first: trials that wait for each other, then training and measuring what they select.
    fn ahead(&self, study: Option<&Study>, plan: &Plan) -> f64 {
        let Some(study) = study.filter(|study| study.state == StudyState::Open) else {
            return 0.0;
        };
        let Some(&run) = study.trials.first().and_then(|trial| trial.runs.first()) else {
            return 0.0;
        };
        let trial = self.costs.seconds(Job::Train(run), plan);
        let measuring = self.costs.seconds(Job::Evaluate(run), plan);
        study.rounds_ahead() as f64 * trial + trial + measuring
    }

    /// Chooses the shortest training of each kind of method that has neither a result nor a canary.
    fn canaries(&mut self, new: &[NewJob], plan: &Plan) -> BTreeSet<RunId> {
        let known = PerRecipe::default();
        let shapes: Vec<(RunId, bool, KindId)> = new
            .par_iter()
            .filter_map(|new| match new.job {
                Job::Train(run) => {
                    let planned = plan.runs.get(&run)?;
                    let shape = known.get(planned, || shape(&planned.unseeded.recipe));
                    Some((run, new.has_to_run, shape?))
                }
                Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => None,
            })
            .collect();
        let done = shapes.iter().filter(|(_, has_to_run, _)| !has_to_run);
        self.tried.extend(done.map(|&(.., shape)| shape));
        let mut shortest: BTreeMap<KindId, RunId> = BTreeMap::new();
        let order = |run: RunId| {
            let job = Job::Train(run);
            (step(self.seconds(job)), row(job, plan))
        };
        for &(run, _, shape) in &shapes {
            if !self.tried.contains(&shape) {
                let canary = shortest.entry(shape).or_insert(run);
                if order(run) < order(*canary) {
                    *canary = run;
                }
            }
        }
        self.tried.extend(shortest.keys());
        shortest.into_values().collect()
    }
}

fn stage(job: Job) -> Stage {
    match job {
        Job::Prepare(_) => Stage::Prepare,
        Job::Evaluate(_) | Job::Ensemble(_) => Stage::Measure,
        Job::Train(_) => Stage::Train,
    }
}

/// Returns the number of tenths by which a time is longer than a second, each on top of the last.
fn step(seconds: f64) -> i32 {
    let steps = seconds.max(1e-3).ln() / 1.1_f64.ln();
    steps.round() as i32
}

fn data_of(job: Job, plan: &Plan) -> Option<DataId> {
    let of_run = |run: &RunId| plan.runs.get(run).map(|planned| planned.data);
    match job {
        Job::Prepare(data) => Some(data),
        Job::Train(run) | Job::Evaluate(run) => of_run(&run),
        Job::Ensemble(id) => of_run(plan.ensembles.get(&id)?.runs.first()?),
    }
}

/// Returns a recipe without its numbers, which the recipes of one kind of method have in common; nothing if
/// nothing is trained.
fn shape(recipe: &Recipe) -> Option<KindId> {
    recipe.training.as_ref()?;
    let mut value = serde_json::to_value(recipe).ok()?;
    erase_numbers(&mut value);
    Some(KindId::of(&value.to_string()))
}

/// Returns the first row of the table that depends on a job.
fn row(job: Job, plan: &Plan) -> usize {
    let row = match job {
        Job::Train(run) | Job::Evaluate(run) => plan.runs.get(&run).map(|planned| planned.row),
        Job::Ensemble(id) => plan
            .ensembles
            .get(&id)
            .and_then(|ensemble| ensemble.members.first().copied()),
        Job::Prepare(_) => None,
    };
    row.unwrap_or(0)
}

/// Returns the highest priority of the methods that need a job. Of preparing data, that visits all runs.
fn priority(job: Job, plan: &Plan) -> i32 {
    let priority = match job {
        Job::Prepare(data) => {
            let runs = plan.runs.values().filter(|planned| planned.data == data);
            runs.map(|planned| planned.priority).max()
        }
        Job::Train(run) | Job::Evaluate(run) => plan.runs.get(&run).map(|planned| planned.priority),
        Job::Ensemble(id) => plan.ensembles.get(&id).and_then(|ensemble| {
            let members = ensemble.members.iter();
            members.map(|&member| plan.members[member].priority).max()
        }),
    };
    priority.unwrap_or(0)
}

/// Returns the priority of the method of a search.
fn priority_of(study: &Study, plan: &Plan) -> i32 {
    let first = plan.members.get(study.members.start);
    first.map_or(0, |member| member.priority)
}

#[cfg(test)]
mod tests;
