//! A sweep on a machine that is not there: the scheduler of `sweep run` with a clock of its own.
//!
//! A [`World`] says what each attempt takes and how it ends. Attempts at a GPU run at full speed until their
//! shares of its time add up to more than the whole; then all of them are slower by that factor. An attempt
//! whose GPU has no memory left for it fails, as it would on a real one.

mod bound;

use std::collections::{BTreeMap, VecDeque};

use rustix::process::Signal;
use schema::{Device, Evaluated, Event, Failure, Finished, Prepared, Scores, Trained, TrainingEnd};
use serde::Serialize;

pub use self::bound::{Bound, Limit};
use super::{
    scheduler::{Action, Input, ProcessEnd, Scheduler, TICKS_PER_SECOND, Tally},
    slots::{Layout, PlaceId, SlotId},
};
use crate::ledger::Job;

/// Seconds after which an attempt without memory fails.
const UNTIL_OUT_OF_MEMORY: f64 = 1.0;
/// The number of steps that an attempt reports in all.
const STEPS: f64 = 10_000.0;
/// Less than this is left of an attempt that is over, in seconds.
const NOTHING: f64 = 1e-6;

/// What an attempt takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Seconds, if it is alone.
    pub seconds: f64,
    /// The share of its GPU's time, if it is alone.
    pub share: f64,
    /// Bytes of its GPU's memory.
    pub bytes: u64,
}

/// How an attempt ends.
#[derive(Clone, Debug)]
pub enum Ending {
    /// With a result.
    Finished,
    /// With a failure that it reports.
    Failed(Failure),
    /// Without a word.
    Died(ProcessEnd),
}

/// Something that happens to the machine.
#[derive(Clone, Copy, Debug)]
pub struct Incident {
    /// Seconds after the beginning.
    pub at: f64,
    /// The place.
    pub place: PlaceId,
    /// What happens there.
    pub what: Change,
}

/// What happens to a place.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// It breaks: every attempt fails from now on.
    Breaks,
    /// It breaks so that no attempt can tell: every trainer crashes from now on.
    Crashes,
    /// The processes of others take this number of bytes of its memory.
    Others(u64),
}

/// What attempts take, and how they end.
pub trait World {
    /// Returns what an attempt at a job takes.
    fn load(&self, job: Job) -> Load;

    /// Returns how attempt `number` at a job ends, counted from 1, and after which part of its time.
    fn ending(&mut self, _job: Job, _number: u32) -> (Ending, f64) {
        (Ending::Finished, 1.0)
    }
}

/// One attempt in the schedule.
#[derive(Clone, Debug, Serialize)]
pub struct Bar {
    /// The job.
    pub job: Job,
    /// The position of the slot.
    #[serde(skip)]
    pub slot: SlotId,
    /// Seconds from the beginning of the sweep to that of the attempt.
    pub begin: f64,
    /// Seconds from the beginning of the sweep to the end of the attempt.
    pub end: f64,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    /// Seconds to the end of the last attempt.
    pub makespan: f64,
    /// All attempts, by their ends.
    pub bars: Vec<Bar>,
    /// The seconds of GPUs at work, or of slots on the CPU.
    pub busy: f64,
    /// What became of the jobs.
    pub tally: Tally,
}

/// A simulated sweep.
pub struct Simulation<'s, W> {
    scheduler: Scheduler,
    layout: &'s Layout,
    world: W,
    incidents: VecDeque<Incident>,
    /// Seconds between two reports of an attempt; nothing: it reports at its end.
    pulse: Option<f64>,
    clock: f64,
    /// The part of a tick that has passed.
    part: f64,
    attempts: BTreeMap<Job, Attempt>,
    numbers: BTreeMap<Job, u32>,
    places: Vec<Condition>,
    schedule: Schedule,
}

/// An attempt that runs.
struct Attempt {
    slot: SlotId,
    place: PlaceId,
    begin: f64,
    load: Load,
    /// Seconds of work that are left.
    left: f64,
    ending: Ending,
    /// True if its process has ended, although the scheduler has not decided what that means.
    is_gone: bool,
}

#[derive(Clone, Default)]
struct Condition {
    /// How every attempt ends, once the place is broken.
    broken: Option<Ending>,
    others: u64,
}

