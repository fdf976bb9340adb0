//! Decides which jobs are submitted, and what becomes of those whose element has ended.
//!
//! The dispatcher is a pure state machine without processes, files or clocks: [`Dispatcher::on`] maps an [`Input`] to
//! [`Action`]s, and [`super::session`] carries them out.
//!
//! A job is done when its result exists; Slurm only tells whether an element may still work. An element has ended when
//! its worker says so, or when Slurm shows it as ended, or not at all, in two observations one after the other. Then its
//! jobs are looked at ([`Action::Settle`]), and those without a result are submitted again in a new array. A job whose
//! elements end again and again without any progress has failed.

use std::collections::{BTreeMap, BTreeSet};

use schema::Device;

use super::{
    chunks::{Array, Cut, Unit, arrays},
    slurm::{Cause, State},
    submission::Chunks,
};
use crate::{ledger::Job, plan::agenda::JobSpec, run::scheduler::Tally};

/// The position of an array among those of this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArrayId(pub usize);

/// An element of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ElementId {
    /// The array.
    pub array: ArrayId,
    /// The number of its chunk.
    pub chunk: usize,
}

/// How an element ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Its worker has results or final failures for all its jobs.
    Finished,
    /// Its worker stopped with checkpoints.
    Stopped,
    /// Other processes work on what its worker had left to do.
    Taken,
    /// Its worker found a disk full, or could not write to it.
    DiskFull,
    /// Its worker could not work, with this exit code.
    Unable(u8),
    /// Its worker said nothing, and Slurm tells why.
    Cut(Cause),
    /// Its worker said nothing, and Slurm does not know the element.
    Lost,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The result of a job exists, or nothing needs it.
    Done(Job),
    /// Slurm accepted an array.
    Accepted(ArrayId),
    /// It is not known whether Slurm accepted an array; with what was said about it.
    InDoubt(ArrayId, String),
    /// Slurm answered: the states of all elements that it knows. Those of arrays that are over may be missing.
    Observed(BTreeMap<ElementId, State>),
    /// A worker ended by itself.
    Left(ElementId, End),
    /// The session has looked at the jobs of an element that has ended.
    Settled {
        /// The element.
        element: ElementId,
        /// How it ended.
        end: End,
        /// True if any of them is further than when the element was submitted.
        progressed: bool,
        /// The jobs without a result that it has begun to work on.
        tried: BTreeSet<Job>,
    },
    /// The user interrupted: nothing more is submitted.
    Interrupt,
    /// A second passed.
    Second,
}

/// An instruction to the session.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Submit an array.
    Submit(ArrayId, Array),
    /// Look which jobs of an element are done, and send them and [`Input::Settled`].
    Settle(ElementId, End),
    /// Note that nothing of an array can run any more.
    Close(ArrayId),
    /// Tell that jobs were submitted again, because of this end.
    Again(ElementId, End, usize),
    /// Tell that a job has failed.
    Fail(Job, Option<End>),
    /// Tell that Slurm accepted fewer elements at a time than were asked for, with what it said.
    Fewer(usize, String),
}

/// How jobs are submitted.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How they are put together.
    pub cut: Cut,
    /// How often elements of a job may end without progress before it has failed.
    pub retries: u32,
    /// The number of failed jobs after which nothing more is submitted; nothing: it does not matter.
    pub most_failures: Option<u32>,
}

/// Observations without an element after which it is gone.
const ABSENCES: u32 = 2;

/// Seconds for which few jobs wait for others that would share their array, while something else is running.
const GATHER: u32 = 10;

/// Refusals of the smallest array after which none is tried any more. One may be due to a controller that was away.
const REFUSALS: u32 = 2;

/// Seconds until Slurm is asked again for what it refused, and until a full disk is tried again for the first time.
const REST: u32 = 60;

/// Seconds until a disk that is full again and again is tried again, at the most.
const LONGEST_REST: u32 = 16 * REST;

