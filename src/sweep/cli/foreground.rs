//! Work that a command has a trainer do at once, beside any sweep.

use std::thread;

use schema::{Attempt, Device, Event, Finished, PROTOCOL, Work};

use super::{Exit, progress::Bar};
use crate::run::trainer::{Trainer, converse};

/// Has a trainer do the work on the CPU, and returns what came of it.
pub(super) fn attempt(
    trainer: &Trainer,
    work: Work,
    threads: u32,
    bar: Option<&Bar>,
) -> Result<Finished, Exit> {
    let attempt = Attempt {
        protocol: PROTOCOL,
        number: 1,
        device: Device::Cpu,
        threads,
        work,
    };
    let last = converse(trainer, &attempt, |event| {
        if let (Event::Progress { done, total, .. }, Some(bar)) = (event, bar) {
            bar.set(*done, *total);
        }
    });
    if let Some(bar) = bar {
        bar.close();
    }
    match last.map_err(Exit::mistake)? {
        Some(Event::Finished(finished)) => Ok(finished),
        Some(Event::Failed { message, .. }) => Err(Exit::Mistake(message)),
        _ => Err(no_last_word()),
    }
}

/// As many threads as the machine has cores.
pub(super) fn all_cores() -> u32 {
    thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

/// The trainer ended otherwise than such work ends.
pub(super) fn no_last_word() -> Exit {
    Exit::Mistake("the trainer left without a last word".to_owned())
}
