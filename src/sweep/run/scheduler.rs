//! Decides which jobs may start, and when.
//!
//! The scheduler is a pure state machine without processes, files or clocks: [`Scheduler::on`] maps
//! an [`Input`] to [`Action`]s, and [`super::session`] carries them out. Retry, failure and
//! interruption can therefore be read, and tested, in this one file.
//!
//! A job waits until all jobs it depends on are done. Among the ready jobs, preparing comes before
//! measuring and measuring before training, so that results appear early; ties are broken by the
//! order of the table. An attempt that crashed or hung is repeated a few times. A failure that the
//! trainer reported is not, because it would happen again. When a disk is full, nothing new starts.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use schema::{Event, Failure, Finished, TrainingEnd};

use crate::{
    ledger::{AttemptEnd, Job},
    plan::{
        Node, Plan,
        freshness::{Freshness, FreshnessOf},
    },
};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The session begins.
    Begin,
    /// A trainer reported an event.
    Event(Job, Event),
    /// A trainer's process ended.
    Exited(Job, ProcessEnd),
    /// The user interrupted.
    Interrupt,
}

/// The end of a process.
#[derive(Clone, Debug, Default)]
pub struct ProcessEnd {
    /// Its exit code, unless a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The last line of its log.
    pub last_line: Option<String>,
    /// True if it was killed because it reported nothing for too long.
    pub hung: bool,
}

/// An instruction to the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start an attempt at a job in a slot.
    Start {
        /// The job.
        job: Job,
        /// The index of the slot.
        slot: usize,
    },
    /// Publish a result in the ledger.
    Publish {
        /// The job.
        job: Job,
        /// Its result.
        finished: Finished,
    },
    /// Record the end of an attempt.
    Ended {
        /// The job.
        job: Job,
        /// How the attempt ended.
        end: AttemptEnd,
        /// True if another attempt follows.
        again: bool,
    },
    /// Request that a trainer writes a checkpoint and exits.
    Stop(Job),
    /// Kill a trainer.
    Kill(Job),
}

/// The number of jobs by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs whose results existed before.
    pub reused: usize,
    /// Jobs that were done in this session.
    pub done: usize,
    /// Jobs that failed.
    pub failed: usize,
    /// Jobs that did not start or finish, because another failed or the sweep was interrupted.
    pub not_started: usize,
    /// True if the user interrupted.
    pub interrupted: bool,
    /// True if a disk was full.
    pub disk_full: bool,
}

/// Decides which jobs may start, and when.
#[derive(Debug)]
pub struct Scheduler {
    jobs: BTreeMap<Job, JobState>,
    ready: BTreeSet<(Rank, Job)>,
    slots: Vec<Option<Job>>,
    retries: u32,
    interrupts: u32,
    disk_full: bool,
}

/// The order of ready jobs: by the kind of job, then by the row of the table.
type Rank = (u8, usize);

#[derive(Debug)]
struct JobState {
    rank: Rank,
    state: JobPhase,
    unfinished: usize,
    dependents: Vec<Job>,
    crashes: u32,
}

#[derive(Debug)]
enum JobPhase {
    Waiting,
    Running {
        slot: usize,
        report: Option<Box<TrainerResult>>,
    },
    Reused,
    Done,
    Failed,
}

/// The result that a trainer reported before its process ends.
#[allow(clippy::large_enum_variant, reason = "it is always in a box")]
#[derive(Debug)]
enum TrainerResult {
    Finished(Finished),
    Failed(Failure, String),
}

impl Scheduler {
    /// Creates a scheduler for the stale jobs of a plan. At most `slots` run at a time.
    pub fn new(plan: &Plan, freshness: &FreshnessOf, slots: usize, retries: u32) -> Scheduler {
        let mut scheduler = Scheduler {
            jobs: BTreeMap::new(),
            ready: BTreeSet::new(),
            slots: vec![None; slots],
            retries,
            interrupts: 0,
            disk_full: false,
        };
        scheduler.add_jobs(plan, freshness);
        scheduler
    }

    /// Adds the new jobs of a plan that has grown.
    pub fn grow(&mut self, plan: &Plan, freshness: &FreshnessOf) -> Vec<Action> {
        self.add_jobs(plan, freshness);
        self.fill()
    }

