//! Decides which jobs may start, where and when.
//!
//! The scheduler is a pure state machine without processes, files or clocks: [`Scheduler::on`] maps
//! an [`Input`] to [`Action`]s, and [`super::session`] carries them out. Retry, failure and
//! interruption can therefore be read, and tested, in this one folder.
//!
//! A job waits until all jobs it depends on are done. Whose turn it is among the ready jobs is told by the
//! [`agenda`](crate::plan::agenda); the first one that has room somewhere starts. What a failure leads to is
//! decided by its class ([`rules`]): only a failure of the job itself is final. Where attempts run, and
//! which GPUs still work, is in [`places`], whether they should share a GPU in [`sharing`].
//!
//! Time passes in [ticks](TICKS_PER_SECOND), which the session counts while it works: a suspended
//! sweep does not age.

mod learned;
mod places;
mod queue;
mod rules;
mod sharing;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use schema::{Device, Event, Failure, Finished, KindId, TrainingEnd};

use self::{
    places::{Need, Places, Turn},
    queue::{Candidate, Queue, Rank},
    rules::{Rule, rule},
    sharing::Sharing,
};
use crate::{
    config::{Counts, Percent, Resources},
    ledger::{AttemptEnd, Job},
    plan::agenda::JobSpec,
    run::slots::{Layout, Place, PlaceId, SlotId},
    visits::PerJob,
};

pub use learned::Learned;
pub use rules::ProcessEnd;
pub use tally::{Halt, Tally};

/// The number of ticks in a second.
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
    /// The session begins: jobs may start.
    Begin,
    /// A trainer reported an event.
    Event(Job, Event),
    /// A trainer's process ended.
    Exited(Job, ProcessEnd),
    /// A trainer could not be started: the class of the failure, and a sentence.
    NotStarted(Job, Failure, String),
    /// The job that was about to start is done: its result is there.
    Found(Job),
    /// Another process works on the job.
    Taken(Job),
    /// The user interrupted.
    Interrupt,
    /// This many ticks passed.
    Ticks(u32),
    /// A running attempt was measured to take this many bytes of its GPU's memory.
    Memory(Job, u64),
    /// The processes of others take this many bytes of a GPU's memory.
    Others(PlaceId, u64),
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
    /// Tell that a slot is not used any more.
    LeaveOutSlot {
        /// The slot.
        slot: SlotId,
        /// Why.
        message: String,
    },
    /// Tell that a GPU is not used while others take so much of its memory.
    AwaitOthers(PlaceId, u64),
    /// Tell that nothing runs because the next job needs more of a GPU's memory than others leave.
    AwaitRoom {
        /// The place.
        place: PlaceId,
        /// The bytes that others take.
        used: u64,
        /// The bytes that the job needs.
        needed: u64,
    },
    /// Tell that others have freed enough of a GPU's memory, and that it is used again.
    UseAgain(PlaceId),
    /// Tell that fewer attempts run at a time, because the machine was short of main memory.
    RunFewer {
        /// The most attempts at a time from now on.
        at_most: usize,
    },
    /// Request that a trainer writes a checkpoint and exits.
    Stop(Job),
    /// Kill a trainer.
    Kill(Job),
}

/// Where and how a scheduler may start attempts.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The places of the slots.
    pub slots: Vec<PlaceId>,
    /// The places.
    pub places: Vec<Place>,
    /// How often an attempt that crashed or hung is made again.
    pub retries: u32,
    /// The number of failed jobs after which nothing new starts; nothing: it does not matter.
    pub most_failures: Option<u32>,
    /// The share of a GPU's memory that must be free of other processes.
    pub free_share: f64,
    /// The most attempts at a time; nothing: as many as there are slots.
    pub at_most: Option<usize>,
    /// How many there are of countable resources.
    pub have: Counts,
    /// What earlier sweeps learned.
    pub learned: Learned,
}

