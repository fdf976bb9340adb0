//! One trainer process, in a process group of its own.
//!
//! Threads read its events and its log, and one waits for its end. Dropping the [`Child`] kills the
//! group. The pipe to its standard input is a lifeline: the orchestrator writes nothing but `stop` to
//! it, and when the orchestrator dies for any reason, the pipe closes and the trainer ends itself.
//!
//! The end of the process ends the attempt. A process that it has left behind and that keeps its
//! standard output open cannot hold the sweep up.

use std::{
    fs::File,
    io::{self, BufReader, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use schema::{Device, Event};

use super::{
    affinity,
    lines::{Lines, copy_log, last_line},
    memory,
    mps::Mps,
    scheduler::{ProcessEnd, TICKS_PER_SECOND},
    slots::Slot,
};
use crate::ledger::{AttemptFolder, Job};

/// Makes glibc keep large buffers. libtorch frees its buffers after each step and allocates the same
/// ones in the next; by default glibc returns them to the system in between, and page faults take
/// a fifth of the time of a training on the CPU.
const KEEP_BUFFERS: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
];

/// The longest line of a trainer that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;
/// The most bytes of events that are kept in the attempt's folder.
const MOST_EVENTS: usize = 256 << 20;
/// The most bytes of the beginning of a log that are kept there.
const MOST_LOG: u64 = 32 << 20;

/// How long the output of a process that has ended may say nothing before it is given up.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How often that is tried if something else goes on writing there.
const LISTENED: u32 = 10;

/// The ticks that a trainer may take to leave after its last event.
const LEAVING: u32 = 10 * TICKS_PER_SECOND;
/// The ticks that a killed process may take to end.
const DYING: u32 = 5 * TICKS_PER_SECOND;

/// A notice from one attempt.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) job: Job,
    pub(super) attempt: u32,
    pub(super) notice: Notice,
}

#[derive(Debug)]
pub(super) enum Notice {
    Event(Event),
    Exited(ProcessEnd),
}

/// A running trainer. Dropping it kills whatever is left of its process group.
#[derive(Debug)]
pub(super) struct Child {
    group: Option<Pid>,
    lifeline: ChildStdin,
    /// Ticks since its last event.
    silent: u32,
    /// True if its last event was a result.
    is_leaving: bool,
    /// Ticks since it was killed.
    killed: Option<u32>,
    /// True if it was killed because it reported nothing for too long.
    hung: bool,
}

/// Where the notices of an attempt go.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) job: Job,
    pub(super) attempt: u32,
    pub(super) messages: SyncSender<Message>,
}

impl Child {
    /// Starts `program` on the attempt that is described in `folder`.
    pub(super) fn start(
        program: &Path,
        slot: &Slot,
        mps: Option<&Mps>,
        folder: &AttemptFolder,
        reports: Reports,
    ) -> io::Result<Child> {
        let log = File::create(folder.log())?;
        let mut command = Command::new(program);
        command
            .arg(folder.attempt())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .envs(KEEP_BUFFERS);
        if let Some(visible) = &slot.visible {
            command
                .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
                .env("CUDA_VISIBLE_DEVICES", visible);
        }
        if let Some(mps) = mps.filter(|_| slot.device == Device::Cuda) {
            mps.serve(&mut command);
        }
        let mut process = command.spawn()?;
        let lifeline = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        if let Some(process) = group.filter(|_| !slot.cores.is_empty()) {
            affinity::confine(process, &slot.cores);
        }
        // Dropped if a thread below cannot be started, which kills the process.
        let child = Child {
            group,
            lifeline,
            silent: 0,
            is_leaving: false,
            killed: None,
            hung: false,
        };
        read_output(process, log, folder, reports)?;
        Ok(child)
    }

    /// Returns its process group.
    pub(super) fn group(&self) -> Option<Pid> {
        self.group
    }

    /// Notes an event.
    pub(super) fn heard(&mut self, event: &Event) {
        self.silent = 0;
        self.is_leaving |= matches!(event, Event::Finished(_) | Event::Failed { .. });
    }

    /// Requests that it writes a checkpoint and exits.
    pub(super) fn request_stop(&mut self) {
        // An error means that it has exited already.
        let _ = self.lifeline.write_all(b"stop\n");
    }

