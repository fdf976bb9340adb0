//! The trainer's executable: where it is, and whether it can work here.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use schema::{Attempt, Description, Event, PROTOCOL};
use thiserror::Error;

/// Why there is no trainer to work with.
#[derive(Debug, Error)]
pub enum TrainerError {
    /// There is no such program.
    #[error("there is no `sweep-trainer` beside `{}` nor on the PATH; build it with `cargo build --workspace`, or install it with `make install`", beside.display())]
    NotFound {
        /// The orchestrator's own executable.
        beside: PathBuf,
    },
    /// It cannot be started.
    #[error("failed to start the trainer `{}`: {source}", program.display())]
    Start {
        /// Which program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It starts, but the system cannot load libtorch for it.
    #[error("the trainer `{}` cannot load libtorch ({detail}); run `make setup` to get it, then build again", program.display())]
    NoLibtorch {
        /// Which program.
        program: PathBuf,
        /// The loader's words.
        detail: String,
    },
    /// It starts, but does not answer as it should.
    #[error("`{}` is no trainer for this version of sweep: {detail}; build both with `cargo build --workspace`", program.display())]
    Incompatible {
        /// Which program.
        program: PathBuf,
        /// What it did.
        detail: String,
    },
}

/// A trainer that answered.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// Its executable.
    pub program: PathBuf,
    /// What it said of itself.
    pub description: Description,
}

impl Trainer {
    /// Finds the trainer (`chosen`, or beside this executable, or on the PATH) and asks who it is.
    ///
    /// # Errors
    /// There is none, or it cannot work here.
    pub fn find(chosen: Option<&Path>) -> Result<Trainer, TrainerError> {
        let program = match chosen {
            Some(program) => program.to_owned(),
            None => beside_or_on_path()?,
        };
        let output = Command::new(&program).arg("--describe").output();
        let output = output.map_err(|source| TrainerError::Start {
            program: program.clone(),
            source,
        })?;
        let log = String::from_utf8_lossy(&output.stderr);
        if let Some(line) = log.lines().find(|line| is_loader_error(line)) {
            return Err(TrainerError::NoLibtorch {
                program,
                detail: loader_detail(line),
            });
        }
        let incompatible = |detail: String| TrainerError::Incompatible {
            program: program.clone(),
            detail,
        };
        let description: Description = serde_json::from_slice(&output.stdout).map_err(|error| {
            incompatible(format!(
                "its answer to --describe is not understood ({error})"
            ))
        })?;
        if description.protocol != PROTOCOL {
            return Err(incompatible(format!(
                "it speaks protocol {}, not {PROTOCOL}",
                description.protocol
            )));
        }
        Ok(Trainer {
            program,
            description,
        })
    }
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

/// Without the program's name, which the message has already.
fn loader_detail(line: &str) -> String {
    line.splitn(3, ": ")
        .last()
        .unwrap_or(line)
        .trim()
        .to_owned()
}

/// What a trainer is told in answer to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    GoOn,
    /// To write a checkpoint and leave.
    Stop,
}

/// Has one attempt made in the foreground, and returns its last word.
///
/// # Errors
/// The trainer cannot be started.
pub fn converse(
    trainer: &Trainer,
    attempt: &Attempt,
    mut hear: impl FnMut(&Event),
) -> Result<Option<Event>, TrainerError> {
    dialogue(trainer, attempt, |event| {
        hear(event);
        Answer::GoOn
    })
}

/// The same with a word to the trainer now and then.
///
/// # Errors
/// The trainer cannot be started.
pub fn dialogue(
    trainer: &Trainer,
    attempt: &Attempt,
    mut hear: impl FnMut(&Event) -> Answer,
) -> Result<Option<Event>, TrainerError> {
    let start = |source| TrainerError::Start {
        program: trainer.program.clone(),
        source,
    };
    let mut order = tempfile::NamedTempFile::new().map_err(start)?;
    serde_json::to_writer(&mut order, attempt).map_err(|error| start(error.into()))?;
    order.flush().map_err(start)?;
    let mut process = Command::new(&trainer.program)
        .arg(order.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(start)?;
    let mut last = None;
    if let Some(output) = process.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if let Ok(event) = serde_json::from_slice(&line) {
                if hear(&event) == Answer::Stop
                    && let Some(lifeline) = &mut process.stdin
                {
                    // If it is already gone there is nobody to ask.
                    let _ = lifeline.write_all(b"stop\n");
                }
                last = Some(event);
            }
        }
    }
    process.wait().map_err(start)?;
    Ok(last)
}