/// Decides which jobs are submitted.
#[derive(Debug)]
pub struct Dispatcher {
    policy: Policy,
    jobs: BTreeMap<Job, JobState>,
    arrays: Vec<ArrayState>,
    /// The most elements of the next array, after Slurm refused more.
    window: usize,
    /// Seconds for which jobs have been ready.
    gathered: u32,
    /// Seconds until a refusal or a full disk is forgotten.
    resting: u32,
    /// Seconds of rest after the next worker that finds a disk full.
    disk_rest: u32,
    /// How often Slurm has refused the smallest array while nothing was running, one time after another.
    refusals: u32,
    /// What it said when that was once too often.
    refused: Option<String>,
    failures: u32,
    is_interrupted: bool,
}

#[derive(Debug)]
struct JobState {
    spec: JobSpec,
    seconds: f64,
    phase: Phase,
    /// How often its elements have ended without progress, one after another.
    barren: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reused,
    Waiting,
    Held(ElementId),
    Done,
    Failed,
}

#[derive(Debug)]
struct ArrayState {
    elements: Vec<ElementState>,
    standing: Standing,
}

#[derive(Debug, PartialEq)]
enum Standing {
    /// `sbatch` is about to be called, or has not answered.
    Asked,
    /// Slurm may have the array or not: what `sbatch` said when it failed, and observations without it so far.
    InDoubt {
        message: Option<String>,
        absences: u32,
    },
    /// Slurm has it.
    Accepted,
    /// Nothing of it can run any more.
    Over,
}

#[derive(Debug)]
struct ElementState {
    jobs: Vec<Job>,
    life: Life,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It may work; observations in a row in which it did not.
    Live {
        absences: u32,
    },
    /// Its jobs are being looked at.
    Settling,
    Over,
}

impl Dispatcher {
    /// Creates a dispatcher without jobs.
    pub fn new(policy: Policy) -> Dispatcher {
        Dispatcher {
            window: policy.cut.array,
            policy,
            jobs: BTreeMap::new(),
            arrays: Vec::new(),
            gathered: 0,
            resting: 0,
            disk_rest: REST,
            refusals: 0,
            refused: None,
            failures: 0,
            is_interrupted: false,
        }
    }

    /// Adds jobs, each with the seconds that it is expected to take.
    pub fn add(&mut self, jobs: impl IntoIterator<Item = (JobSpec, f64)>) {
        for (spec, seconds) in jobs {
            let phase = match spec.has_to_run {
                true => Phase::Waiting,
                false => Phase::Reused,
            };
            let state = JobState {
                phase,
                seconds,
                barren: 0,
                spec,
            };
            self.jobs.insert(state.spec.job, state);
        }
    }

    /// Adds an array that an earlier session submitted, or was about to. Its jobs are not submitted while its elements
    /// may work.
    pub fn adopt(&mut self, chunks: Chunks, is_accepted: bool) -> ArrayId {
        let array = self.open(chunks);
        self.arrays[array.0].standing = match is_accepted {
            true => Standing::Accepted,
            // The session that submitted it ended before Slurm answered.
            false => Standing::InDoubt {
                message: None,
                absences: 0,
            },
        };
        array
    }

    fn open(&mut self, chunks: Chunks) -> ArrayId {
        let array = ArrayId(self.arrays.len());
        let mut elements = Vec::with_capacity(chunks.len());
        for (chunk, jobs) in chunks.into_iter().enumerate() {
            for job in &jobs {
                if let Some(state) = self.jobs.get_mut(job)
                    && state.phase == Phase::Waiting
                {
                    state.phase = Phase::Held(ElementId { array, chunk });
                }
            }
            let life = Life::Live { absences: 0 };
            elements.push(ElementState { jobs, life });
        }
        self.arrays.push(ArrayState {
            elements,
            standing: Standing::Asked,
        });
        array
    }

