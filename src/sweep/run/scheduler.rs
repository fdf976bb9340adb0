//! Decides which jobs may start, where and when.
//!
//! The scheduler is a pure state machine without processes, files or clocks: [`Scheduler::on`] maps
//! an [`Input`] to [`Action`]s, and [`super::session`] carries them out. Retry, failure and
//! interruption can therefore be read, and tested, in this one folder.
//!
//! A job waits until all jobs it depends on are done. Among the ready jobs, preparing comes before
//! measuring and measuring before training, so that results appear early; ties are broken by the
//! order of the table. What a failure leads to is decided by its class ([`rules`]): only a failure of
//! the job itself is final. Where attempts run, and which GPUs still work, is in [`places`].
//!
//! Time passes in [ticks](TICKS_PER_SECOND), which the session counts while it works: a suspended
//! sweep does not age.

mod places;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use schema::{Event, Failure, Finished, TrainingEnd};

use self::{
    places::Places,
    rules::{Rule, rule},
};
use crate::{
    ledger::{AttemptEnd, Job},
    plan::{
        Node, Plan,
        freshness::{Freshness, FreshnessOf},
    },
    run::slots::{PlaceId, SlotId},
};

pub use rules::ProcessEnd;

/// The number of [`Input::Tick`]s in a second.
pub const TICKS_PER_SECOND: u32 = 10;

/// How long an attempt that someone asked to end is undecided: a batch system that ends a whole job
/// signals the trainers and the sweep within a moment, in any order.
const UNDECIDED: u32 = TICKS_PER_SECOND;

/// The rest of a job after its first crash; twice as long after each further one, up to half a minute.
const REST: u32 = TICKS_PER_SECOND / 5;
const LONGEST_REST: u32 = 30 * TICKS_PER_SECOND;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The session begins.
    Begin,
    /// A trainer reported an event.
    Event(Job, Event),
    /// A trainer's process ended.
    Exited(Job, ProcessEnd),
    /// A trainer could not be started, with the system's message.
    NotStarted(Job, String),
    /// The user interrupted.
    Interrupt,
    /// A moment passed.
    Tick,
}

/// An instruction to the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start an attempt at a job in a slot.
    Start {
        /// The job.
        job: Job,
        /// The slot.
        slot: SlotId,
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
    /// Tell that a place is not used any more.
    LeaveOut {
        /// The place.
        place: PlaceId,
        /// Its last failure.
        message: String,
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
    /// The last failure of the last place, if none is left to run on.
    pub stranded: Option<String>,
}

/// Decides which jobs may start, where and when.
#[derive(Debug)]
pub struct Scheduler {
    jobs: BTreeMap<Job, JobState>,
    /// Jobs that may start beside others.
    ready: BTreeSet<(Rank, Job)>,
    /// Jobs that may start once they have a place to themselves.
    alone: BTreeSet<(Rank, Job)>,
    /// Jobs that may start again after some ticks.
    resting: BTreeMap<Job, u32>,
    /// Attempts that someone asked to end, with the ticks until they count as crashed.
    undecided: BTreeMap<Job, (ProcessEnd, u32)>,
    places: Places,
    retries: u32,
    interrupts: u32,
    disk_full: bool,
    last_left_out: Option<String>,
}

/// The order of ready jobs: by the failures of places that they met, then by the kind of job, then by
/// the row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    setbacks: u32,
    urgency: u8,
    row: usize,
}

#[derive(Debug)]
struct JobState {
    rank: Rank,
    phase: JobPhase,
    unfinished: usize,
    dependents: Vec<Job>,
    /// Attempts that crashed or hung.
    crashes: u32,
    /// The places that failed under it.
    failed_at: BTreeSet<PlaceId>,
    /// True if it needs a place to itself.
    alone: bool,
}

