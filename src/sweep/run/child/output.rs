//! What a trainer writes: events, its log, and at last its end.
//!
//! One thread waits for all of them, so that the order is known: what a process logs before it says that an attempt is over
//! belongs to that attempt, and what it wrote before its end comes before its end. A process that it has left behind and
//! that keeps its output open cannot hold the sweep up.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::PathBuf,
    process::{self, ChildStderr, ChildStdout},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, PidfdFlags, Signal, pidfd_open},
};
use schema::Event;

use super::{
    super::{
        lines::{LineBuffer, LogCopy, last_line},
        memory,
        scheduler::ProcessEnd,
    },
    Notice, Reports,
};
use crate::ledger::AttemptFolder;

/// The longest line of a trainer that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;
/// The most bytes of events that are kept in the attempt's folder.
const MOST_EVENTS: usize = 256 << 20;
/// The most bytes of the beginning of a log that are kept there.
const MOST_LOG: u64 = 32 << 20;

/// The most bytes that a pipe of a process holds.
const PIPE: usize = 64 << 10;
/// Between two looks at a process whose end the system does not tell.
const PAUSE: Duration = Duration::from_millis(50);

/// An attempt that a process makes: where its notices go, and the files of what the process writes.
#[derive(Debug)]
pub(super) struct Assignment {
    reports: Reports,
    events: Option<File>,
    /// The number of bytes of events that may still be copied.
    room: usize,
    log: LogCopy<File>,
    log_path: PathBuf,
    /// How many processes the system had killed before.
    killed_before: u64,
}

impl Assignment {
    /// Creates the files of an attempt.
    ///
    /// # Errors
    /// That of the log cannot be created.
    pub(super) fn new(folder: &AttemptFolder, reports: Reports) -> io::Result<Assignment> {
        let log_path = folder.log();
        Ok(Assignment {
            reports,
            events: File::create(folder.events()).ok(),
            room: MOST_EVENTS,
            log: LogCopy::new(File::create(&log_path)?, MOST_LOG),
            log_path,
            killed_before: memory::killed_by_the_system(),
        })
    }

    /// Copies a line into the attempt's folder.
    fn keep(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        if let Some(file) = &mut self.events
            && self.room >= line.len()
        {
            // The copy is for people; the run continues without it if the disk is full.
            let _ = file.write_all(&line);
            self.room -= line.len();
        }
    }

    /// Reports that the process is ready for another attempt. Returns false if nobody listens.
    fn ready(self) -> bool {
        self.log.close();
        self.reports.send(Notice::Ready)
    }

    /// Reports the end of the process.
    fn exited(self, status: Option<process::ExitStatus>) {
        self.log.close();
        let end = status.map_or_else(ProcessEnd::default, |status| ProcessEnd {
            code: status.code(),
            signal: status.signal(),
            last_line: last_line(&self.log_path),
            out_of_memory: status.signal() == Some(Signal::KILL.as_raw())
                && memory::killed_by_the_system() > self.killed_before,
            ..ProcessEnd::default()
        });
        self.reports.send(Notice::Exited(end));
    }
}

/// Where a process finds its attempt.
#[derive(Clone, Debug)]
pub(super) struct Desk(Arc<Mutex<Option<Assignment>>>);

impl Desk {
    pub(super) fn with(assignment: Option<Assignment>) -> Desk {
        Desk(Arc::new(Mutex::new(assignment)))
    }

    pub(super) fn put(&self, assignment: Assignment) {
        *self.open() = Some(assignment);
    }

    fn open(&self) -> MutexGuard<'_, Option<Assignment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives in a thread what a process writes, until its end.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn receive(mut process: process::Child, desk: Desk) -> io::Result<()> {
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    let output = Output {
        events: process.stdout.take().and_then(unblocked),
        errors: process.stderr.take().and_then(unblocked),
        end: id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()),
        process,
        lines: LineBuffer::new(LONGEST_LINE),
        desk,
        buffer: vec![0; PIPE],
    };
    thread::Builder::new()
        .spawn(move || output.receive())
        .map(drop)
}

/// Makes reading return at once if there is nothing to read.
fn unblocked<T: AsFd>(pipe: T) -> Option<T> {
    let flags = fcntl_getfl(&pipe).ok()?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).ok()?;
    Some(pipe)
}

/// The output of a process, as far as it is open.
struct Output {
    process: process::Child,
    events: Option<ChildStdout>,
    errors: Option<ChildStderr>,
    /// Readable once the process has ended. Not all systems have it.
    end: Option<OwnedFd>,
    lines: LineBuffer,
    desk: Desk,
    buffer: Vec<u8>,
}

