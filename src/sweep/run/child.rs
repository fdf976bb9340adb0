//! One trainer process, in a process group of its own.
//!
//! A process makes one attempt, or several one after another if it serves. A thread receives what it writes
//! ([`output`]). Dropping the [`Child`] kills the group. The pipe to its standard input is a lifeline: the orchestrator
//! writes its requests to it, and when the orchestrator dies for any reason, the pipe closes and the trainer ends itself.

mod output;

use std::{
    io::{self, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::SyncSender,
};

use rustix::process::{Pid, Signal, kill_process_group};
use schema::{Device, Event};

use self::output::{Assignment, Desk};
use super::{
    affinity,
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
    /// The process has finished the attempt and waits for the next one.
    Ready,
    Exited(ProcessEnd),
}

/// A running trainer. Dropping it kills whatever is left of its process group.
#[derive(Debug)]
pub(super) struct Child {
    group: Pid,
    lifeline: ChildStdin,
    desk: Desk,
    /// True if it makes several attempts.
    serves: bool,
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
#[derive(Clone, Debug)]
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
        let mut command = Command::new(program);
        command.arg(folder.attempt());
        let assignment = Assignment::new(folder, reports)?;
        Child::spawn(command, slot, mps, Some(assignment))
    }

    /// Starts `program` so that it waits for attempts under `results`.
    pub(super) fn serve(
        program: &Path,
        slot: &Slot,
        mps: Option<&Mps>,
        results: &Path,
    ) -> io::Result<Child> {
        let mut command = Command::new(program);
        command.arg("--serve").arg(slot.device.name()).arg(results);
        Child::spawn(command, slot, mps, None)
    }

    fn spawn(
        mut command: Command,
        slot: &Slot,
        mps: Option<&Mps>,
        assignment: Option<Assignment>,
    ) -> io::Result<Child> {
        command
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
        let group = Pid::from_child(&process);
        if !slot.cores.is_empty() {
            affinity::confine(group, &slot.cores);
        }
        // Dropped if the thread below cannot be started, which kills the process.
        let child = Child {
            group,
            lifeline,
            serves: assignment.is_none(),
            desk: Desk::with(assignment),
            silent: 0,
            is_leaving: false,
            killed: None,
            hung: false,
        };
        output::receive(process, child.desk.clone())?;
        Ok(child)
    }

    /// Gives a process that serves its next attempt.
    ///
    /// # Errors
    /// The attempt's files cannot be created, or the process has ended.
    pub(super) fn assign(&mut self, folder: &AttemptFolder, reports: Reports) -> io::Result<()> {
        self.desk.put(Assignment::new(folder, reports)?);
        (self.silent, self.is_leaving) = (0, false);
        let mut line = b"attempt ".to_vec();
        line.extend(folder.attempt().as_os_str().as_bytes());
        line.push(b'\n');
        self.lifeline.write_all(&line)
    }

    /// True if it makes several attempts.
    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    /// Returns its process group.
    pub(super) fn group(&self) -> Pid {
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
                abandoned: Some(self.group.as_raw_pid()),
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
        // An error means that nothing is left to kill.
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
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

#[cfg(test)]
mod tests;
