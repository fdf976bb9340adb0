//! Decides which jobs may start, and when.
//!
//! The scheduler holds no processes, files or clocks. It is told what happened ([`Input`]) and answers what to
//! do ([`Action`]); [`super::session`] carries the answers out. All of retry, failure and interruption can
//! therefore be read, and tested, in this one file.
//!
//! A job waits until all it depends on is done. Of the jobs that are ready, one that prepares comes before one
//! that measures, and that before one that trains, so that results appear early; otherwise the order is the
//! table's. An attempt that crashed or hung is made again a few
//! times; a failure that the trainer itself reported is not, because it would only happen again. When a disk is
//! full nothing new starts.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use schema::{Event, Failure, Finished, TrainingEnd};

use crate::{
    ledger::{End, Job},
    plan::{
        Node, Plan,
        freshness::{Freshness, FreshnessOf},
    },
};

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// All is ready to begin.
    Begin,
    /// A trainer said something.
    Said(Job, Event),
    /// A trainer's process is gone.
    Exited(Job, ProcessEnd),
    /// The user wants to leave.
    Interrupt,
}

/// How a process ended.
#[derive(Clone, Debug, Default)]
pub struct ProcessEnd {
    /// Its exit code, unless a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The last line of its log.
    pub last_words: Option<String>,
    /// Whether it was killed because it said nothing for too long.
    pub hung: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start an attempt at a job in a slot.
    Start {
        /// The job.
        job: Job,
        /// The slot, by its position.
        slot: usize,
    },
    /// Put a result where others find it.
    Publish {
        /// Whose.
        job: Job,
        /// The result.
        finished: Finished,
    },
    /// Write down how an attempt ended.
    Ended {
        /// Of which job.
        job: Job,
        /// How.
        end: End,
        /// Whether another attempt follows.
        again: bool,
    },
    /// Ask a trainer to write a checkpoint and leave.
    Stop(Job),
    /// Kill a trainer.
    Kill(Job),
}

/// What became of all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs whose results were there before.
    pub reused: usize,
    /// Jobs that were done now.
    pub done: usize,
    /// Jobs that failed.
    pub failed: usize,
    /// Jobs that could not start, because another failed or the sweep was interrupted.
    pub not_started: usize,
    /// Whether the user interrupted.
    pub interrupted: bool,
    /// Whether a disk was full.
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

/// What comes first of the jobs that are ready: the kind of job, then its place in the table.
type Rank = (u8, usize);

#[derive(Debug)]
struct JobState {
    rank: Rank,
    state: State,
    unfinished: usize,
    dependents: Vec<Job>,
    crashes: u32,
}

#[derive(Debug)]
enum State {
    Waiting,
    Running {
        slot: usize,
        last_word: Option<LastWord>,
    },
    Reused,
    Done,
    Failed,
}

#[derive(Debug)]
enum LastWord {
    Finished(Finished),
    Failed(Failure, String),
}

impl Scheduler {
    /// A scheduler for the stale jobs of a plan, with `slots` places for them.
    pub fn new(plan: &Plan, freshness: &FreshnessOf, slots: usize, retries: u32) -> Scheduler {
        let (jobs, ready) = (BTreeMap::new(), BTreeSet::new());
        let mut scheduler = Scheduler {
            jobs,
            ready,
            slots: vec![None; slots],
            retries,
            interrupts: 0,
            disk_full: false,
        };
        scheduler.learn(plan, freshness);
        scheduler
    }

    /// Takes in the jobs that a plan has grown by and answers what to do.
    pub fn grow(&mut self, plan: &Plan, freshness: &FreshnessOf) -> Vec<Action> {
        self.learn(plan, freshness);
        self.fill()
    }

    fn learn(&mut self, plan: &Plan, freshness: &FreshnessOf) {
        let places = places(plan);
        let mut new = Vec::new();
        for index in plan.graph.node_indices() {
            if let Node::Job(job) = plan.graph[index]
                && !self.jobs.contains_key(&job)
            {
                let is_stale = matches!(freshness.get(&job), Some(Freshness::Stale(_)));
                let state = if is_stale {
                    State::Waiting
                } else {
                    State::Reused
                };
                let rank = (urgency(job), places.get(&job).copied().unwrap_or(0));
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
        let startable = |job: &Job| {
            self.jobs
                .get(job)
                .filter(|state| state.may_start())
                .map(|state| (state.rank, *job))
        };
        self.ready
            .extend(new.iter().filter_map(|(_, job)| startable(job)));
    }

    /// Lets a job wait for another, unless that is done.
    fn make_wait(&mut self, job: Job, before: Job) {
        let Some(state) = self.jobs.get_mut(&before) else {
            return;
        };
        if matches!(state.state, State::Reused | State::Done) {
            return;
        }
        state.dependents.push(job);
        if let Some(state) = self.jobs.get_mut(&job) {
            state.unfinished += 1;
        }
    }

    /// Takes in what happened and answers what to do, in that order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        let mut actions = match input {
            Input::Begin => Vec::new(),
            Input::Said(job, event) => self.said(job, event),
            Input::Exited(job, end) => self.exited(job, &end),
            Input::Interrupt => self.interrupt(),
        };
        actions.extend(self.fill());
        actions
    }