    /// Adds the jobs of the plan that are not known yet.
    fn add_jobs(&mut self, plan: &Plan, freshness: &FreshnessOf) {
        let rows = rows(plan);
        let mut new = Vec::new();
        for index in plan.graph.node_indices() {
            if let Node::Job(job) = plan.graph[index]
                && !self.jobs.contains_key(&job)
            {
                let is_stale = matches!(freshness.get(&job), Some(Freshness::Stale(_)));
                let state = if is_stale {
                    JobPhase::Waiting
                } else {
                    JobPhase::Reused
                };
                let rank = (urgency(job), rows.get(&job).copied().unwrap_or(0));
                self.jobs.insert(
                    job,
                    JobState {
                        rank,
                        state,
                        unfinished: 0,
                        dependents: Vec::new(),
                        crashes: 0,
                    },
                );
                new.push((index, job));
            }
        }
        for &(index, job) in &new {
            for before in plan.graph.neighbors_directed(index, Direction::Incoming) {
                if let Node::Job(before) = plan.graph[before] {
                    self.make_wait(job, before);
                }
            }
        }
        for (_, job) in new {
            let state = &self.jobs[&job];
            if state.may_start() {
                self.ready.insert((state.rank, job));
            }
        }
    }

    /// Makes a job wait for another one, unless that is done.
    fn make_wait(&mut self, job: Job, before: Job) {
        let Some(state) = self.jobs.get_mut(&before) else {
            return;
        };
        if matches!(state.state, JobPhase::Reused | JobPhase::Done) {
            return;
        }
        state.dependents.push(job);
        if let Some(state) = self.jobs.get_mut(&job) {
            state.unfinished += 1;
        }
    }