    /// Updates the state and returns what to do, in order.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        match input {
            Input::Done(job) => {
                self.done(job);
                Vec::new()
            }
            Input::Accepted(array) => {
                self.arrays[array.0].standing = Standing::Accepted;
                self.window = (2 * self.window).min(self.policy.cut.array);
                self.refusals = 0;
                Vec::new()
            }
            Input::InDoubt(array, message) => {
                self.arrays[array.0].standing = Standing::InDoubt {
                    message: Some(message),
                    absences: 0,
                };
                Vec::new()
            }
            Input::Observed(states) => self.observed(&states),
            Input::Left(element, end) => self.settle(element, end).into_iter().collect(),
            Input::Settled {
                element,
                end,
                progressed,
                tried,
            } => self.settled(element, end, progressed, &tried),
            Input::Interrupt => {
                self.is_interrupted = true;
                Vec::new()
            }
            Input::Second => self.second(),
        }
    }

    /// True if nothing is submitted and nothing can be.
    pub fn is_over(&self) -> bool {
        let is_open = |array: &ArrayState| array.standing != Standing::Over;
        !self.arrays.iter().any(is_open) && (self.is_draining() || self.ready().is_empty())
    }

    /// True if Slurm has accepted all that can be submitted now.
    pub fn has_submitted_all(&self) -> bool {
        let is_asked = self.arrays.iter().any(ArrayState::is_asked);
        !is_asked && (self.is_draining() || self.ready().is_empty())
    }

    /// True if Slurm has to be asked soon: about an array in doubt, or an element that it did not show as working.
    pub fn is_in_doubt(&self) -> bool {
        self.arrays.iter().any(|array| match array.standing {
            Standing::Asked | Standing::InDoubt { .. } => true,
            Standing::Accepted => array.elements.iter().any(ElementState::is_in_doubt),
            Standing::Over => false,
        })
    }

    /// Returns the jobs of an element that are not done.
    pub fn unfinished(&self, element: ElementId) -> Vec<Job> {
        let jobs = self.element(element).map(|found| found.jobs.as_slice());
        let jobs = jobs.unwrap_or_default().iter().copied();
        jobs.filter(|job| {
            let state = self.jobs.get(job);
            state.is_some_and(|state| state.phase == Phase::Held(element))
        })
        .collect()
    }

    /// Returns the elements that may work.
    pub fn live(&self) -> impl Iterator<Item = ElementId> {
        self.arrays.iter().enumerate().flat_map(|(number, array)| {
            let array_id = ArrayId(number);
            let is_live = |life| matches!(life, Life::Live { .. } | Life::Settling);
            let elements = array.elements.iter().enumerate();
            elements
                .filter(move |(_, element)| {
                    array.standing != Standing::Over && is_live(element.life)
                })
                .map(move |(chunk, _)| ElementId {
                    array: array_id,
                    chunk,
                })
        })
    }

    /// Returns the arrays that may still run.
    pub fn open_arrays(&self) -> impl Iterator<Item = ArrayId> {
        let arrays = self.arrays.iter().enumerate();
        let open = arrays.filter(|(_, array)| array.standing != Standing::Over);
        open.map(|(number, _)| ArrayId(number))
    }

    /// Counts the jobs by what became of them.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally {
            interrupted: self.is_interrupted,
            stranded: self.refused.clone(),
            gave_up: self.has_given_up(),
            ..Tally::default()
        };
        for job in self.jobs.values() {
            match job.phase {
                Phase::Reused => tally.reused += 1,
                Phase::Done => tally.done += 1,
                Phase::Failed => tally.failed += 1,
                Phase::Waiting | Phase::Held(_) => tally.not_started += 1,
            }
        }
        tally
    }

    fn done(&mut self, job: Job) {
        if let Some(state) = self.jobs.get_mut(&job)
            && state.phase != Phase::Reused
        {
            state.phase = Phase::Done;
        }
    }

    fn observed(&mut self, states: &BTreeMap<ElementId, State>) -> Vec<Action> {
        let mut actions = Vec::new();
        for number in 0..self.arrays.len() {
            let array = ArrayId(number);
            let is_known = states.keys().any(|element| element.array == array);
            match &mut self.arrays[number].standing {
                Standing::Over | Standing::Asked => {}
                standing @ Standing::InDoubt { .. } if is_known => *standing = Standing::Accepted,
                Standing::InDoubt { absences, .. } => {
                    *absences += 1;
                    if *absences >= ABSENCES {
                        actions.extend(self.refuse(array));
                    }
                }
                Standing::Accepted => actions.extend(self.observe_elements(array, states)),
            }
        }
        actions
    }

    fn observe_elements(
        &mut self,
        array: ArrayId,
        states: &BTreeMap<ElementId, State>,
    ) -> Vec<Action> {
        let mut gone = Vec::new();
        for (chunk, element) in self.arrays[array.0].elements.iter_mut().enumerate() {
            let id = ElementId { array, chunk };
            let state = states.get(&id);
            if let Life::Live { absences } = &mut element.life {
                *absences = match state.is_some_and(State::is_live) {
                    true => 0,
                    false => *absences + 1,
                };
                if *absences >= ABSENCES {
                    gone.push((id, end_of(state)));
                }
            }
        }
        let settled = gone.into_iter().map(|(id, end)| self.settle(id, end));
        settled.flatten().collect()
    }

    /// Takes back the jobs of an array that Slurm does not have.
    fn refuse(&mut self, array: ArrayId) -> Vec<Action> {
        let state = &mut self.arrays[array.0];
        let standing = std::mem::replace(&mut state.standing, Standing::Over);
        let size = state.elements.len();
        for element in &mut state.elements {
            element.life = Life::Over;
        }
        self.free_all_of(array);
        let mut actions = vec![Action::Close(array)];
        if let Standing::InDoubt {
            message: Some(message),
            ..
        } = standing
        {
            self.shrink(size, &message);
            actions.push(Action::Fewer(self.window, message));
        }
        actions
    }

    /// Asks for less after Slurm refused an array of this size.
    fn shrink(&mut self, size: usize, message: &str) {
        self.window = (size / 2).max(1);
        self.resting = REST;
        if self.live().next().is_none() {
            // Nothing will make room: the smallest array tells whether any can be submitted.
            self.window = 1;
            self.resting = 0;
            self.refusals += u32::from(size <= 1);
            self.refused = (self.refusals >= REFUSALS).then(|| message.to_owned());
        }
    }

    fn free_all_of(&mut self, array: ArrayId) {
        for state in self.jobs.values_mut() {
            if matches!(state.phase, Phase::Held(element) if element.array == array) {
                state.phase = Phase::Waiting;
            }
        }
    }

    /// Begins to look at the jobs of an element, once.
    fn settle(&mut self, id: ElementId, end: End) -> Option<Action> {
        let array = self.arrays.get_mut(id.array.0)?;
        let element = array.elements.get_mut(id.chunk)?;
        if matches!(element.life, Life::Live { .. }) {
            // A message from a worker proves that Slurm has its array.
            array.standing = Standing::Accepted;
            element.life = Life::Settling;
            return Some(Action::Settle(id, end));
        }
        None
    }

    fn settled(
        &mut self,
        id: ElementId,
        end: End,
        progressed: bool,
        tried: &BTreeSet<Job>,
    ) -> Vec<Action> {
        let unfinished = self.unfinished(id);
        for &job in &unfinished {
            self.set(job, Phase::Waiting);
        }
        // What waits for another job of the element is not to blame.
        let could_start = unfinished.iter().filter(|job| self.could_start(**job));
        let could_start: Vec<Job> = could_start.copied().collect();
        let mut actions = Vec::new();
        for job in could_start {
            let is_blamed = tried.is_empty() || tried.contains(&job);
            if self.is_final(job, end, progressed, is_blamed) {
                actions.push(self.fail(job, end));
            }
        }
        let again = unfinished
            .iter()
            .filter(|&&job| self.is_waiting(job))
            .count();
        if again > 0 && end != End::Finished {
            actions.push(Action::Again(id, end, again));
        }
        self.rest_after(end, progressed);
        let array = &mut self.arrays[id.array.0];
        array.elements[id.chunk].life = Life::Over;
        if array
            .elements
            .iter()
            .all(|element| element.life == Life::Over)
        {
            array.standing = Standing::Over;
            actions.push(Action::Close(id.array));
        }
        actions
    }

    /// Waits for what made a worker end: other processes, or room on a disk.
    fn rest_after(&mut self, end: End, progressed: bool) {
        if progressed {
            self.disk_rest = REST;
        }
        match end {
            End::Taken => self.resting = REST,
            // The others of its array find the same disk full.
            End::DiskFull if self.resting > 0 => {}
            End::DiskFull => {
                self.resting = self.disk_rest;
                self.disk_rest = LONGEST_REST.min(2 * self.disk_rest);
            }
            End::Finished | End::Stopped | End::Unable(_) | End::Cut(_) | End::Lost => {
                self.resting = 0;
            }
        }
    }

    /// Counts an end of a job's element without its result. Returns true if the job has failed.
    fn is_final(&mut self, job: Job, end: End, progressed: bool, is_blamed: bool) -> bool {
        let Some(state) = self.jobs.get_mut(&job) else {
            return false;
        };
        let is_usual = match end {
            End::Finished => return true,
            End::Cut(cause) => cause.is_usual(),
            End::Taken | End::DiskFull => true,
            End::Stopped | End::Unable(_) | End::Lost => false,
        };
        state.barren = match progressed {
            true => 0,
            false => state.barren + u32::from(is_blamed && !is_usual),
        };
        state.barren > self.policy.retries
    }

    fn is_waiting(&self, job: Job) -> bool {
        self.phase(job) == Some(Phase::Waiting)
    }

    fn phase(&self, job: Job) -> Option<Phase> {
        self.jobs.get(&job).map(|state| state.phase)
    }

    fn fail(&mut self, job: Job, end: End) -> Action {
        self.set(job, Phase::Failed);
        self.failures += 1;
        // Why a job failed for good is told by its last attempt.
        Action::Fail(job, (end != End::Finished).then_some(end))
    }

    fn set(&mut self, job: Job, phase: Phase) {
        if let Some(state) = self.jobs.get_mut(&job) {
            state.phase = phase;
        }
    }

    fn second(&mut self) -> Vec<Action> {
        self.resting = self.resting.saturating_sub(1);
        let ready = self.ready();
        self.gathered = match ready.is_empty() {
            true => 0,
            false => self.gathered + 1,
        };
        match self.may_submit(&ready) {
            true => self.submit(ready),
            false => Vec::new(),
        }
    }

    /// True if an array is due: one at a time, when there is enough to do or nothing else works.
    fn may_submit(&self, ready: &[Unit]) -> bool {
        let is_possible = !ready.is_empty() && self.resting == 0 && !self.is_draining();
        if !is_possible || self.arrays.iter().any(ArrayState::is_asked) {
            return false;
        }
        let seconds: f64 = ready.iter().map(|unit| unit.seconds).sum();
        let is_much = seconds >= self.policy.cut.seconds;
        is_much || self.gathered > GATHER || self.live().next().is_none()
    }

    fn submit(&mut self, ready: Vec<Unit>) -> Vec<Action> {
        self.gathered = 0;
        let cut = Cut {
            array: self.window,
            ..self.policy.cut
        };
        // The next one follows when Slurm has accepted this one.
        let Some(array) = arrays(ready, cut).into_iter().next() else {
            return Vec::new();
        };
        let id = self.open(array.chunks.clone());
        vec![Action::Submit(id, array)]
    }

    /// Returns the jobs that wait for nothing but a worker, or for others of the same unit.
    fn ready(&self) -> Vec<Unit> {
        let mut waiting: BTreeMap<UnitKey, BTreeSet<Job>> = BTreeMap::new();
        for (&job, state) in &self.jobs {
            if state.phase == Phase::Waiting {
                waiting.entry(UnitKey::of(job)).or_default().insert(job);
            }
        }
        let mut units = Vec::new();
        for jobs in waiting.values() {
            let startable = self.startable(jobs);
            let states = startable.iter().filter_map(|job| self.jobs.get(job));
            let states: Vec<&JobState> = states.collect();
            let Some(turn) = states.iter().map(|state| state.spec.turn).min() else {
                continue;
            };
            units.push(Unit {
                turn,
                seconds: states.iter().map(|state| state.seconds).sum(),
                device: device_of(&states),
                jobs: startable,
            });
        }
        units
    }

    /// Returns those of the jobs of a unit whose needs are done or among them, in the order in which they start.
    fn startable(&self, unit: &BTreeSet<Job>) -> Vec<Job> {
        let mut startable: Vec<Job> = Vec::new();
        loop {
            let has_all = |before: &Job| startable.contains(before) || self.is_done(*before);
            let mut next = unit.iter().filter(|job| !startable.contains(job));
            match next.find(|job| self.needs_of(**job).all(has_all)) {
                Some(&job) => startable.push(job),
                None => return startable,
            }
        }
    }

    /// True if a job waits for no other one.
    fn could_start(&self, job: Job) -> bool {
        self.needs_of(job).all(|before| self.is_done(*before))
    }

    fn needs_of(&self, job: Job) -> impl Iterator<Item = &Job> {
        let state = self.jobs.get(&job);
        state.into_iter().flat_map(|state| &state.spec.waits_for)
    }

    fn is_done(&self, job: Job) -> bool {
        matches!(self.phase(job), None | Some(Phase::Reused | Phase::Done))
    }

    fn element(&self, id: ElementId) -> Option<&ElementState> {
        self.arrays.get(id.array.0)?.elements.get(id.chunk)
    }

    fn has_given_up(&self) -> bool {
        let most = self.policy.most_failures;
        most.is_some_and(|most| self.failures >= most)
    }

    fn is_draining(&self) -> bool {
        self.is_interrupted || self.has_given_up() || self.refused.is_some()
    }
}

