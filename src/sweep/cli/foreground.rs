//! Tasks that a command has done at once, outside of any sweep.

use std::thread;

use schema::{Device, Event, Task};

use super::{Exit, progress::Bar};
use crate::run::trainer::{Answer, Foreground, Trainer, TrainerError};

/// Has a trainer do a task on the CPU and returns its reply.
pub(super) fn attempt<T: Task>(
    trainer: &Trainer,
    task: T,
    threads: u32,
    bar: Option<&Bar>,
) -> Result<T::Reply, TrainerError> {
    let foreground = Foreground {
        trainer,
        device: Device::Cpu,
        threads,
    };
    let reply = foreground.attempt(task, |event| {
        if let (Event::Progress { done, total, .. }, Some(bar)) = (event, bar) {
            bar.set(*done, *total);
        }
        Answer::Continue
    });
    if let Some(bar) = bar {
        bar.close();
    }
    reply?.ok_or(TrainerError::Stopped)
}

impl From<TrainerError> for Exit {
    fn from(error: TrainerError) -> Exit {
        Exit::mistake(error)
    }
}

/// Returns the number of CPU cores.
pub(super) fn all_cores() -> u32 {
    thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}