impl<'s, W: World> Simulation<'s, W> {
    /// Creates a simulation of a scheduler on these slots.
    pub fn new(scheduler: Scheduler, layout: &'s Layout, world: W) -> Simulation<'s, W> {
        Simulation {
            scheduler,
            layout,
            world,
            incidents: VecDeque::new(),
            pulse: None,
            clock: 0.0,
            part: 0.0,
            attempts: BTreeMap::new(),
            numbers: BTreeMap::new(),
            places: vec![Condition::default(); layout.places.len()],
            schedule: Schedule::default(),
        }
    }

    /// Lets attempts report their steps and their memory so often, in seconds.
    #[must_use]
    pub fn with_reports(mut self, every: f64) -> Self {
        self.pulse = Some(every);
        self
    }

    /// Lets something happen; in the order of time.
    #[must_use]
    pub fn with_incidents(mut self, incidents: impl IntoIterator<Item = Incident>) -> Self {
        self.incidents.extend(incidents);
        self
    }

    /// Runs to the end. `watch` sees every action, with what runs before it.
    pub fn run(mut self, mut watch: impl FnMut(&Self, &Action)) -> Schedule {
        let begun = self.scheduler.on(Input::Begin);
        self.follow(begun, &mut watch);
        while !self.scheduler.is_over() {
            let Some(wait) = self.until_next() else {
                break;
            };
            self.pass(wait);
            for input in self.inputs() {
                let actions = self.scheduler.on(input);
                self.follow(actions, &mut watch);
            }
        }
        self.schedule.makespan = self.schedule.bars.last().map_or(0.0, |bar| bar.end);
        self.schedule.tally = self.scheduler.tally();
        self.schedule
    }

    /// Returns the slot and the load of each attempt that runs.
    pub fn running(&self) -> impl Iterator<Item = (Job, PlaceId, Load)> {
        let attempts = self.attempts.iter();
        attempts.map(|(&job, attempt)| (job, attempt.place, attempt.load))
    }

    /// Returns the scheduler.
    pub fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    fn follow(&mut self, actions: Vec<Action>, watch: &mut impl FnMut(&Self, &Action)) {
        for action in actions {
            watch(self, &action);
            match action {
                Action::Start { job, slot } => self.start(job, slot),
                Action::Ended { job, .. } => self.end(job),
                Action::Publish { .. }
                | Action::LeaveOut { .. }
                | Action::LeaveOutSlot { .. }
                | Action::AwaitOthers(..)
                | Action::AwaitRoom { .. }
                | Action::UseAgain(_)
                | Action::RunFewer { .. }
                | Action::Stop(_)
                | Action::Kill(_) => {}
            }
        }
    }

    fn start(&mut self, job: Job, slot: SlotId) {
        let number = self.numbers.entry(job).or_insert(0);
        *number += 1;
        let load = self.world.load(job);
        let (mut ending, part) = self.world.ending(job, *number);
        let mut left = load.seconds * part;
        let place = self.layout.slots[slot.0].place;
        if let Some(broken) = &self.places[place.0].broken {
            (ending, left) = (broken.clone(), 0.0);
        } else if self.lacks_memory(place, load) {
            let failed = Ending::Failed(Failure::Memory);
            (ending, left) = (failed, left.min(UNTIL_OUT_OF_MEMORY));
        }
        let attempt = Attempt {
            slot,
            place,
            begin: self.clock,
            load,
            left,
            ending,
            is_gone: false,
        };
        self.attempts.insert(job, attempt);
    }

    fn lacks_memory(&self, place: PlaceId, load: Load) -> bool {
        let here = self.attempts.values().filter(|other| other.place == place);
        let taken: u64 = here.map(|other| other.load.bytes).sum();
        let memory = self.layout.places[place.0].memory;
        memory.is_some_and(|memory| taken + self.places[place.0].others + load.bytes > memory)
    }

    fn end(&mut self, job: Job) {
        if let Some(Attempt { slot, begin, .. }) = self.attempts.remove(&job) {
            let end = self.clock;
            self.schedule.bars.push(Bar {
                job,
                slot,
                begin,
                end,
            });
        }
    }

    /// Returns the seconds until something happens; nothing if nothing will.
    fn until_next(&self) -> Option<f64> {
        let alive = self.attempts.values().filter(|attempt| !attempt.is_gone);
        let ends = alive.map(|attempt| attempt.left / self.speed(attempt.place));
        let tick = self.scheduler.next_tick().map(seconds);
        let incident = self
            .incidents
            .front()
            .map(|incident| incident.at - self.clock);
        let pulse = self.pulse.filter(|_| !self.attempts.is_empty());
        let next = ends.chain(tick).chain(incident).chain(pulse);
        next.min_by(f64::total_cmp).map(|wait| wait.max(0.0))
    }

    /// Returns the seconds of work that an attempt at a place does in a second.
    fn speed(&self, place: PlaceId) -> f64 {
        1.0 / self.shares(place).max(1.0)
    }

    /// Returns the sum of the shares of a GPU's time; 0 on the CPU, where each slot has its own cores.
    fn shares(&self, place: PlaceId) -> f64 {
        match self.layout.places[place.0].device {
            Device::Cpu => 0.0,
            Device::Cuda => {
                let here = self.attempts.values().filter(|other| other.place == place);
                here.map(|other| other.load.share).sum()
            }
        }
    }

    /// Lets time pass.
    fn pass(&mut self, wait: f64) {
        let speeds: Vec<f64> = (0..self.places.len())
            .map(|place| self.speed(PlaceId(place)))
            .collect();
        self.schedule.busy += wait * self.busy();
        for attempt in self.attempts.values_mut() {
            attempt.left -= wait * speeds[attempt.place.0];
        }
        self.clock += wait;
        self.part += wait * f64::from(TICKS_PER_SECOND);
    }

    /// Returns how many GPUs are at work, or slots if runs are on the CPU.
    fn busy(&self) -> f64 {
        let device = self.layout.device();
        let places = (0..self.places.len()).map(PlaceId);
        let here = places.filter(|place| self.layout.places[place.0].device == device);
        here.map(|place| match device {
            Device::Cuda => self.shares(place).min(1.0),
            Device::Cpu => {
                let running = self.attempts.values();
                running.filter(|attempt| attempt.place == place).count() as f64
            }
        })
        .sum()
    }

    /// Returns what the scheduler hears of a moment.
    fn inputs(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(incident) = self.incidents.front().copied()
            && incident.at <= self.clock + NOTHING
        {
            self.incidents.pop_front();
            inputs.extend(self.befall(incident));
        }
        // Rounded up by a trifle: the scheduler is due at the very tick.
        let ticks = (self.part + NOTHING).floor();
        self.part -= ticks;
        inputs.push(Input::Ticks(ticks as u32));
        for (&job, attempt) in &mut self.attempts {
            if attempt.is_gone {
                continue;
            }
            if self.pulse.is_some() {
                inputs.extend(attempt.report(job));
            }
            if attempt.left <= NOTHING {
                attempt.is_gone = true;
                inputs.extend(last_words(job, &attempt.ending));
            }
        }
        inputs
    }

    /// Ends all attempts at a place like this from now on.
    fn break_place(&mut self, place: PlaceId, ending: Ending) {
        for attempt in self
            .attempts
            .values_mut()
            .filter(|attempt| attempt.place == place)
        {
            attempt.ending = ending.clone();
            attempt.left = 0.0;
        }
        self.places[place.0].broken = Some(ending);
    }

    fn befall(&mut self, incident: Incident) -> Option<Input> {
        let condition = &mut self.places[incident.place.0];
        match incident.what {
            Change::Breaks => {
                self.break_place(incident.place, Ending::Failed(Failure::Device));
                None
            }
            Change::Crashes => {
                let crash = ProcessEnd {
                    signal: Some(Signal::SEGV.as_raw()),
                    ..ProcessEnd::default()
                };
                self.break_place(incident.place, Ending::Died(crash));
                None
            }
            Change::Others(bytes) => {
                condition.others = bytes;
                Some(Input::Others(incident.place, bytes))
            }
        }
    }
}

impl Attempt {
    /// Returns what an attempt reports while it runs.
    fn report(&self, job: Job) -> [Input; 2] {
        let done = 1.0 - self.left.max(0.0) / self.load.seconds.max(NOTHING);
        let progress = Event::Progress {
            done: (done * STEPS) as u64,
            total: STEPS as u64,
            loss: None,
        };
        [
            Input::Event(job, progress),
            Input::Memory(job, self.load.bytes),
        ]
    }
}

fn last_words(job: Job, ending: &Ending) -> Vec<Input> {
    let exited = |end| Input::Exited(job, end);
    match ending {
        Ending::Finished => vec![
            Input::Event(job, Event::Finished(finished(job))),
            exited(ProcessEnd::default()),
        ],
        Ending::Failed(class) => {
            let (class, message) = (*class, String::new());
            vec![
                Input::Event(job, Event::Failed { class, message }),
                exited(ProcessEnd::default()),
            ]
        }
        Ending::Died(end) => vec![exited(end.clone())],
    }
}

/// Returns a result of a job.
pub(super) fn finished(job: Job) -> Finished {
    match job {
        Job::Prepare(_) => Finished::Prepared(Prepared {
            training_classes: 0,
            training_images: 0,
            test_classes: 0,
            test_images: 0,
        }),
        Job::Train(_) => Finished::Trained(Trained {
            end: TrainingEnd::Completed,
            steps: 0,
            kept_step: 0,
            validation: None,
            empty_steps: 0,
            objective: None,
        }),
        Job::Evaluate(_) | Job::Ensemble(_) => Finished::Evaluated(Evaluated {
            scores: Scores::new(),
            ..Evaluated::default()
        }),
    }
}

fn seconds(ticks: u32) -> f64 {
    f64::from(ticks) / f64::from(TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests;