impl ArrayState {
    /// True if it is not known whether Slurm has it.
    fn is_asked(&self) -> bool {
        matches!(self.standing, Standing::Asked | Standing::InDoubt { .. })
    }
}

impl ElementState {
    fn is_in_doubt(&self) -> bool {
        matches!(self.life, Life::Live { absences: 1.. })
    }
}

/// What the jobs of a unit have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum UnitKey {
    Run(schema::RunId),
    Other(Job),
}

impl UnitKey {
    fn of(job: Job) -> UnitKey {
        match job {
            Job::Train(run) | Job::Evaluate(run) => UnitKey::Run(run),
            Job::Prepare(_) | Job::Ensemble(_) => UnitKey::Other(job),
        }
    }
}

fn device_of(states: &[&JobState]) -> Device {
    let is_gpu = |state: &&JobState| state.spec.device == Device::Cuda;
    match states.iter().any(is_gpu) {
        true => Device::Cuda,
        false => Device::Cpu,
    }
}

/// Returns how an element ended that Slurm shows in this state, or does not show.
fn end_of(state: Option<&State>) -> End {
    match state {
        Some(State::Ended(cause)) => End::Cut(*cause),
        Some(State::Waiting | State::Running | State::Unknown(_)) | None => End::Lost,
    }
}

#[cfg(test)]
mod tests;
