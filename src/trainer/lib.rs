//! One attempt at one job: a recipe in, events out.
//!
//! [`process`] is the executable around [`run`]: arguments, standard streams, threads, exit codes. [`run`] does
//! what an [`Attempt`] says and tells of it in [`Event`]s. `assemble` is the one place where the words of a recipe
//! become losses, miners, samplers and networks; `split` and `searching` choose the images; `train`, `evaluate` and `prepare` do the
//! work; `schedule`, `optimizers` and `guard` are parts of training; `checkpoint` and `files` make it survive; `lifeline` ends it when nobody listens any more.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod assemble;
mod checkpoint;
mod device;
mod evaluate;
mod failed;
mod feed;
mod files;
mod guard;
mod inspect;
mod lifeline;
mod measure;
mod neighbours;
mod optimizers;
mod prepare;
pub mod process;
mod read;
mod remember;
mod schedule;
mod score;
mod searching;
mod sheet;
mod split;
mod train;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use schema::{Attempt, Event, Finished, WeightsWork, Work};

pub use failed::Failed;
pub use lifeline::Stop;

/// Hears what happens. It may be called from any thread.
pub type Listener<'a> = &'a mut (dyn FnMut(Event) + Send);

/// How an attempt ended, if it did not fail.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The work is done.
    Finished(Finished),
    /// It was asked to stop, and did. A training can be continued from its checkpoint.
    Stopped,
}

/// Does what the attempt says, unless `stop` is requested, and tells `say` of it.
///
/// The first event is [`Event::Started`]; the last one, [`Event::Finished`] or [`Event::Failed`], is left to
/// the caller, who gets it as the result. A panic within is [`schema::Failure::Internal`].
///
/// # Errors
/// If the work cannot be done, with the class of the failure.
pub fn run(attempt: &Attempt, stop: &Stop, say: Listener) -> Result<End, Failed> {
    catch_unwind(AssertUnwindSafe(|| work(attempt, stop, say)))
        .unwrap_or_else(|panic| Err(Failed::from_panic(panic.as_ref())))
}

fn work(attempt: &Attempt, stop: &Stop, say: Listener) -> Result<End, Failed> {
    let device = device::open(attempt.device)?;
    match &attempt.work {
        Work::Import(work) => prepare::import(work, say).map(End::Finished),
        Work::Inspect(work) => inspect::inspect(work, say).map(End::Finished),
        Work::Sheet(work) => sheet::sheet(work, say).map(End::Finished),
        Work::Weights(work) => fitted(work).map(End::Finished),
        Work::Prepare(work) => prepare::prepare(work, say).map(End::Finished),
        Work::Train(work) => train::train(work, attempt.threads, device, stop, say),
        Work::Probe(work) => train::probe(work, attempt.threads, device, say),
        Work::Evaluate(work) => evaluate::evaluate(work, device, stop, say),
        Work::Ensemble(work) => evaluate::ensemble(work, device, stop, say),
        Work::Measure(work) => measure::measure(work, say).map(End::Finished),
        Work::Neighbours(work) => neighbours::neighbours(work, device, stop, say),
    }
}

fn fitted(work: &WeightsWork) -> Result<Finished, Failed> {
    let fit = assemble::weights_fit(&work.file, &work.backbone)?;
    Ok(Finished::Fitted {
        used: fit.used as u64,
        ignored: fit.ignored,
    })
}

/// Lets something happen a few times a second at most.
struct Throttle {
    last: Option<Instant>,
}

impl Throttle {
    const PAUSE: Duration = Duration::from_millis(250);

    fn new() -> Throttle {
        Throttle { last: None }
    }

    /// Whether it is time again.
    fn ready(&mut self) -> bool {
        let ready = self
            .last
            .is_none_or(|last| last.elapsed() >= Throttle::PAUSE);
        if ready {
            self.last = Some(Instant::now());
        }
        ready
    }
}

#[cfg(test)]
mod tests;
