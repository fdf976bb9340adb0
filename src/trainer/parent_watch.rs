//! Ends the process when the orchestrator dies, and receives its requests.
//!
//! The orchestrator holds the other end of standard input, the lifeline. When it dies for any reason,
//! the system closes that end, and this process kills its whole process group at once: its work up to
//! the last checkpoint is kept, and the GPU becomes free. A line `stop` sets a flag that a training
//! checks between two steps. Work without checkpoints has nothing to save: the process ends soon after
//! the request, wherever the work is. A line `attempt PATH` asks a process that serves for its next attempt.
//!
//! Only a pipe or a socket is watched. Someone who runs the trainer by hand may have a terminal, a
//! file or `/dev/null` as standard input. A process group is killed only by its leader, because it
//! may otherwise be the user's script; then the process ends alone.

use std::{
    ffi::OsStr,
    io::{self, BufRead},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
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

/// Ends the process with this code soon after a stop is requested, until it is dropped. Files are written under other
/// names first, so none is left half written.
pub(crate) struct EndAfter(Arc<AtomicBool>);

impl EndAfter {
    pub(crate) fn new(stop: Stop, code: i32) -> EndAfter {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        thread::spawn(move || {
            while !stop.requested() && !is_over.load(Ordering::Relaxed) {
                thread::sleep(PAUSE);
            }
            if !is_over.load(Ordering::Relaxed) {
                thread::sleep(GRACE);
            }
            if !is_over.load(Ordering::Relaxed) {
                // At once: libtorch may be computing in other threads.
                signals::exit_at_once(code);
            }
        });
        EndAfter(over)
    }
}

impl Drop for EndAfter {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A line from the orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Stop.
    Stop,
    /// Make the attempt that this file describes.
    Attempt(PathBuf),
}

/// Watches standard input in a thread, if it leads to an orchestrator, and calls `heed` with each request. Returns false
/// if it does not.
pub(crate) fn watch(heed: impl FnMut(Request) + Send + 'static) -> bool {
    if !leads_to_an_orchestrator() {
        return false;
    }
    // The signal works even if the thread below never runs. It is sent when the *thread* that started
    // this process ends, so an orchestrator must start trainers from a thread that lives as long as
    // itself. Not all systems have it.
    let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    thread::spawn(move || {
        read_requests(io::stdin().lock(), heed);
        kill_group();
    });
    true
}

fn leads_to_an_orchestrator() -> bool {
    rustix::fs::fstat(rustix::stdio::stdin()).is_ok_and(|stat| {
        matches!(
            FileType::from_raw_mode(stat.st_mode),
            FileType::Fifo | FileType::Socket
        )
    })
}

/// Calls `heed` with the request of each line that is one; returns at the end of the input.
fn read_requests(input: impl BufRead, heed: impl FnMut(Request)) {
    let lines = input.split(b'\n').map_while(Result::ok);
    lines.filter_map(|line| request(&line)).for_each(heed);
}

fn request(line: &[u8]) -> Option<Request> {
    if line.trim_ascii() == b"stop" {
        return Some(Request::Stop);
    }
    let path = line.strip_prefix(b"attempt ")?;
    Some(Request::Attempt(OsStr::from_bytes(path).into()))
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
    fn only_lines_that_are_requests_are_heeded() {
        let mut heeded = Vec::new();
        let lines = "hello\n\nstopping\n stop \nattempt /a b/attempt.json\nattempts\n";
        read_requests(lines.as_bytes(), |request| heeded.push(request));
        let attempt = Request::Attempt("/a b/attempt.json".into());
        assert_eq!(heeded, [Request::Stop, attempt]);
    }
}