    /// Updates the state and returns what to do, in order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        let mut actions = match input {
            Input::Begin => Vec::new(),
            Input::Event(job, event) => self.on_event(job, event),
            Input::Exited(job, end) => self.on_exit(job, &end),
            Input::Interrupt => self.on_interrupt(),
        };
        actions.extend(self.fill());
        actions
    }

    /// True if nothing runs and nothing can start.
    pub fn is_over(&self) -> bool {
        self.slots.iter().all(Option::is_none) && (self.ready.is_empty() || self.is_draining())
    }

    /// Counts the jobs by what became of them.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            interrupted: self.interrupts > 0,
            disk_full: self.disk_full,
            ..Tally::default()
        };
        for job in self.jobs.values() {
            match job.state {
                JobPhase::Reused => tally.reused += 1,
                JobPhase::Done => tally.done += 1,
                JobPhase::Failed => tally.failed += 1,
                JobPhase::Waiting | JobPhase::Running { .. } => tally.not_started += 1,
            }
        }
        tally
    }

    fn on_event(&mut self, job: Job, event: Event) -> Vec<Action> {
        let reported = match event {
            Event::Finished(finished) => TrainerResult::Finished(finished),
            Event::Failed { class, message } => TrainerResult::Failed(class, message),
            Event::Started { .. }
            | Event::Progress { .. }
            | Event::Remark { .. }
            | Event::Scores { .. }
            | Event::Memory { .. }
            | Event::Checkpoint { .. } => return Vec::new(),
        };
        if let Some(JobState {
            state: JobPhase::Running { report, .. },
            ..
        }) = self.jobs.get_mut(&job)
        {
            *report = Some(Box::new(reported));
        }
        Vec::new()
    }

    fn on_exit(&mut self, job: Job, end: &ProcessEnd) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let JobPhase::Running { slot, report } =
            std::mem::replace(&mut state.state, JobPhase::Waiting)
        else {
            return Vec::new();
        };
        self.slots[slot] = None;
        match report.map(|report| *report) {
            Some(TrainerResult::Finished(finished)) if end.code == Some(0) => {
                self.finish(job, finished)
            }
            Some(TrainerResult::Failed(class, message)) => self.fail(job, class, message),
            _ if self.interrupts > 0 => vec![Action::Ended {
                job,
                end: AttemptEnd::Stopped,
                again: false,
            }],
            _ => self.crashed(job, end),
        }
    }

    fn finish(&mut self, job: Job, finished: Finished) -> Vec<Action> {
        self.done(job);
        if let (Job::Train(run), Finished::Trained(trained)) = (job, &finished)
            && matches!(trained.end, TrainingEnd::Broken(_))
        {
            // There is nothing to measure, alone or in an ensemble: publishing the training
            // publishes the run's record.
            let evaluate = Job::Evaluate(run);
            let ensembles = self
                .jobs
                .get(&evaluate)
                .map(|state| state.dependents.clone())
                .unwrap_or_default();
            for pointless in ensembles.into_iter().chain([evaluate]) {
                self.done(pointless);
                self.ready.retain(|&(_, job)| job != pointless);
            }
        }
        vec![
            Action::Publish { job, finished },
            Action::Ended {
                job,
                end: AttemptEnd::Finished,
                again: false,
            },
        ]
    }

    fn done(&mut self, job: Job) {
        let Some(state) = self.jobs.get_mut(&job) else {
            return;
        };
        state.state = JobPhase::Done;
        for dependent in state.dependents.clone() {
            if let Some(state) = self.jobs.get_mut(&dependent) {
                state.unfinished -= 1;
                if state.may_start() {
                    self.ready.insert((state.rank, dependent));
                }
            }
        }
    }

    fn fail(&mut self, job: Job, class: Failure, message: String) -> Vec<Action> {
        if let Some(state) = self.jobs.get_mut(&job) {
            state.state = JobPhase::Failed;
        }
        self.disk_full |= class == Failure::Disk;
        vec![Action::Ended {
            job,
            end: AttemptEnd::Failed { class, message },
            again: false,
        }]
    }

    fn crashed(&mut self, job: Job, end: &ProcessEnd) -> Vec<Action> {
        let class = if end.hung {
            Failure::Hung
        } else {
            Failure::Crashed
        };
        let mut message = describe_crash(end);
        if let Some(line) = &end.last_line {
            message = format!("{message}: {line}");
        }
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        state.crashes += 1;
        if state.crashes > self.retries {
            return self.fail(job, class, message);
        }
        self.ready.insert((state.rank, job));
        vec![Action::Ended {
            job,
            end: AttemptEnd::Failed { class, message },
            again: true,
        }]
    }

    /// Stops the trainers at the first interrupt and kills them at the second.
    fn on_interrupt(&mut self) -> Vec<Action> {
        self.interrupts += 1;
        let running = self.slots.iter().flatten().copied();
        running
            .map(|job| {
                if self.interrupts == 1 {
                    Action::Stop(job)
                } else {
                    Action::Kill(job)
                }
            })
            .collect()
    }

    fn fill(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while !self.is_draining()
            && let Some(slot) = self.slots.iter().position(Option::is_none)
            && let Some((_, job)) = self.ready.pop_first()
        {
            self.slots[slot] = Some(job);
            if let Some(state) = self.jobs.get_mut(&job) {
                state.state = JobPhase::Running { slot, report: None };
            }
            actions.push(Action::Start { job, slot });
        }
        actions
    }

    fn is_draining(&self) -> bool {
        self.interrupts > 0 || self.disk_full
    }
}

impl JobState {
    fn may_start(&self) -> bool {
        matches!(self.state, JobPhase::Waiting) && self.unfinished == 0
    }
}

/// Describes the end of a process that reported no result.
fn describe_crash(end: &ProcessEnd) -> String {
    match (end.signal, end.code) {
        _ if end.hung => "reported nothing for too long and was killed".to_owned(),
        (Some(9), _) => "killed by signal 9; out of memory?".to_owned(),
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(code)) => format!("exited (code {code}) without reporting a result"),
        (None, None) => "could not be started".to_owned(),
    }
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
    for (&id, ensemble) in &plan.ensembles {
        rows.insert(Job::Ensemble(id), ensemble.members[0]);
    }
    rows
}

/// Ranks the kinds of job; ready jobs of a lower rank start first.
fn urgency(job: Job) -> u8 {
    match job {
        Job::Prepare(_) => 0,
        Job::Evaluate(_) | Job::Ensemble(_) => 1,
        Job::Train(_) => 2,
    }
}

#[cfg(test)]
mod tests;
