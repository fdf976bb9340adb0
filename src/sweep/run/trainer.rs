//! The trainer's executable: finds it, checks that it can work here, and runs single tasks with it.
//!
//! A sweep starts trainers through [`super::session`]; commands that do one thing, such as
//! `sweep evaluate`, use [`Foreground`].

use std::{
    env,
    io::{self, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use schema::{Attempt, Description, Device, Event, Failure, PROTOCOL, Task, Work};
use tempfile::NamedTempFile;
use thiserror::Error;

use super::lines::Lines;

/// The most bytes of an answer to `--describe`, and of its log.
const LONGEST_ANSWER: u64 = 1 << 20;
/// How long a trainer may take to answer `--describe`: libtorch may be loaded from a slow disk.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// The longest line of a trainer that is read: a reply may name every image of a data set.
const LONGEST_LINE: usize = 256 << 20;

/// The exit code of a trainer that stopped on request; see [`Attempt`].
const STOPPED: i32 = 3;

/// A trainer cannot be used, or a task in the foreground failed.
#[derive(Debug, Error)]
pub enum TrainerError {
    /// There is no trainer.
    #[error("there is no `sweep-trainer` beside `{}` nor on the PATH; build it with `cargo build --workspace`, or install it with `make install`", beside.display())]
    NotFound {
        /// The executable of `sweep`.
        beside: PathBuf,
    },
    /// A folder whose path cannot be told to a trainer.
    #[error("trainers cannot work in `{}`: its path is not UTF-8; rename the folder, or work in another one", folder.display())]
    OddFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A task names a path that cannot be told to a trainer.
    #[error("a path that the trainer needs is not UTF-8; rename the file or the folder")]
    OddPath,
    /// The trainer cannot be started.
    #[error("failed to start the trainer `{}`: {source}", program.display())]
    Start {
        /// The trainer's path.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The trainer does not answer.
    #[error("the trainer `{}` did not answer `--describe` within {} s", program.display(), ANSWERED_WITHIN.as_secs())]
    Silent {
        /// The trainer's path.
        program: PathBuf,
    },
    /// The system cannot load the trainer's libtorch.
    #[error("the trainer `{}` cannot load libtorch ({detail}); run `make setup` to get it, then build again", program.display())]
    NoLibtorch {
        /// The trainer's path.
        program: PathBuf,
        /// The loader's message.
        detail: String,
    },
    /// The program does not answer like a trainer of this version.
    #[error("`{}` is not a trainer for this version of sweep: {detail}; build both with `cargo build --workspace`", program.display())]
    Incompatible {
        /// The trainer's path.
        program: PathBuf,
        /// The difference.
        detail: String,
    },
    /// The trainer reported a failure.
    #[error("{message}")]
    Failed {
        /// The class of the failure.
        class: Failure,
        /// The trainer's message.
        message: String,
    },
    /// The trainer stopped before it was done, although nothing requested it.
    #[error("the trainer stopped before it was done")]
    Stopped,
    /// The trainer exited without a result.
    #[error("the trainer exited ({}) without reporting a result", ending(status))]
    NoResult {
        /// How its process ended.
        status: ExitStatus,
    },
    /// The trainer replied to another kind of task.
    #[error("the trainer reported the result of another kind of work")]
    WrongReply,
}

/// A trainer that can work here.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// Its executable.
    pub program: PathBuf,
    /// Its answer to `--describe`.
    pub description: Description,
}

impl Trainer {
    /// Finds the trainer (`chosen`, or beside this executable, or on the PATH) and runs it with
    /// `--describe`.
    ///
    /// # Errors
    /// There is none, or it cannot work here.
    pub fn find(chosen: Option<&Path>) -> Result<Trainer, TrainerError> {
        // A current folder that is gone is noticed by what needs it.
        check_folder(&env::current_dir().unwrap_or_default())?;
        let program = match chosen {
            Some(program) => program.to_owned(),
            None => beside_or_on_path()?,
        };
        let answer = describe(&program).map_err(|source| TrainerError::Start {
            program: program.clone(),
            source,
        })?;
        let Some(Described { text, log }) = answer else {
            return Err(TrainerError::Silent { program });
        };
        let log = String::from_utf8_lossy(&log);
        if let Some(line) = log.lines().find(|line| is_loader_error(line)) {
            return Err(TrainerError::NoLibtorch {
                program,
                detail: loader_detail(line),
            });
        }
        match description(&text) {
            Ok(description) => Ok(Trainer {
                program,
                description,
            }),
            Err(detail) => Err(TrainerError::Incompatible { program, detail }),
        }
    }
}

/// Checks that a trainer can be told of what is in a folder: an attempt has paths as text.
///
/// # Errors
/// Its path is not UTF-8.
pub fn check_folder(folder: &Path) -> Result<(), TrainerError> {
    match folder.to_str() {
        Some(_) => Ok(()),
        None => Err(TrainerError::OddFolder {
            folder: folder.to_owned(),
        }),
    }
}

/// The answer of a trainer to `--describe`.
struct Described {
    text: Vec<u8>,
    log: Vec<u8>,
}

/// Runs a trainer with `--describe`. Returns `None` if it does not answer in time.
fn describe(program: &Path) -> io::Result<Option<Described>> {
    let mut process = Command::new(program)
        .arg("--describe")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let text = beginning(process.stdout.take())?;
    let log = beginning(process.stderr.take())?;
    let text = text.recv_timeout(ANSWERED_WITHIN);
    // The log ends with the answer, unless another process holds it.
    let log = log.recv_timeout(Duration::from_secs(1));
    // An error means that the process has ended already. One that does not even end when it is killed is left behind.
    let _ = process.kill();
    thread::Builder::new().spawn(move || process.wait())?;
    Ok(text.ok().map(|text| Described {
        text,
        log: log.unwrap_or_default(),
    }))
}

/// Reads the beginning of an output in a thread, and sends it.
fn beginning(output: Option<impl Read + Send + 'static>) -> io::Result<Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let mut bytes = Vec::new();
        let read = output.map(|output| output.take(LONGEST_ANSWER).read_to_end(&mut bytes));
        if matches!(read, Some(Ok(_))) {
            // An error means that nobody waits any more.
            let _ = sender.send(bytes);
        }
    })?;
    Ok(receiver)
}

