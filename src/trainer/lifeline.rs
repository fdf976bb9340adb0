//! Ends the process when nobody listens any more, and hears the wish to stop.
//!
//! An orchestrator holds the other end of standard input. When it dies, however it dies, the system closes that
//! end, and this process kills its whole process group at once: what it computed up to the last checkpoint is
//! safe, and a GPU that nobody waits for is not. A line `stop` only raises the flag that a training looks at
//! between two steps.
//!
//! Only a pipe or a socket is such a line. A terminal, a file or `/dev/null` is what a person who runs the
//! trainer by hand may well have, and is not watched. Nor is a group killed that this process does not lead: it
//! may be the script of that person. Then the process ends alone.

use std::{
    io::{self, BufRead},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::{
    fs::FileType,
    process::{self, Signal},
};

/// The wish that the work stop soon. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Nobody wishes to stop yet.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Wishes it.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody wished it.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Watches standard input, if it is a line to an orchestrator, in a thread of its own.
pub(crate) fn watch(stop: Stop) {
    if !leads_to_an_orchestrator() {
        return;
    }
    // There even if the thread below never gets to run; but it is sent when the *thread* that started this process
    // ends, so an orchestrator starts trainers from one that lives as long as itself. Not available everywhere.
    let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    thread::spawn(move || {
        listen(io::stdin().lock(), &stop);
        end();
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

/// Returns at the end of the input.
fn listen(input: impl BufRead, stop: &Stop) {
    for line in input.lines().map_while(Result::ok) {
        if line.trim() == "stop" {
            stop.request();
        }
    }
}

fn end() {
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
    fn only_the_word_stop_stops() {
        let stop = Stop::new();
        listen("hello\n\nstopping\n".as_bytes(), &stop);
        assert!(!stop.requested());
        listen("stop\n".as_bytes(), &stop.clone());
        assert!(stop.requested());
    }
}