/// What there is to read.
#[derive(Default)]
struct Due {
    events: bool,
    errors: bool,
    end: bool,
}

impl Output {
    fn receive(mut self) {
        loop {
            let due = self.wait();
            if due.errors {
                self.read_errors();
            }
            if due.events && !self.read_events().is_heard {
                break;
            }
            if due.end || (self.events.is_none() && self.errors.is_none()) {
                break;
            }
        }
        self.read_the_rest();
        let status = self.process.wait().ok();
        let assignment = self.desk.open().take();
        if let Some(assignment) = assignment {
            assignment.exited(status);
        }
    }

    /// Waits until there is something to read, or the process has ended.
    fn wait(&mut self) -> Due {
        let mut pipes = Vec::new();
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let (events, errors, end) = (&self.events, &self.errors, &self.end);
        pipes.extend(events.as_ref().map(|pipe| PollFd::new(pipe, readable)));
        pipes.extend(errors.as_ref().map(|pipe| PollFd::new(pipe, readable)));
        pipes.extend(end.as_ref().map(|pipe| PollFd::new(pipe, readable)));
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: PAUSE.as_nanos() as _,
        };
        let longest = end.is_none().then_some(&pause);
        if poll(&mut pipes, longest).is_err() {
            // A signal.
            return Due::default();
        }
        let mut due = pipes.iter().map(|pipe| !pipe.revents().is_empty());
        let mut next = |is_open: bool| is_open && due.next().unwrap_or(false);
        let due = Due {
            events: next(events.is_some()),
            errors: next(errors.is_some()),
            end: next(end.is_some()),
        };
        let has_ended = self.end.is_none() && !matches!(self.process.try_wait(), Ok(None));
        Due {
            end: due.end || has_ended,
            ..due
        }
    }

    /// Reads what the process wrote before its end.
    fn read_the_rest(&mut self) {
        self.read_all_errors();
        // A pipe holds no more; what comes later is from another process.
        let mut left = PIPE;
        while left > 0 {
            let Heard { bytes, is_heard } = self.read_events();
            if bytes == 0 || !is_heard {
                break;
            }
            left = left.saturating_sub(bytes);
        }
        if let Some(line) = self.lines.end() {
            self.hear(line);
        }
    }

    fn read_all_errors(&mut self) {
        let mut left = PIPE;
        while left > 0 {
            match self.read_errors() {
                0 => return,
                bytes => left = left.saturating_sub(bytes),
            }
        }
    }

    /// Reads a piece of the log. Returns its length.
    fn read_errors(&mut self) -> usize {
        let bytes = read(&mut self.errors, &mut self.buffer);
        if let Some(assignment) = &mut *self.desk.open() {
            assignment.log.add(&self.buffer[..bytes]);
        }
        bytes
    }

    /// Reads a piece of the events.
    fn read_events(&mut self) -> Heard {
        let bytes = read(&mut self.events, &mut self.buffer);
        let piece = self.buffer[..bytes].to_vec();
        let mut rest = piece.as_slice();
        let mut is_heard = true;
        while let Some(line) = self.lines.next_in(&mut rest) {
            is_heard &= self.hear(line);
        }
        Heard { bytes, is_heard }
    }

    /// Passes an event on. Returns false if nobody listens: the session has ended, and then the lifeline ends the process.
    fn hear(&mut self, line: Vec<u8>) -> bool {
        let event = serde_json::from_slice::<Event>(&line);
        if let Ok(Event::Ready {}) = event {
            self.read_all_errors();
            let assignment = self.desk.open().take();
            return assignment.is_none_or(Assignment::ready);
        }
        let mut desk = self.desk.open();
        let Some(assignment) = &mut *desk else {
            return true;
        };
        if !matches!(event, Ok(Event::Alive {})) {
            assignment.keep(line);
        }
        let reports = assignment.reports.clone();
        drop(desk);
        event.map_or(true, |event| reports.send(Notice::Event(event)))
    }
}

/// What became of a piece of the events.
struct Heard {
    bytes: usize,
    /// False if nobody listens.
    is_heard: bool,
}

/// Reads what there is, and closes a pipe that has come to its end. Returns the number of bytes.
fn read(pipe: &mut Option<impl Read>, buffer: &mut [u8]) -> usize {
    let Some(open) = pipe else {
        return 0;
    };
    match open.read(buffer) {
        Ok(bytes) if bytes > 0 => bytes,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            0
        }
        Ok(_) | Err(_) => {
            *pipe = None;
            0
        }
    }
}