fn description(answer: &[u8]) -> Result<Description, String> {
    let description: Description = serde_json::from_slice(answer)
        .map_err(|error| format!("its answer to --describe cannot be read ({error})"))?;
    if description.protocol != PROTOCOL {
        return Err(format!(
            "it uses protocol {}, not {PROTOCOL}",
            description.protocol
        ));
    }
    Ok(description)
}

fn beside_or_on_path() -> Result<PathBuf, TrainerError> {
    let own = env::current_exe()
        .and_then(|path| path.canonicalize())
        .unwrap_or_default();
    let beside = own.with_file_name("sweep-trainer");
    if beside.is_file() {
        return Ok(beside);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path)
        .map(|folder| folder.join("sweep-trainer"))
        .find(|program| program.is_file());
    on_path.ok_or(TrainerError::NotFound { beside: own })
}

fn is_loader_error(line: &str) -> bool {
    line.contains("error while loading shared libraries") || line.contains("symbol lookup error")
}

/// Returns the loader's message without the program's name.
fn loader_detail(line: &str) -> String {
    line.splitn(3, ": ")
        .last()
        .unwrap_or(line)
        .trim()
        .to_owned()
}

/// How the orchestrator answers an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The work continues.
    Continue,
    /// The trainer writes a checkpoint and exits.
    Stop,
}

/// Runs single attempts while the user waits, outside of any sweep.
#[derive(Clone, Copy, Debug)]
pub struct Foreground<'a> {
    /// The trainer to start.
    pub trainer: &'a Trainer,
    /// The device to compute on.
    pub device: Device,
    /// CPU threads to use.
    pub threads: u32,
}

impl Foreground<'_> {
    /// Makes one attempt at a task. Returns its reply; `None` if the trainer stopped on request.
    ///
    /// # Errors
    /// The trainer cannot be started, fails, or does not reply to this task.
    pub fn attempt<T: Task>(
        &self,
        task: T,
        on_event: impl FnMut(&Event) -> Answer,
    ) -> Result<Option<T::Reply>, TrainerError> {
        let (result, status) = self.converse(task.into(), on_event)?;
        match result {
            Some(Event::Finished(finished)) => T::Reply::try_from(finished)
                .map(Some)
                .map_err(|_| TrainerError::WrongReply),
            Some(Event::Failed { class, message }) => Err(TrainerError::Failed { class, message }),
            _ if status.code() == Some(STOPPED) => Ok(None),
            _ => Err(TrainerError::NoResult { status }),
        }
    }

    /// Runs a trainer. Returns the result that it reported, as an event, and how its process ended.
    fn converse(
        &self,
        work: Work,
        mut on_event: impl FnMut(&Event) -> Answer,
    ) -> Result<(Option<Event>, ExitStatus), TrainerError> {
        let attempt = Attempt {
            protocol: PROTOCOL,
            number: 1,
            device: self.device,
            threads: self.threads,
            work,
        };
        let text = serde_json::to_vec(&attempt).map_err(|_| TrainerError::OddPath)?;
        let file = temporary_file(&text).map_err(|source| self.cannot_start(source))?;
        let mut process = Command::new(&self.trainer.program)
            .arg(file.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| self.cannot_start(source))?;
        let mut result = None;
        for event in events(process.stdout.take()) {
            if on_event(&event) == Answer::Stop
                && let Some(lifeline) = &mut process.stdin
            {
                // An error means that the trainer has exited already.
                let _ = lifeline.write_all(b"stop\n");
            }
            if matches!(event, Event::Finished(_) | Event::Failed { .. }) {
                result = Some(event);
            }
        }
        let status = process.wait().map_err(|source| self.cannot_start(source))?;
        Ok((result, status))
    }

    fn cannot_start(&self, source: io::Error) -> TrainerError {
        TrainerError::Start {
            program: self.trainer.program.clone(),
            source,
        }
    }
}

/// Writes a temporary file, which is removed when it is dropped.
fn temporary_file(text: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(text)?;
    file.flush()?;
    Ok(file)
}

/// Returns the events in a trainer's output; lines that are not events are skipped.
fn events(output: Option<ChildStdout>) -> impl Iterator<Item = Event> {
    output
        .into_iter()
        .flat_map(|output| Lines::new(BufReader::new(output), LONGEST_LINE))
        .filter_map(|line| serde_json::from_slice(&line).ok())
}

/// Describes the end of a process: `code 1`, `signal 9`.
fn ending(status: &ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}