impl Setup {
    /// Returns the setup of a sweep on these slots.
    pub fn new(layout: &Layout, resources: &Resources, learned: Learned) -> Setup {
        Setup {
            slots: layout.slots.iter().map(|slot| slot.place).collect(),
            places: layout.places.clone(),
            retries: resources.retries,
            most_failures: resources.on_failure.most_failures(),
            at_most: layout.at_most.map(|most| most as usize),
            free_share: resources.gpu_free.map_or(0.0, Percent::share),
            have: resources.have.clone(),
            learned,
        }
    }
}

/// Decides which jobs may start, where and when.
#[derive(Debug)]
pub struct Scheduler {
    jobs: PerJob<JobState>,
    /// Jobs that may start beside others.
    ready: Queue,
    /// Jobs that may start once they have a place to themselves.
    alone: BTreeSet<Candidate>,
    /// Jobs that may start again after some ticks.
    resting: BTreeMap<Job, u32>,
    /// Attempts that someone asked to end, with the ticks until they count as crashed.
    undecided: BTreeMap<Job, (ProcessEnd, u32)>,
    places: Places,
    sharing: Sharing,
    /// The most memory of a GPU that a kind of job had to itself and that did not suffice.
    too_little: BTreeMap<KindId, u64>,
    retries: u32,
    most_failures: Option<u32>,
    /// The jobs that have failed.
    failures: u32,
    /// The most attempts at a time, if main memory bounds them.
    at_most: Option<usize>,
    /// What no attempt takes of the countable resources.
    free: Counts,
    has_begun: bool,
    /// True if something happened since jobs were last started, so that others may start.
    is_changed: bool,
    /// True if nothing has started since [`Action::AwaitRoom`].
    awaits_room: bool,
    interrupts: u32,
    disk_full: bool,
    last_left_out: Option<String>,
}

#[derive(Debug)]
struct JobState {
    rank: Rank,
    kind: KindId,
    /// Its kind, and what it takes of countable resources.
    line: KindId,
    guess: Option<u64>,
    device: Device,
    needs: Counts,
    phase: JobPhase,
    unfinished: usize,
    dependents: Vec<Job>,
    /// Attempts that crashed or hung.
    crashes: u32,
    /// The places that failed under it.
    failed_at: BTreeSet<PlaceId>,
    /// The places where it crashed.
    crashed_at: BTreeSet<PlaceId>,
    /// The GPUs that it had to itself and whose memory did not suffice.
    too_large_for: BTreeSet<PlaceId>,
    /// True if it needs a place to itself.
    alone: bool,
}

#[derive(Debug)]
enum JobPhase {
    Waiting,
    Running {
        slot: SlotId,
        report: Option<Box<TrainerResult>>,
        /// The most bytes of the GPU's memory that it was measured to take.
        peak: u64,
        /// True if nothing may run beside it anywhere.
        has_all: bool,
    },
    Reused,
    Done,
    Failed,
    Taken,
}

/// What is known of an attempt that has ended.
#[derive(Clone, Copy)]
struct EndedAttempt {
    slot: SlotId,
    /// The most bytes of the GPU's memory that it took.
    peak: u64,
    /// True if nothing else ran on the machine.
    has_all: bool,
}

/// The result that a trainer reported before its process ends.
#[allow(clippy::large_enum_variant, reason = "it is always in a box")]
#[derive(Debug)]
enum TrainerResult {
    Finished(Finished),
    Failed(Failure, String),
}

impl Scheduler {
    /// Creates a scheduler for these jobs.
    pub fn new(jobs: Vec<JobSpec>, setup: Setup) -> Scheduler {
        let mut scheduler = Scheduler {
            jobs: PerJob::default(),
            ready: Queue::default(),
            alone: BTreeSet::new(),
            resting: BTreeMap::new(),
            undecided: BTreeMap::new(),
            places: Places::new(&setup.slots, &setup.places, setup.free_share),
            sharing: Sharing::new(setup.learned, setup.places.len()),
            too_little: BTreeMap::new(),
            retries: setup.retries,
            most_failures: setup.most_failures,
            failures: 0,
            at_most: setup.at_most,
            free: setup.have,
            has_begun: false,
            is_changed: true,
            awaits_room: false,
            interrupts: 0,
            disk_full: false,
            last_left_out: None,
        };
        scheduler.add(jobs);
        scheduler
    }