    /// Lets a moment pass. Kills a process that reports nothing for `limit` ticks, or that does not
    /// leave after its result. Returns the end of one that does not even end when it is killed.
    pub(super) fn tick(&mut self, limit: Option<u32>) -> Option<ProcessEnd> {
        self.silent = self.silent.saturating_add(1);
        if let Some(ticks) = &mut self.killed {
            *ticks += 1;
            return (*ticks >= DYING).then(|| ProcessEnd {
                abandoned: true,
                ..self.end(ProcessEnd::default())
            });
        }
        let limit = if self.is_leaving {
            Some(LEAVING)
        } else {
            limit
        };
        if limit.is_some_and(|limit| self.silent > limit) {
            self.hung = !self.is_leaving;
            self.kill();
        }
        None
    }

    /// Completes the end of the process.
    pub(super) fn end(&self, end: ProcessEnd) -> ProcessEnd {
        ProcessEnd {
            hung: self.hung,
            ..end
        }
    }

    /// Kills its process group.
    pub(super) fn kill(&mut self) {
        self.killed.get_or_insert(0);
        if let Some(group) = self.group {
            // An error means that nothing is left to kill.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the events and the log of a process, and waits for its end, each in a thread.
fn read_output(
    mut process: process::Child,
    mut log: File,
    folder: &AttemptFolder,
    reports: Reports,
) -> io::Result<()> {
    let pulse = Pulse::default();
    // Both readers drop the sender at the end of what they read.
    let (reading, read) = mpsc::channel();
    if let Some(output) = process.stdout.take() {
        let reader = EventReader {
            reports: reports.clone(),
            pulse: pulse.clone(),
            copy: File::create(folder.events()).ok(),
            room: MOST_EVENTS,
        };
        let reading = reading.clone();
        in_thread(move || {
            reader.read(output);
            drop(reading);
        })?;
    }
    if let Some(errors) = process.stderr.take() {
        in_thread(move || {
            copy_log(errors, &mut log, MOST_LOG);
            drop(reading);
        })?;
    }
    let folder = folder.clone();
    let killed_before = memory::killed_by_the_system();
    in_thread(move || {
        let status = process.wait();
        pulse.wait_for_the_end(&read);
        let end = status.map_or_else(
            |_| ProcessEnd::default(),
            |status| ProcessEnd {
                code: status.code(),
                signal: status.signal(),
                last_line: last_line(&folder.log()),
                out_of_memory: status.signal() == Some(Signal::KILL.as_raw())
                    && memory::killed_by_the_system() > killed_before,
                ..ProcessEnd::default()
            },
        );
        reports.send(Notice::Exited(end));
    })
}

fn in_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().spawn(work).map(|_| ())
}

impl Reports {
    /// Returns false if the session has ended; then the lifeline ends the process.
    fn send(&self, notice: Notice) -> bool {
        let message = Message {
            job: self.job,
            attempt: self.attempt,
            notice,
        };
        self.messages.send(message).is_ok()
    }
}

/// Reads the events of a process.
struct EventReader {
    reports: Reports,
    pulse: Pulse,
    copy: Option<File>,
    /// The number of bytes that may still be copied.
    room: usize,
}

impl EventReader {
    fn read(mut self, output: ChildStdout) {
        for line in Lines::new(BufReader::new(output), LONGEST_LINE) {
            let event = serde_json::from_slice::<Event>(&line);
            if !matches!(event, Ok(Event::Alive {})) {
                self.keep(line);
            }
            self.pulse.begin();
            let is_heard = event.map_or(true, |event| self.reports.send(Notice::Event(event)));
            self.pulse.end();
            if !is_heard {
                break;
            }
        }
    }

    /// Copies a line into the attempt's folder.
    fn keep(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        if let Some(file) = &mut self.copy
            && self.room >= line.len()
        {
            // The copy is for people; the run continues without it if the disk is full.
            let _ = file.write_all(&line);
            self.room -= line.len();
        }
    }
}

/// Counts the beginnings and ends of sending an event: it is odd while the session is busy and the
/// reader of events has to wait.
#[derive(Clone, Default)]
struct Pulse(Arc<AtomicU64>);

impl Pulse {
    fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until the output of a process that has ended is read, unless another process holds it.
    fn wait_for_the_end(&self, read: &Receiver<()>) {
        let mut listened = 0;
        while listened < LISTENED {
            let before = self.0.load(Ordering::Relaxed);
            if read.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
            let now = self.0.load(Ordering::Relaxed);
            let is_waiting = !now.is_multiple_of(2);
            if now == before && !is_waiting {
                return;
            }
            listened += u32::from(!is_waiting);
        }
    }
}

#[cfg(test)]
mod tests;
