//! Ends the process when the orchestrator dies, and receives stop requests.
//!
//! The orchestrator holds the other end of standard input, the lifeline. When it dies for any reason,
//! the system closes that end, and this process kills its whole process group at once: its work up to
//! the last checkpoint is kept, and the GPU becomes free. A line `stop` sets a flag that a training
//! checks between two steps. Work without checkpoints has nothing to save: the process ends soon after
//! the request, wherever the work is.
//!
//! Only a pipe or a socket is watched. Someone who runs the trainer by hand may have a terminal, a
//! file or `/dev/null` as standard input. A process group is killed only by its leader, because it
//! may otherwise be the user's script; then the process ends alone.

use std::{
    io::{self, BufRead},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use dml::eval::StopFlag;
use rustix::{
    fs::FileType,
    process::{self, Signal},
};

/// A request to stop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Creates the flag, not requested.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Requests to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns the flag that a request sets.
    pub(crate) fn flag(&self) -> StopFlag<'_> {
        StopFlag(Some(&self.0))
    }

    /// True once it was requested.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long work may go on after a request to stop, if it has nothing to save.
const GRACE: Duration = Duration::from_millis(500);
/// Between two looks at the flag.
const PAUSE: Duration = Duration::from_millis(50);

/// Ends the process with this code soon after a stop is requested. Files are written under other names
/// first, so none is left half written.
pub(crate) fn end_after(stop: Stop, code: i32) {
    thread::spawn(move || {
        while !stop.requested() {
            thread::sleep(PAUSE);
        }
        thread::sleep(GRACE);
        // At once: libtorch may be computing in other threads.
        signals::exit_at_once(code);
    });
}

/// Watches standard input in a thread, if it leads to an orchestrator.
pub(crate) fn watch(stop: Stop) {
    if !leads_to_an_orchestrator() {
        return;
    }
    // The signal works even if the thread below never runs. It is sent when the *thread* that started
    // this process ends, so an orchestrator must start trainers from a thread that lives as long as
    // itself. Not all systems have it.
    let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    thread::spawn(move || {
        read_requests(io::stdin().lock(), &stop);
        kill_group();
    });
}

fn leads_to_an_orchestrator() -> bool {
    rustix::fs::fstat(rustix::stdio::stdin()).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Fifo | FileType::Socket
        )
    })
}

/// Sets the flag at each line `stop`; returns at the end of the input.
fn read_requests(input: impl BufRead, stop: &Stop) {
    for line in input.lines().map_while(Result::ok) {
        if line.trim() == "stop" {
            stop.request();
        }
    }
}

fn kill_group() {
    let own = process::getpid();
    let _ = if process::getpgrp() == own {
        process::kill_current_process_group(Signal::KILL)
    } else {
        process::kill_process(own, Signal::KILL)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_stop_requests_to_stop() {
        let stop = Stop::new();
        read_requests("hello\n\nstopping\n".as_bytes(), &stop);
        assert!(!stop.requested());
        read_requests("stop\n".as_bytes(), &stop.clone());
        assert!(stop.requested());
    }
}