    /// Adds jobs by which the plan has grown.
    pub fn grow(&mut self, jobs: Vec<JobSpec>) -> Vec<Action> {
        self.add(jobs);
        self.fill()
    }

    fn add(&mut self, jobs: Vec<JobSpec>) {
        for spec in &jobs {
            self.jobs.insert(spec.job, JobState::new(spec));
        }
        for spec in &jobs {
            for &before in &spec.waits_for {
                self.make_wait(spec.job, before);
            }
        }
        for spec in jobs {
            self.make_ready(spec.job);
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
        self.is_changed = true;
        let Some(state) = self.jobs.get(&job) else {
            return;
        };
        if !matches!(state.phase, JobPhase::Waiting) || state.unfinished > 0 {
            return;
        }
        if state.alone {
            self.alone.insert(state.candidate(job));
        } else {
            self.ready.insert(state.candidate(job));
        }
    }

    /// Updates the state and returns what to do, in order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        let mut actions = match input {
            Input::Begin => {
                (self.has_begun, self.is_changed) = (true, true);
                Vec::new()
            }
            Input::Event(job, event) => self.on_event(job, event),
            Input::Exited(job, end) => self.on_exit(job, end),
            Input::NotStarted(job, class, message) => self.on_not_started(job, class, message),
            Input::Found(job) => self.on_found(job),
            Input::Taken(job) => self.on_taken(job),
            Input::Interrupt => self.on_interrupt(),
            Input::Ticks(ticks) => self.on_ticks(ticks),
            Input::Memory(job, bytes) => self.on_memory(job, bytes),
            Input::Others(place, bytes) => self.on_others(place, bytes),
        };
        actions.extend(self.fill());
        actions
    }

    /// True if nothing runs and nothing can start.
    pub fn is_over(&self) -> bool {
        let may_start = || !self.is_draining() && self.any_can_start();
        self.places.running().next().is_none() && !may_start()
    }

    /// Returns the ticks after which something may start by itself; nothing if only the end of an attempt
    /// can change anything.
    pub fn next_tick(&self) -> Option<u32> {
        let resting = self.resting.values().min().copied();
        let undecided = self.undecided.values().map(|(_, ticks)| *ticks).min();
        [resting, undecided, self.places.next_rested()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns what is known of the kinds of jobs.
    pub fn learned(&self) -> &Learned {
        &self.sharing.learned
    }

    /// True if a job waits for nothing but a place, and one that works is left for it.
    fn any_can_start(&self) -> bool {
        let mut devices = self.waiting_for_a_place();
        self.places.any_reserved() || devices.any(|device| self.places.any_works(device))
    }

    /// Returns the devices of the jobs that wait for nothing but a place: of each kind at least once.
    fn waiting_for_a_place(&self) -> impl Iterator<Item = Device> {
        let ready = self.ready.first_of_kinds().into_iter();
        let waiting = ready.chain(self.alone.iter().copied()).map(|job| job.job);
        let resting = self.resting.keys().copied();
        waiting.chain(resting).map(|job| self.jobs[&job].device)
    }

    /// Counts the jobs by what became of them.
    pub fn tally(&self) -> Tally {
        let is_stranded = self.waiting_for_a_place().next().is_some() && !self.any_can_start();
        let mut tally = Tally {
            interrupted: self.interrupts > 0,
            disk_full: self.disk_full,
            stranded: self.last_left_out.clone().filter(|_| is_stranded),
            gave_up: self.has_given_up(),
            ..Tally::default()
        };
        for job in self.jobs.values() {
            match job.phase {
                JobPhase::Reused => tally.reused += 1,
                JobPhase::Done => tally.done += 1,
                JobPhase::Failed => tally.failed += 1,
                JobPhase::Taken => tally.taken += 1,
                JobPhase::Waiting | JobPhase::Running { .. } => tally.not_started += 1,
            }
        }
        tally
    }

    fn on_event(&mut self, job: Job, event: Event) -> Vec<Action> {
        let reported = match event {
            Event::Progress { done, .. } => {
                self.on_progress(job, done);
                return Vec::new();
            }
            Event::Finished(finished) => TrainerResult::Finished(finished),
            Event::Failed { class, message } => TrainerResult::Failed(class, message),
            Event::Started { .. }
            | Event::Remark { .. }
            | Event::Scores { .. }
            | Event::Learning { .. }
            | Event::Memory { .. }
            | Event::Survey { .. }
            | Event::Alive {}
            | Event::Ready {}
            | Event::Network { .. }
            | Event::Host(_)
            | Event::Checkpoint { .. } => return Vec::new(),
        };
        if let Some(JobState {
            phase: JobPhase::Running { report, .. },
            ..
        }) = self.jobs.get_mut(&job)
        {
            // What it says after its result is not about the job any more.
            report.get_or_insert_with(|| Box::new(reported));
        }
        Vec::new()
    }

    fn on_progress(&mut self, job: Job, done: u64) {
        if let Some(slot) = self.slot_of(job) {
            self.sharing
                .progressed(self.places.place_of(slot), job, done);
        }
    }

    fn slot_of(&self, job: Job) -> Option<SlotId> {
        match self.jobs.get(&job)?.phase {
            JobPhase::Running { slot, .. } => Some(slot),
            JobPhase::Waiting
            | JobPhase::Reused
            | JobPhase::Done
            | JobPhase::Failed
            | JobPhase::Taken => None,
        }
    }

    /// Notes what an attempt takes. Once it is steady, others may join it.
    fn on_memory(&mut self, job: Job, bytes: u64) -> Vec<Action> {
        let Some(JobState {
            phase: JobPhase::Running { slot, peak, .. },
            kind,
            ..
        }) = self.jobs.get_mut(&job)
        else {
            return Vec::new();
        };
        *peak = bytes.max(*peak);
        let (slot, kind, peak) = (*slot, *kind, *peak);
        if self.sharing.is_steady(self.places.place_of(slot), job) {
            if self.sharing.learned.bytes(kind).is_none() {
                self.sharing.learned.note_peak(kind, peak);
            }
            let expected = self.sharing.learned.bytes(kind).unwrap_or(peak);
            self.is_changed |= self.places.measured(slot, expected.max(peak));
        }
        Vec::new()
    }

    fn on_others(&mut self, place: PlaceId, bytes: u64) -> Vec<Action> {
        self.is_changed |= self.places.others(place) != bytes;
        let turn = self.places.taken_by_others(place, bytes);
        // A new notice about the place replaces this one.
        self.awaits_room &= turn.is_none();
        match turn {
            Some(Turn::Busy) => {
                self.send_elsewhere(place);
                vec![Action::AwaitOthers(place, bytes)]
            }
            Some(Turn::Free) => vec![Action::UseAgain(place)],
            None => Vec::new(),
        }
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
        let Some((ended, report)) = self.take_from_slot(job) else {
            return Vec::new();
        };
        let mut actions = self.leave_behind(ended.slot, end);
        actions.extend(self.judge(job, end, ended, report));
        actions
    }

    /// Never uses the slot of a process again that cannot be killed.
    fn leave_behind(&mut self, slot: SlotId, end: &ProcessEnd) -> Vec<Action> {
        let Some(message) = end.left_behind() else {
            return Vec::new();
        };
        self.places.lose(slot);
        self.send_elsewhere(self.places.place_of(slot));
        self.last_left_out = Some(message.clone());
        vec![Action::LeaveOutSlot { slot, message }]
    }

    /// Decides what becomes of a job whose attempt has ended.
    fn judge(
        &mut self,
        job: Job,
        end: &ProcessEnd,
        ended: EndedAttempt,
        report: Option<Box<TrainerResult>>,
    ) -> Vec<Action> {
        let place = self.places.place_of(ended.slot);
        match report.map(|report| *report) {
            Some(TrainerResult::Finished(finished)) => {
                self.places.worked(place);
                if ended.peak > 0 {
                    let kind = self.jobs[&job].kind;
                    self.sharing.learned.note_peak(kind, ended.peak);
                }
                let mut actions = self.finish(job, finished);
                actions.extend(self.accuse_places_of(job, place));
                actions
            }
            Some(TrainerResult::Failed(class, message)) => self.failed(job, ended, class, message),
            None if self.interrupts > 0 => vec![Action::Ended {
                job,
                end: AttemptEnd::Stopped,
                again: false,
            }],
            None if end.abandoned.is_some() => self.fail(job, end.class(), end.description()),
            None if end.out_of_memory => {
                self.failed(job, ended, Failure::HostMemory, end.description())
            }
            None => self.crashed(job, place, end),
        }
    }

    fn on_not_started(&mut self, job: Job, class: Failure, message: String) -> Vec<Action> {
        match self.take_from_slot(job) {
            Some((ended, _)) => self.failed(job, ended, class, message),
            None => Vec::new(),
        }
    }

    fn on_found(&mut self, job: Job) -> Vec<Action> {
        if self.take_from_slot(job).is_some() {
            self.done(job);
        }
        Vec::new()
    }

    /// Leaves a job to another process. What waits for it does not start here.
    fn on_taken(&mut self, job: Job) -> Vec<Action> {
        self.undecided.remove(&job);
        if self.take_from_slot(job).is_some()
            && let Some(state) = self.jobs.get_mut(&job)
        {
            state.phase = JobPhase::Taken;
        }
        Vec::new()
    }

    /// Frees the slot of a running job, and returns what is known of the attempt, with what the trainer
    /// reported.
    fn take_from_slot(&mut self, job: Job) -> Option<(EndedAttempt, Option<Box<TrainerResult>>)> {
        self.is_changed = true;
        let state = self.jobs.get_mut(&job)?;
        match std::mem::replace(&mut state.phase, JobPhase::Waiting) {
            JobPhase::Running {
                slot,
                report,
                peak,
                has_all,
            } => {
                self.places.vacate(slot);
                self.free.give(&state.needs);
                let at = self.places.place_of(slot);
                self.sharing.left(at, self.places.facts(at), job);
                let ended = EndedAttempt {
                    slot,
                    peak,
                    has_all,
                };
                Some((ended, report))
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
        self.ready.remove(&state.candidate(job));
        for dependent in state.dependents.clone() {
            if let Some(state) = self.jobs.get_mut(&dependent) {
                state.unfinished -= 1;
            }
            self.make_ready(dependent);
        }
    }

    /// Applies the rule for a failure that a trainer or the session reported.
    fn failed(
        &mut self,
        job: Job,
        ended: EndedAttempt,
        class: Failure,
        message: String,
    ) -> Vec<Action> {
        match rule(class) {
            Rule::Final => self.fail(job, class, message),
            Rule::Drain => {
                self.disk_full = true;
                self.fail(job, class, message)
            }
            Rule::Retry => self.retry(job, class, message),
            Rule::Alone => self.out_of_memory(job, ended, class, message),
            Rule::Fewer => self.out_of_main_memory(job, ended, class, message),
            Rule::Place { limit } => {
                let place = self.places.place_of(ended.slot);
                self.place_failed(job, place, limit, class, message)
            }
        }
    }

    fn fail(&mut self, job: Job, class: Failure, message: String) -> Vec<Action> {
        if let Some(state) = self.jobs.get_mut(&job) {
            state.phase = JobPhase::Failed;
        }
        self.failures += 1;
        vec![Action::Ended {
            job,
            end: AttemptEnd::Failed { class, message },
            again: false,
        }]
    }

    fn crashed(&mut self, job: Job, place: PlaceId, end: &ProcessEnd) -> Vec<Action> {
        if let Some(state) = self.jobs.get_mut(&job)
            && end.was_killed()
        {
            // The system may have been short of memory: the last attempt is made alone.
            state.alone |= state.crashes + 1 == self.retries;
        } else if !end.was_asked_to_end() {
            self.suspect(place, job);
        }
        self.retry(job, end.class(), end.description())
    }

    /// Notes that a job crashed at a place, for which either may be to blame.
    fn suspect(&mut self, place: PlaceId, job: Job) {
        self.places.crashed(place);
        if let Some(state) = self.jobs.get_mut(&job)
            && state.crashed_at.insert(place)
        {
            // Other jobs of its line may still start there.
            state.line = KindId::of(&format!("{} not at {}", state.line, place.0));
        }
    }

    /// Leaves out places where a job crashed that has finished elsewhere, if it is not the first one.
    fn accuse_places_of(&mut self, job: Job, finished_at: PlaceId) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        for at in std::mem::take(&mut state.crashed_at) {
            if at != finished_at && self.places.accuse(at) {
                let message = "jobs that crashed there have finished elsewhere".to_owned();
                actions.push(self.leave_out(at, message));
            }
        }
        actions
    }

    /// Gives up a place, and gives the job that waits for it another one.
    fn leave_out(&mut self, place: PlaceId, message: String) -> Action {
        self.send_elsewhere(place);
        self.last_left_out = Some(message.clone());
        Action::LeaveOut { place, message }
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

    /// Tries a job again alone at its place, unless it was alone. Its kind takes more than was known. If it had the place to
    /// itself, it is only tried at larger ones from now on.
    fn out_of_memory(
        &mut self,
        job: Job,
        ended: EndedAttempt,
        class: Failure,
        message: String,
    ) -> Vec<Action> {
        let Some(state) = self.jobs.get_mut(&job) else {
            return Vec::new();
        };
        let was_alone = std::mem::replace(&mut state.alone, true);
        let kind = state.kind;
        let at = self.places.place_of(ended.slot);
        let had_the_place = was_alone || self.places.has_one_slot(at);
        // What others take of memory comes and goes: a job that goes elsewhere each time would never end.
        let is_first_time = had_the_place && state.too_large_for.insert(at);
        if is_first_time && self.places.any_larger(at) {
            let too_little = self.too_little.entry(kind).or_default();
            *too_little = self.places.room(at).max(*too_little);
        } else if was_alone {
            let needed = self.needed_memory(ended);
            return self.fail(job, class, format!("{message}{needed}"));
        }
        if let Some(expected) = self.sharing.learned.bytes(kind) {
            self.sharing
                .learned
                .note_peak(kind, expected.max(ended.peak));
        }
        self.make_ready(job);
        vec![self.try_again(job, class, message)]
    }

    /// Describes the memory of an attempt that was alone and had too little. Failures on equal GPUs have the same words.
    fn needed_memory(&self, ended: EndedAttempt) -> String {
        let at = self.places.place_of(ended.slot);
        let place = self.places.facts(at);
        let Some(memory) = place.memory else {
            return String::new();
        };
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let of_others = match self.places.others(at) {
            0 => String::new(),
            bytes => format!(", of which others take {:.1} GB", gigabytes(bytes)),
        };
        let measured = match ended.peak {
            0 => String::new(),
            bytes => format!(" took {:.1} GB and", gigabytes(bytes)),
        };
        let memory = gigabytes(memory);
        format!("; alone on a GPU of {memory:.1} GB{of_others}, it{measured} needs more")
    }

    /// Tries a job again while fewer run at a time, unless nothing ran beside it.
    fn out_of_main_memory(
        &mut self,
        job: Job,
        ended: EndedAttempt,
        class: Failure,
        message: String,
    ) -> Vec<Action> {
        if ended.has_all {
            return self.fail(job, class, message);
        }
        // The system may end several attempts at once.
        let others = self.places.running().count().max(1);
        let before = self.at_most.unwrap_or(usize::MAX);
        let at_most = before.min(others);
        self.at_most = Some(at_most);
        self.make_ready(job);
        let fewer = (at_most < before).then_some(Action::RunFewer { at_most });
        let again = self.try_again(job, class, message);
        [again].into_iter().chain(fewer).collect()
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
            actions.push(self.leave_out(place, message));
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

    /// Lets time pass for everything that waits.
    fn on_ticks(&mut self, ticks: u32) -> Vec<Action> {
        self.is_changed |= self.places.tick(ticks);
        for at in self.places.ids() {
            self.is_changed |= self.sharing.tick(at, self.places.facts(at), ticks);
        }
        for (job, _) in due(&mut self.resting, ticks, |left| left) {
            self.make_ready(job);
        }
        let decided = due(&mut self.undecided, ticks, |(_, left)| left);
        let ends = decided
            .into_iter()
            .flat_map(|(job, (end, _))| self.decide(job, &end));
        ends.collect()
    }

    /// Starts as many jobs as have room, if anything has changed.
    fn fill(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !std::mem::take(&mut self.is_changed) {
            return actions;
        }
        while self.may_start()
            && let Some((job, need, slot)) = self.next()
        {
            self.places.occupy(slot, job, need);
            let at = self.places.place_of(slot);
            self.sharing
                .joined(at, self.places.facts(at), job, need.kind);
            if let Some(state) = self.jobs.get_mut(&job) {
                self.free.take(&state.needs);
                state.phase = JobPhase::Running {
                    slot,
                    report: None,
                    peak: 0,
                    has_all: self.at_most == Some(1),
                };
            }
            actions.push(Action::Start { job, slot });
        }
        match actions.is_empty() {
            true => actions.extend(self.await_room()),
            false => self.awaits_room = false,
        }
        actions
    }

    /// Tells once that nothing runs because the next job needs memory that others take.
    fn await_room(&mut self) -> Option<Action> {
        let is_idle = self.may_start() && self.places.running().next().is_none();
        if self.awaits_room || !is_idle {
            return None;
        }
        let ready = self.ready.first_of_kinds();
        let mut needs = self.alone.iter().chain(&ready).map(|job| self.need(job));
        let (place, needed) =
            needs.find_map(|need| Some((self.places.crowded_out(need)?, need.bytes?)))?;
        self.awaits_room = true;
        let used = self.places.others(place);
        Some(Action::AwaitRoom {
            place,
            used,
            needed,
        })
    }

    fn may_start(&self) -> bool {
        let is_allowed = |most| self.places.running().count() < most;
        let may_start = self.has_begun && !self.is_draining();
        may_start && self.places.any_free() && self.at_most.is_none_or(is_allowed)
    }

    /// Returns the next job to start, and where.
    fn next(&mut self) -> Option<(Job, Need, SlotId)> {
        self.reserve_places();
        let has_enough = |job: Job| self.free.cover(&self.jobs[&job].needs);
        let reserved = self.places.reserved(has_enough);
        reserved.or_else(|| self.next_shared())
    }

    /// Keeps places for jobs that must be alone.
    fn reserve_places(&mut self) {
        for candidate in self.alone.clone() {
            if self.reserve(&candidate, true) {
                self.alone.remove(&candidate);
            }
        }
    }

    /// Returns the first job in order that has room beside others. Those that it passes are patient for a
    /// while. Countable resources are kept for the first that lacks some, so that no later job takes them.
    fn next_shared(&mut self) -> Option<(Job, Need, SlotId)> {
        let mut left = self.left_by_reserved();
        let mut passed = Vec::new();
        for candidate in self.ready.first_of_kinds() {
            let state = &self.jobs[&candidate.job];
            if !left.cover(&state.needs) {
                left.take(&state.needs);
                continue;
            }
            let need = self.need(&candidate);
            let shunned = self.places.shunned(&state.crashed_at, need);
            let may_use = |at, place: &Place| {
                let may_join = !place.packs || self.sharing.may_join(at, place, need.kind);
                may_join && !shunned.contains(&at)
            };
            let avoid = &state.failed_at | &state.crashed_at;
            if let Some(slot) = self.places.free_slot(need, &avoid, may_use) {
                passed.iter().for_each(|passed| self.pass(passed));
                self.ready.remove(&candidate);
                return Some((candidate.job, need, slot));
            }
            passed.push(candidate);
        }
        None
    }

    /// Returns what of the countable resources is left, once the jobs that wait for a place of their own have theirs.
    fn left_by_reserved(&self) -> Counts {
        let mut left = self.free.clone();
        let is_running = |job| self.places.running().any(|running| running == job);
        for job in self
            .places
            .jobs_with_a_place()
            .filter(|&job| !is_running(job))
        {
            left.take(&self.jobs[&job].needs);
        }
        left
    }

    /// Keeps a place for a job that others have passed too often.
    fn pass(&mut self, passed: &Candidate) {
        if self.ready.pass(passed) && self.reserve(passed, false) {
            self.ready.remove(passed);
        }
    }

    /// Keeps a place for a job. Returns false if there is none.
    fn reserve(&mut self, candidate: &Candidate, alone: bool) -> bool {
        let need = self.need(candidate);
        let crashed_at = &self.jobs[&candidate.job].crashed_at;
        let shunned = self.places.shunned(crashed_at, need);
        self.places.reserve(candidate.job, need, &shunned, alone)
    }

    fn need(&self, candidate: &Candidate) -> Need {
        let state = &self.jobs[&candidate.job];
        let expected = self.sharing.learned.bytes(state.kind).or(state.guess);
        let too_little = self.too_little.get(&state.kind);
        Need {
            device: state.device,
            kind: state.kind,
            bytes: expected.max(too_little.map(|bytes| bytes + 1)),
        }
    }

    fn has_given_up(&self) -> bool {
        self.most_failures.is_some_and(|most| self.failures >= most)
    }

    fn is_draining(&self) -> bool {
        self.interrupts > 0 || self.disk_full || self.has_given_up()
    }
}

impl JobState {
    fn new(spec: &JobSpec) -> JobState {
        JobState {
            rank: Rank {
                setbacks: 0,
                turn: spec.turn,
            },
            kind: spec.kind,
            line: line(spec),
            guess: spec.guess,
            device: spec.device,
            needs: spec.needs.clone(),
            phase: if spec.has_to_run {
                JobPhase::Waiting
            } else {
                JobPhase::Reused
            },
            unfinished: 0,
            dependents: Vec::new(),
            crashes: 0,
            failed_at: BTreeSet::new(),
            crashed_at: BTreeSet::new(),
            too_large_for: BTreeSet::new(),
            alone: false,
        }
    }

    fn candidate(&self, job: Job) -> Candidate {
        Candidate {
            rank: self.rank,
            job,
            line: self.line,
        }
    }
}

/// Returns what jobs have in common that need the same of a place and of countable resources.
fn line(spec: &JobSpec) -> KindId {
    match spec.needs.is_empty() {
        true => spec.kind,
        false => KindId::of(&format!("{} with {}", spec.kind, spec.needs)),
    }
}

/// Counts the ticks of all entries down and takes out those that have none left.
fn due<T>(
    waiting: &mut BTreeMap<Job, T>,
    ticks: u32,
    left: fn(&mut T) -> &mut u32,
) -> Vec<(Job, T)> {
    let is_due = |_: &Job, entry: &mut T| {
        let left = left(entry);
        *left = left.saturating_sub(ticks);
        *left == 0
    };
    waiting.extract_if(.., is_due).collect()
}

#[cfg(test)]
mod tests;
