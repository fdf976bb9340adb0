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

use petgraph::{Direction, algo::toposort, graph::NodeIndex};
use rayon::prelude::*;
use schema::{DataId, Device, EnsembleId, KindId, Recipe, RunId, StudyId};

use super::{
    Node, Plan, Study, StudyState,
    costs::{Costs, erase_numbers, kind},
    freshness::{Freshness, FreshnessOf},
};
use crate::ledger::Job;

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

/// Makes the specifications of a plan's jobs, and of those by which it grows.
#[derive(Debug)]
pub struct Agenda {
    costs: Costs,
    /// The device of everything but preparing.
    device: Device,
    /// The seconds of each known job.
    seconds: BTreeMap<Job, f64>,
    /// The kinds of methods that have a canary or a result.
    tried: BTreeSet<KindId>,
}

impl Agenda {
    /// Creates an agenda for jobs on a kind of device.
    pub fn new(costs: Costs, device: Device) -> Agenda {
        Agenda {
            costs,
            device,
            seconds: BTreeMap::new(),
            tried: BTreeSet::new(),
        }
    }

    /// Returns how long a job is expected to take, in seconds; 0 if it does not have to run.
    pub fn seconds(&self, job: Job) -> f64 {
        self.seconds.get(&job).copied().unwrap_or(0.0)
    }

    /// Returns the jobs of the plan that earlier calls have not returned.
    pub fn extend(&mut self, plan: &Plan, freshness: &FreshnessOf) -> Vec<JobSpec> {
        let new: Vec<(NodeIndex, Job)> = plan
            .graph
            .node_indices()
            .filter_map(|index| match plan.graph[index] {
                Node::Job(job) if !self.seconds.contains_key(&job) => Some((index, job)),
                Node::Job(_) | Node::Select(_) | Node::Report => None,
            })
            .collect();
        let has_to_run = |job| matches!(freshness.get(&job), Some(Freshness::Stale(_)));
        let costs = &self.costs;
        let facts: Vec<(f64, KindId)> = new
            .par_iter()
            .map(|&(_, job)| {
                let seconds = if has_to_run(job) {
                    costs.seconds(job, plan)
                } else {
                    0.0
                };
                (seconds, kind(job, plan))
            })
            .collect();
        for (&(_, job), &(seconds, _)) in new.iter().zip(&facts) {
            self.seconds.insert(job, seconds);
        }
        let chains = self.chains(plan);
        let rows = rows(plan);
        let priorities = priorities(plan);
        let canaries = self.canaries(&new, plan, &has_to_run, &rows);
        new.iter()
            .zip(facts)
            .map(|(&(index, job), (_, kind))| JobSpec {
                job,
                waits_for: needed(plan, index).collect(),
                has_to_run: has_to_run(job),
                turn: Turn {
                    stage: stage(job),
                    priority: Reverse(priorities.get(&job).copied().unwrap_or(0)),
                    is_usual: !matches!(job, Job::Train(run) if canaries.contains(&run)),
                    chain: Reverse(step(chains[index.index()])),
                    data: data_of(job, plan),
                    row: rows.get(&job).copied().unwrap_or(0),
                },
                kind,
                guess: self.guess(job, plan),
                device: match job {
                    Job::Prepare(_) => Device::Cpu,
                    Job::Train(_) | Job::Evaluate(_) | Job::Ensemble(_) => self.device,
                },
            })
            .collect()
    }

    /// Returns the bytes of a GPU's memory that measuring takes: it embeds as many images at a time as fit into
    /// a fixed part. Of a training, too little is known.
    fn guess(&self, job: Job, plan: &Plan) -> Option<u64> {
        let run = match job {
            Job::Evaluate(run) => run,
            Job::Ensemble(id) => *plan.ensembles.get(&id)?.runs.first()?,
            Job::Prepare(_) | Job::Train(_) => return None,
        };
        let recipe = &plan.runs.get(&run)?.identity.recipe;
        Some(recipe.bytes_to_evaluate(self.device))
    }

    /// Returns the seconds of the longest chain of jobs that starts with each node.
    fn chains(&self, plan: &Plan) -> Vec<f64> {
        let mut chains = vec![0.0; plan.graph.node_count()];
        // The graph of a plan has no cycle.
        let order = toposort(&plan.graph, None).unwrap_or_default();
        let studies: BTreeMap<StudyId, &Study> =
            plan.studies.iter().map(|study| (study.id, study)).collect();
        for &index in order.iter().rev() {
            let after = plan.graph.neighbors_directed(index, Direction::Outgoing);
            let longest = after.map(|after| chains[after.index()]).fold(0.0, f64::max);
            chains[index.index()] = match plan.graph[index] {
                Node::Job(job) => self.seconds(job) + longest,
                Node::Select(study) => longest.max(self.ahead(studies.get(&study), plan)),
                Node::Report => longest,
            };
        }
        chains
    }

