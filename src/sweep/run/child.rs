//! One trainer process, in a process group of its own.
//!
//! A thread reads its events line by line. Dropping the [`Child`] kills the group. The pipe to its
//! standard input is a lifeline: the orchestrator writes nothing but `stop` to it, and when the
//! orchestrator dies for any reason, the pipe closes and the trainer ends itself.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use schema::{Attempt, Event, visible::visible};

use super::{scheduler::ProcessEnd, slots::Slot};
use crate::ledger::{AttemptFolder, Job, write_json};

/// Makes glibc keep large buffers. libtorch frees its buffers after each step and allocates the same
/// ones in the next; by default glibc returns them to the system in between, and page faults take
/// a fifth of the time of a training on the CPU.
const KEEP_BUFFERS: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
];

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
    pub(super) attempt: u32,
    /// The time of its last event.
    pub(super) last_event: Instant,
    /// True if it was killed because it reported nothing for too long.
    pub(super) hung: bool,
    group: Option<Pid>,
    lifeline: ChildStdin,
}

impl Child {
    /// Starts `program` on an attempt whose files go to `folder`.
    pub(super) fn start(
        program: &Path,
        job: Job,
        attempt: &Attempt,
        slot: &Slot,
        folder: &AttemptFolder,
        messages: Sender<Message>,
    ) -> io::Result<Child> {
        let order = folder.attempt();
        write_json(&order, attempt).map_err(io::Error::other)?;
        let log = File::create(folder.log())?;
        let mut command = Command::new(program);
        command
            .arg(&order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0);
        command.envs(KEEP_BUFFERS);
        if let Some(visible) = &slot.visible {
            command
                .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
                .env("CUDA_VISIBLE_DEVICES", visible);
        }
        let mut process = command.spawn()?;
        let lifeline = process.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let group = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let reader = OutputReader {
            job,
            attempt: attempt.number,
            folder: folder.clone(),
            messages,
        };
        thread::spawn(move || reader.read_to_end(process));
        Ok(Child {
            attempt: attempt.number,
            last_event: Instant::now(),
            hung: false,
            group,
            lifeline,
        })
    }

    /// Requests that it writes a checkpoint and exits.
    pub(super) fn request_stop(&mut self) {
        // An error means that it has exited already.
        let _ = self.lifeline.write_all(b"stop\n");
    }

    /// Kills it if its last event is older than `limit`.
    pub(super) fn kill_if_silent(&mut self, limit: Duration) {
        if !self.hung && self.last_event.elapsed() > limit {
            self.hung = true;
            self.kill();
        }
    }

    /// Kills its process group.
    pub(super) fn kill(&self) {
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

/// Reads the output of a process in a thread and sends what it finds to the session.
struct OutputReader {
    job: Job,
    attempt: u32,
    folder: AttemptFolder,
    messages: Sender<Message>,
}

impl OutputReader {
    /// Keeps all lines in the attempt's folder, sends the events, and waits for the process to end.
    fn read_to_end(self, mut process: process::Child) {
        if let Some(output) = process.stdout.take() {
            self.read_events(output);
        }
        let end = match process.wait() {
            Ok(status) => ProcessEnd {
                code: status.code(),
                signal: status.signal(),
                last_line: last_line(&self.folder.log()),
                hung: false,
            },
            Err(_) => ProcessEnd::default(),
        };
        self.send(Notice::Exited(end));
    }

    fn read_events(&self, output: ChildStdout) {
        let mut copy = File::options()
            .append(true)
            .create(true)
            .open(self.folder.events())
            .ok();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if let Some(file) = &mut copy {
                // The copy is for people; the run continues without it if the disk is full.
                let _ = file.write_all(&[&line[..], b"\n"].concat());
            }
            if let Ok(event) = serde_json::from_slice(&line)
                && !self.send(Notice::Event(event))
            {
                break;
            }
        }
    }

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

/// Returns the last line of a log that is not empty, shortened.
fn last_line(log: &Path) -> Option<String> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    Some(visible(line).chars().take(300).collect())
}
