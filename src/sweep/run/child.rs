//! One trainer process: started in a process group of its own, read line by line, and never left behind.
//!
//! The pipe to its standard input is its lifeline: the orchestrator never writes more than `stop` to it, and
//! when the orchestrator dies, however it dies, the pipe closes and the trainer ends itself.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{self, ChildStdin, Command, Stdio},
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};
use schema::{Attempt, Event};

use super::{scheduler::ProcessEnd, slots::Slot};
use crate::ledger::{Job, write_json};

/// libtorch frees its buffers after a step and wants the same ones in the next. By default glibc gives large ones
/// back to the system in between, and a fifth of a training on the CPU goes into page faults.
const KEEP_BUFFERS: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "4294967296"),
    ("MALLOC_TRIM_THRESHOLD_", "4294967296"),
];

/// What a process tells the session, with the attempt that it speaks of.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) job: Job,
    pub(super) attempt: u32,
    pub(super) word: Word,
}

#[derive(Debug)]
pub(super) enum Word {
    Said(Event),
    Exited(ProcessEnd),
}

/// A running trainer. Dropping it kills whatever is left of its process group.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) attempt: u32,
    /// When it last said something.
    pub(super) heard: Instant,
    /// Whether it was killed for its silence.
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
        folder: &Path,
        messages: Sender<Message>,
    ) -> io::Result<Child> {
        let order = folder.join("attempt.json");
        write_json(&order, attempt).map_err(io::Error::other)?;
        let log = File::create(folder.join("log.txt"))?;
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
        let (number, folder) = (attempt.number, folder.to_owned());
        thread::spawn(move || {
            let tell = |word| {
                messages.send(Message {
                    job,
                    attempt: number,
                    word,
                })
            };
            let end = listen(process, &folder, |event| tell(Word::Said(event)).is_ok());
            // If nobody listens any more the orchestrator is leaving, and the lifeline ends the process.
            let _ = tell(Word::Exited(end));
        });
        Ok(Child {
            attempt: number,
            heard: Instant::now(),
            hung: false,
            group,
            lifeline,
        })
    }

    /// Asks it to write a checkpoint and leave.
    pub(super) fn ask_to_stop(&mut self) {
        // If it is already gone there is nobody to ask.
        let _ = self.lifeline.write_all(b"stop\n");
    }

    /// Kills it if it has said nothing for longer than this.
    pub(super) fn kill_if_silent(&mut self, limit: Duration) {
        if !self.hung && self.heard.elapsed() > limit {
            self.hung = true;
            self.kill();
        }
    }

    /// Kills it and all it started.
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

/// Keeps all it says in `events.jsonl`, passes on what is understood, and waits for its end.
fn listen(
    mut process: process::Child,
    folder: &Path,
    mut tell: impl FnMut(Event) -> bool,
) -> ProcessEnd {
    if let Some(output) = process.stdout.take() {
        let mut events = OpenOptions::new()
            .append(true)
            .create(true)
            .open(folder.join("events.jsonl"))
            .ok();
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if let Some(file) = &mut events {
                // The copy is for people; without space for it the run itself goes on.
                let _ = file.write_all(&[&line[..], b"\n"].concat());
            }
            if let Ok(event) = serde_json::from_slice(&line)
                && !tell(event)
            {
                break;
            }
        }
    }
    match process.wait() {
        Ok(status) => {
            let (code, signal) = (status.code(), status.signal());
            ProcessEnd {
                code,
                signal,
                last_words: last_line(folder.join("log.txt")),
                hung: false,
            }
        }
        Err(_) => ProcessEnd::default(),
    }
}

fn last_line(log: PathBuf) -> Option<String> {
    let text = std::fs::read(log).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    Some(line.chars().take(300).collect())
}