    /// Whether nothing runs and nothing can start.
    pub fn is_over(&self) -> bool {
        self.slots.iter().all(Option::is_none) && (self.ready.is_empty() || self.is_draining())
    }

    /// What became of all jobs.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            interrupted: self.interrupts > 0,
            disk_full: self.disk_full,
            ..Tally::default()
        };
        for job in self.jobs.values() {
            match job.state {
                State::Reused => tally.reused += 1,
                State::Done => tally.done += 1,
                State::Failed => tally.failed += 1,
                State::Waiting | State::Running { .. } => tally.not_started += 1,
            }
        }
        tally
    }

    fn said(&mut self, job: Job, event: Event) -> Vec<Action> {
        let word = match event {
            Event::Finished(finished) => LastWord::Finished(finished),
            Event::Failed { class, message } => LastWord::Failed(class, message),
            Event::Started { .. }
            | Event::Progress { .. }
            | Event::Remark { .. }
            | Event::Scores { .. }
            | Event::Memory { .. }
            | Event::Checkpoint { .. } => return Vec::new(),
        };
        if let Some(JobState {
            state: State::Running { last_word, .. },
            ..
        }) = self.jobs.get_mut(&job)
        {
            *last_word = Some(word);
        }
        Vec::new()
    }

    fn exited(&mut self, job: Job, end: &ProcessEnd) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let State::Running { slot, last_word } =
            std::mem::replace(&mut state.state, State::Waiting)
        else {
            return Vec::new();
        };
        self.slots[slot] = None;
        match last_word {
            Some(LastWord::Finished(finished)) if end.code == Some(0) => self.finish(job, finished),
            Some(LastWord::Failed(class, message)) => self.fail(job, class, message),
            _ if self.interrupts > 0 => vec![Action::Ended {
                job,
                end: End::Stopped,
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
            // There is nothing to measure, alone or with others: the publication of the training is the run's record.
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
                end: End::Finished,
                again: false,
            },
        ]
    }

    fn done(&mut self, job: Job) {
        let Some(state) = self.jobs.get_mut(&job) else {
            return;
        };
        state.state = State::Done;
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
            state.state = State::Failed;
        }
        self.disk_full |= class == Failure::Disk;
        vec![Action::Ended {
            job,
            end: End::Failed { class, message },
            again: false,
        }]
    }

    fn crashed(&mut self, job: Job, end: &ProcessEnd) -> Vec<Action> {
        let class = if end.hung {
            Failure::Hung
        } else {
            Failure::Crashed
        };
        let mut message = match (end.signal, end.code) {
            _ if end.hung => "said nothing for too long and was killed".to_owned(),
            (Some(9), _) => "killed by signal 9; out of memory?".to_owned(),
            (Some(signal), _) => format!("killed by signal {signal}"),
            (None, Some(code)) => format!("left with exit code {code} without a last word"),
            (None, None) => "could not be started".to_owned(),
        };
        if let Some(words) = &end.last_words {
            message = format!("{message}: {words}");
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
            end: End::Failed { class, message },
            again: true,
        }]
    }

    /// The first time trainers are asked to leave, the second time they are killed.
    fn interrupt(&mut self) -> Vec<Action> {
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
                state.state = State::Running {
                    slot,
                    last_word: None,
                };
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
        matches!(self.state, State::Waiting) && self.unfinished == 0
    }
}

/// Where in the table the result of a job appears first.
fn places(plan: &Plan) -> BTreeMap<Job, usize> {
    let mut places = BTreeMap::new();
    for study in &plan.studies {
        let runs = study.trials.iter().flat_map(|trial| &trial.runs);
        places.extend(runs.map(|&run| (Job::Train(run), study.members.start)));
    }
    for (place, member) in plan.members.iter().enumerate().rev() {
        places.extend([Job::Train(member.run), Job::Evaluate(member.run)].map(|job| (job, place)));
    }
    places.extend(
        plan.ensembles
            .iter()
            .map(|(&id, ensemble)| (Job::Ensemble(id), ensemble.members[0])),
    );
    places
}

fn urgency(job: Job) -> u8 {
    match job {
        Job::Prepare(_) => 0,
        Job::Evaluate(_) | Job::Ensemble(_) => 1,
        Job::Train(_) => 2,
    }
}

#[cfg(test)]
mod tests;
