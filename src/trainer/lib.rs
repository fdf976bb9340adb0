//! Attempts at jobs: a recipe in, events out.
//!
//! [`process`] is the executable around [`run`]: arguments, standard streams, threads, exit codes.
//! [`run`] does the work of an [`Attempt`] and emits [`Event`]s. `assemble` builds losses, miners,
//! samplers and networks from a recipe; `split` and `retrieval_set` choose images. `train`,
//! `evaluate` and `prepare` do the main kinds of work; `schedule`, `optimizers`, `outcomes` and
//! `monitor` are parts of training, `compare` finds trainings of the same function. `checkpoint` and `files` write to the run's folder. `parent_watch` ends the
//! process when the orchestrator dies, and `heartbeat` tells the orchestrator that the process lives.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod assemble;
mod batches;
mod checkpoint;
mod compare;
mod device;
mod embed;
mod evaluate;
mod export;
mod failed;
mod files;
mod heads;
mod heartbeat;
mod host;
mod inspect;
mod measure;
mod memory;
mod monitor;
mod neighbours;
mod optimizers;
mod outcomes;
mod parent_watch;
mod photos;
mod prepare;
pub mod process;
mod queries;
mod read;
mod retrieval_set;
mod schedule;
mod score;
mod scripts;
mod sheet;
mod split;
mod suspicion;
mod train;
mod verify;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use schema::{
    Attempt, CheckScriptWork, CompareWork, EmbedWork, EnsembleWork, EvaluateWork, Event,
    ExportWork, Finished, ImportWork, InspectWork, MeasureWork, NeighboursWork, PrepareWork,
    ProbeWork, SheetWork, Task, TrainWork, VerifyWork, WeightsWork, Work,
};

pub use failed::Failed;
pub use parent_watch::Stop;

/// Receives the events of an attempt, from any thread.
pub type Emit<'a> = &'a mut (dyn FnMut(Event) + Send);

/// The end of an attempt that did not fail, with the reply of its task.
#[derive(Clone, Debug, PartialEq)]
pub enum End<Reply = Finished> {
    /// The work is done.
    Finished(Reply),
    /// The work was stopped on request. A training resumes from its checkpoint.
    Stopped,
}

/// Does the work of an attempt, unless `stop` is requested, and emits its events.
///
/// A process may do one after another on the same device: nothing of an attempt depends on earlier ones.
///
/// The first event is [`Event::Started`]. Before the last one, [`Event::Host`] describes the machine. The last one, [`Event::Finished`] or [`Event::Failed`], is
/// the returned value, for the caller to emit. A panic is [`schema::Failure::Internal`].
///
/// # Errors
/// If the work cannot be done, with the class of the failure.
pub fn run(attempt: &Attempt, stop: &Stop, emit: Emit) -> Result<End, Failed> {
    let end = catch_unwind(AssertUnwindSafe(|| {
        let device = device::open(attempt.device)?;
        device::settle(device, &attempt.work);
        let end = work(attempt, device, stop, emit);
        emit(Event::Host(host::describe(device)));
        end
    }));
    end.unwrap_or_else(|panic| Err(Failed::from_panic(panic.as_ref())))
}

fn work(attempt: &Attempt, device: tch::Device, stop: &Stop, emit: Emit) -> Result<End, Failed> {
    match &attempt.work {
        Work::Import(work) => finished::<ImportWork>(prepare::import(work, emit)),
        Work::Inspect(work) => finished::<InspectWork>(inspect::inspect(work, emit)),
        Work::Sheet(work) => finished::<SheetWork>(sheet::sheet(work, emit)),
        Work::Weights(work) => finished::<WeightsWork>(assemble::fit_weights(work)),
        Work::Prepare(work) => finished::<PrepareWork>(prepare::prepare(work, emit)),
        Work::Train(work) => {
            let threads = attempt.threads;
            ended::<TrainWork>(train::train(work, threads, device, stop, emit))
        }
        Work::Probe(work) => {
            let threads = attempt.threads;
            finished::<ProbeWork>(train::probe(work, threads, device, emit))
        }
        Work::Evaluate(work) => ended::<EvaluateWork>(evaluate::evaluate(work, device, stop, emit)),
        Work::Ensemble(work) => ended::<EnsembleWork>(evaluate::ensemble(work, device, stop, emit)),
        Work::Measure(work) => ended::<MeasureWork>(measure::measure(work, stop, emit)),
        Work::Verify(work) => ended::<VerifyWork>(verify::verify(work, device, stop, emit)),
        Work::Export(work) => finished::<ExportWork>(export::export(work, emit)),
        Work::CheckScript(work) => finished::<CheckScriptWork>(scripts::check(work, emit)),
        Work::Compare(work) => finished::<CompareWork>(compare::compare(work, emit)),
        Work::Embed(work) => ended::<EmbedWork>(embed::embed(work, device, stop, emit)),
        Work::Neighbours(work) => {
            ended::<NeighboursWork>(neighbours::neighbours(work, device, stop, emit))
        }
    }
}

/// Converts the reply of a task that always runs to its end.
fn finished<T: Task>(reply: Result<T::Reply, Failed>) -> Result<End, Failed> {
    Ok(End::Finished(reply?.into()))
}

/// Converts the end of a task that can be stopped.
fn ended<T: Task>(end: Result<End<T::Reply>, Failed>) -> Result<End, Failed> {
    match end? {
        End::Finished(reply) => Ok(End::Finished(reply.into())),
        End::Stopped => Ok(End::Stopped),
    }
}

/// Limits how often something happens: a few times a second at most.
struct Throttle {
    last: Option<Instant>,
}

impl Throttle {
    const PAUSE: Duration = Duration::from_millis(250);

    fn new() -> Throttle {
        Throttle { last: None }
    }

    /// True if enough time has passed since the last time this was true.
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