#[derive(Debug)]
enum JobPhase {
    Waiting,
    Running {
        slot: SlotId,
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
    /// Creates a scheduler for the stale jobs of a plan; `slots` are the places of the slots.
    pub fn new(plan: &Plan, freshness: &FreshnessOf, slots: &[PlaceId], retries: u32) -> Scheduler {
        let mut scheduler = Scheduler {
            jobs: BTreeMap::new(),
            ready: BTreeSet::new(),
            alone: BTreeSet::new(),
            resting: BTreeMap::new(),
            undecided: BTreeMap::new(),
            places: Places::new(slots),
            retries,
            interrupts: 0,
            disk_full: false,
            last_left_out: None,
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
                let row = rows.get(&job).copied().unwrap_or(0);
                self.jobs.insert(job, JobState::new(job, row, is_stale));
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
            self.make_ready(job);
        }
    }

    /// Makes a job wait for another one, unless that is done.
    fn make_wait(&mut self, job: Job, before: Job) {
        let Some(state) = self.jobs.get_mut(&before) else {
            return;
        };
        if matches!(state.phase, JobPhase::Reused | JobPhase::Done) {
            return;
        }
        state.dependents.push(job);
        if let Some(state) = self.jobs.get_mut(&job) {
            state.unfinished += 1;
        }
    }

    /// Lets a job start, if it waits and all it depends on is done.
    fn make_ready(&mut self, job: Job) {
        let Some(state) = self.jobs.get(&job) else {
            return;
        };
        let may_start = matches!(state.phase, JobPhase::Waiting) && state.unfinished == 0;
        if may_start && state.alone {
            self.alone.insert((state.rank, job));
        } else if may_start {
            self.ready.insert((state.rank, job));
        }
    }

    /// Updates the state and returns what to do, in order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        let mut actions = match input {
            Input::Begin => Vec::new(),
            Input::Event(job, event) => self.on_event(job, event),
            Input::Exited(job, end) => self.on_exit(job, end),
            Input::NotStarted(job, message) => self.on_not_started(job, message),
            Input::Interrupt => self.on_interrupt(),
            Input::Tick => self.on_tick(),
        };
        actions.extend(self.fill());
        actions
    }

    /// True if nothing runs and nothing can start.
    pub fn is_over(&self) -> bool {
        let may_start =
            !self.is_draining() && self.places.any_works() && self.is_anything_to_start();
        self.places.running().next().is_none() && !may_start
    }

    fn is_anything_to_start(&self) -> bool {
        let may_start_now = !(self.ready.is_empty() && self.alone.is_empty());
        may_start_now || !self.resting.is_empty() || self.places.any_reserved()
    }

    /// Counts the jobs by what became of them.
    pub fn tally(&self) -> Tally {
        let is_stranded = !self.places.any_works() && self.is_anything_to_start();
        let mut tally = Tally {
            interrupted: self.interrupts > 0,
            disk_full: self.disk_full,
            stranded: self.last_left_out.clone().filter(|_| is_stranded),
            ..Tally::default()
        };
        for job in self.jobs.values() {
            match job.phase {
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
            | Event::Alive {}
            | Event::Network { .. }
            | Event::Host(_)
            | Event::Checkpoint { .. } => return Vec::new(),
        };
        if let Some(JobState {
            phase: JobPhase::Running { report, .. },
            ..
        }) = self.jobs.get_mut(&job)
        {
            *report = Some(Box::new(reported));
        }
        Vec::new()
    }

    fn on_exit(&mut self, job: Job, end: ProcessEnd) -> Vec<Action> {
        let Some(JobPhase::Running { report, .. }) = self.jobs.get(&job).map(|job| &job.phase)
        else {
            return Vec::new();
        };
        if report.is_none() && end.was_asked_to_end() && self.interrupts == 0 {
            self.undecided.insert(job, (end, UNDECIDED));
            return Vec::new();
        }
        self.decide(job, &end)
    }

    /// Decides what the end of an attempt means. A result that was reported counts, however the
    /// process ended afterwards.
    fn decide(&mut self, job: Job, end: &ProcessEnd) -> Vec<Action> {
        let Some((slot, report)) = self.take_from_slot(job) else {
            return Vec::new();
        };
        if end.abandoned {
            self.places.lose(slot);
            self.send_elsewhere(self.places.place_of(slot));
        }
        match report.map(|report| *report) {
            Some(TrainerResult::Finished(finished)) => {
                self.places.worked(self.places.place_of(slot));
                self.finish(job, finished)
            }
            Some(TrainerResult::Failed(class, message)) => self.failed(job, slot, class, message),
            None if self.interrupts > 0 => vec![Action::Ended {
                job,
                end: AttemptEnd::Stopped,
                again: false,
            }],
            None if end.abandoned => self.fail(job, end.class(), end.description()),
            None => self.crashed(job, end),
        }
    }

    fn on_not_started(&mut self, job: Job, message: String) -> Vec<Action> {
        match self.take_from_slot(job) {
            Some((slot, _)) => self.failed(job, slot, Failure::NotStarted, message),
            None => Vec::new(),
        }
    }

    /// Frees the slot of a running job, and returns it with what the trainer reported.
    fn take_from_slot(&mut self, job: Job) -> Option<(SlotId, Option<Box<TrainerResult>>)> {
        let state = self.jobs.get_mut(&job)?;
        match std::mem::replace(&mut state.phase, JobPhase::Waiting) {
            JobPhase::Running { slot, report } => {
                self.places.vacate(slot);
                Some((slot, report))
            }
            other => {
                state.phase = other;
                None
            }
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
        state.phase = JobPhase::Done;
        self.ready.remove(&(state.rank, job));
        for dependent in state.dependents.clone() {
            if let Some(state) = self.jobs.get_mut(&dependent) {
                state.unfinished -= 1;
            }
            self.make_ready(dependent);
        }
    }

    /// Applies the rule for a failure that a trainer or the session reported.
    fn failed(&mut self, job: Job, slot: SlotId, class: Failure, message: String) -> Vec<Action> {
        match rule(class) {
            Rule::Final => self.fail(job, class, message),
            Rule::Drain => {
                self.disk_full = true;
                self.fail(job, class, message)
            }
            Rule::Retry => self.retry(job, class, message),
            Rule::Alone => self.out_of_memory(job, class, message),
            Rule::Place { limit } => {
                let place = self.places.place_of(slot);
                self.place_failed(job, place, limit, class, message)
            }
        }
    }

    fn fail(&mut self, job: Job, class: Failure, message: String) -> Vec<Action> {
        if let Some(state) = self.jobs.get_mut(&job) {
            state.phase = JobPhase::Failed;
        }
        vec![Action::Ended {
            job,
            end: AttemptEnd::Failed { class, message },
            again: false,
        }]
    }

    fn crashed(&mut self, job: Job, end: &ProcessEnd) -> Vec<Action> {
        if let Some(state) = self.jobs.get_mut(&job)
            && end.was_killed()
        {
            // The system may have been short of memory: the last attempt is made alone.
            state.alone |= state.crashes + 1 == self.retries;
        }
        self.retry(job, end.class(), end.description())
    }

    /// Tries a job again after a rest, unless its retries are used up.
    fn retry(&mut self, job: Job, class: Failure, message: String) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        state.crashes += 1;
        let crashes = state.crashes;
        if crashes > self.retries {
            return self.fail(job, class, message);
        }
        let rest = LONGEST_REST.min(REST << (crashes - 1).min(16));
        self.resting.insert(job, rest);
        vec![self.try_again(job, class, message)]
    }

    /// Tries a job again alone at its place, unless it was alone.
    fn out_of_memory(&mut self, job: Job, class: Failure, message: String) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        if state.alone {
            return self.fail(job, class, message);
        }
        state.alone = true;
        self.make_ready(job);
        vec![self.try_again(job, class, message)]
    }

    /// Puts a job back behind the others, and leaves out its place if that fails again and again. A
    /// job has failed itself if it fails twice at a place that works for others in between.
    fn place_failed(
        &mut self,
        job: Job,
        place: PlaceId,
        limit: u32,
        class: Failure,
        message: String,
    ) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let was_here_before = !state.failed_at.insert(place);
        if was_here_before && self.places.has_worked_since(place) {
            return self.fail(job, class, message);
        }
        state.rank.setbacks += 1;
        self.make_ready(job);
        let mut actions = vec![self.try_again(job, class, message.clone())];
        if self.places.failed(place, limit) {
            self.send_elsewhere(place);
            self.last_left_out = Some(message.clone());
            actions.push(Action::LeaveOut { place, message });
        }
        actions
    }

    /// Gives the job that waits for a place of its own another one.
    fn send_elsewhere(&mut self, place: PlaceId) {
        if let Some(stranded) = self.places.take_stranded(place) {
            self.make_ready(stranded);
        }
    }

    fn try_again(&self, job: Job, class: Failure, message: String) -> Action {
        Action::Ended {
            job,
            end: AttemptEnd::Failed { class, message },
            again: !self.is_draining(),
        }
    }

    /// Stops the trainers at the first interrupt and kills them at the second.
    fn on_interrupt(&mut self) -> Vec<Action> {
        self.interrupts += 1;
        let mut actions: Vec<Action> = Vec::new();
        for (job, (end, _)) in std::mem::take(&mut self.undecided) {
            actions.extend(self.decide(job, &end));
        }
        let interrupted = self.interrupts;
        actions.extend(self.places.running().map(|job| match interrupted {
            1 => Action::Stop(job),
            _ => Action::Kill(job),
        }));
        actions
    }

    /// Lets a moment pass for everything that waits.
    fn on_tick(&mut self) -> Vec<Action> {
        self.places.tick();
        for job in due(&mut self.resting, |ticks| ticks) {
            self.make_ready(job.0);
        }
        let decided = due(&mut self.undecided, |(_, ticks)| ticks);
        let ends = decided
            .into_iter()
            .flat_map(|(job, (end, _))| self.decide(job, &end));
        ends.collect()
    }

    fn fill(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while !self.is_draining()
            && let Some((job, slot)) = self.next_alone().or_else(|| self.next_shared())
        {
            self.places.occupy(slot, job);
            if let Some(state) = self.jobs.get_mut(&job) {
                state.phase = JobPhase::Running { slot, report: None };
            }
            actions.push(Action::Start { job, slot });
        }
        actions
    }

    /// Gives jobs that must be alone places of their own, and returns one whose place is empty.
    fn next_alone(&mut self) -> Option<(Job, SlotId)> {
        while let Some(&(_, job)) = self.alone.first()
            && self.places.reserve(job)
        {
            self.alone.pop_first();
        }
        self.places.emptied()
    }

    fn next_shared(&mut self) -> Option<(Job, SlotId)> {
        let (_, job) = *self.ready.first()?;
        let slot = self.places.free_slot(&self.jobs.get(&job)?.failed_at)?;
        self.ready.pop_first();
        Some((job, slot))
    }

    fn is_draining(&self) -> bool {
        self.interrupts > 0 || self.disk_full
    }
}

impl JobState {
    fn new(job: Job, row: usize, is_stale: bool) -> JobState {
        JobState {
            rank: Rank {
                setbacks: 0,
                urgency: urgency(job),
                row,
            },
            phase: if is_stale {
                JobPhase::Waiting
            } else {
                JobPhase::Reused
            },
            unfinished: 0,
            dependents: Vec::new(),
            crashes: 0,
            failed_at: BTreeSet::new(),
            alone: false,
        }
    }
}

/// Counts the ticks of all entries down and takes out those that have none left.
fn due<T>(waiting: &mut BTreeMap<Job, T>, ticks: fn(&mut T) -> &mut u32) -> Vec<(Job, T)> {
    let is_due = |_: &Job, entry: &mut T| {
        let left = ticks(entry);
        *left = left.saturating_sub(1);
        *left == 0
    };
    waiting.extract_if(.., is_due).collect()
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