    /// Returns the seconds until the end of a search, if each trial that is not known yet takes as long as
    /// the first: trials that wait for each other, then training and measuring what they select.
    fn ahead(&self, study: Option<&&Study>, plan: &Plan) -> f64 {
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
    fn canaries(
        &mut self,
        new: &[(NodeIndex, Job)],
        plan: &Plan,
        has_to_run: &(impl Fn(Job) -> bool + Sync),
        rows: &BTreeMap<Job, usize>,
    ) -> BTreeSet<RunId> {
        let shapes: Vec<(RunId, KindId)> = new
            .par_iter()
            .filter_map(|&(_, job)| match job {
                Job::Train(run) => Some((run, shape(&plan.runs.get(&run)?.identity.recipe)?)),
                Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => None,
            })
            .collect();
        let done = shapes
            .iter()
            .filter(|(run, _)| !has_to_run(Job::Train(*run)));
        self.tried.extend(done.map(|&(_, shape)| shape));
        let mut shortest: BTreeMap<KindId, RunId> = BTreeMap::new();
        let order = |run: RunId| {
            let job = Job::Train(run);
            (step(self.seconds(job)), rows.get(&job))
        };
        for &(run, shape) in &shapes {
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

/// Returns the jobs that a node waits for.
fn needed(plan: &Plan, index: NodeIndex) -> impl Iterator<Item = Job> {
    let before = plan.graph.neighbors_directed(index, Direction::Incoming);
    before.filter_map(|before| match plan.graph[before] {
        Node::Job(job) => Some(job),
        // What a search selects is known once it is over.
        Node::Select(_) | Node::Report => None,
    })
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

/// Returns the first row of the table that depends on each job.
fn rows(plan: &Plan) -> BTreeMap<Job, usize> {
    let mut rows = BTreeMap::new();
    for study in &plan.studies {
        for &run in study.trials.iter().flat_map(|trial| &trial.runs) {
            rows.insert(Job::Train(run), study.members.start);
        }
    }
    // Backwards, so that the first row of a shared run remains.
    for (row, member) in plan.members.iter().enumerate().rev() {
        rows.insert(Job::Train(member.run), row);
        rows.insert(Job::Evaluate(member.run), row);
    }
    let ensembles = plan.ensembles.iter();
    rows.extend(
        ensembles.map(|(&id, ensemble): (&EnsembleId, _)| (Job::Ensemble(id), ensemble.members[0])),
    );
    rows
}

/// Returns the highest priority of the methods that need each job; nothing if all methods have the same.
fn priorities(plan: &Plan) -> BTreeMap<Job, i32> {
    let mut priorities = BTreeMap::new();
    let mut levels = plan.members.iter().map(|member| member.priority);
    let first = levels.next();
    if levels.all(|level| Some(level) == first) {
        return priorities;
    }
    for member in &plan.members {
        raise(&mut priorities, Job::Train(member.run), member.priority);
        raise(&mut priorities, Job::Evaluate(member.run), member.priority);
    }
    for study in &plan.studies {
        let level = priority_of(study, plan);
        for &run in study.trials.iter().flat_map(|trial| &trial.runs) {
            raise(&mut priorities, Job::Train(run), level);
        }
    }
    for (&id, ensemble) in &plan.ensembles {
        for &member in &ensemble.members {
            raise(
                &mut priorities,
                Job::Ensemble(id),
                plan.members[member].priority,
            );
        }
    }
    let of_runs: Vec<(DataId, i32)> = plan
        .runs
        .iter()
        .filter_map(|(&run, planned)| Some((planned.data, *priorities.get(&Job::Train(run))?)))
        .collect();
    for (data, level) in of_runs {
        raise(&mut priorities, Job::Prepare(data), level);
    }
    priorities
}

/// Returns the priority of the method of a search.
fn priority_of(study: &Study, plan: &Plan) -> i32 {
    let first = plan.members.get(study.members.start);
    first.map_or(0, |member| member.priority)
}

fn raise(priorities: &mut BTreeMap<Job, i32>, job: Job, level: i32) {
    let known = priorities.entry(job).or_insert(level);
    *known = level.max(*known);
}

#[cfg(test)]
mod tests;
