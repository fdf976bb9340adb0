//! The exit codes of the program, with their messages.

use std::{fmt::Display, process::ExitCode};

use durable::DiskError;

use crate::{
    batch::standing::{CONTINUE, STUCK, TAKEN},
    config::Diagnostic,
    ledger::{LedgerError, LockError},
};

/// An end of the program without success.
#[derive(Debug)]
pub enum Exit {
    /// A mistake in the sweep file, with its position. Code 1.
    Diagnosed(Box<Diagnostic>),
    /// Another mistake of the user, or something missing in the setup. Code 1.
    Mistake(String),
    /// Some runs failed. Code 2.
    RunsFailed(String),
    /// The orchestrator cannot continue. Code 3.
    Stuck(String),
    /// The orchestrator or a worker cannot continue before there is room on a disk. Code 3.
    DiskFull(String),
    /// Another orchestrator uses the results folder. Code 4.
    Locked(String),
    /// A worker was asked to stop and has written checkpoints. Code 85: the batch system is to start it again.
    ToBeContinued(String),
    /// The user interrupted. Code 130, as is usual in shells.
    Interrupted(String),
    /// The reader of the output closed the pipe. Code 0: it has read enough.
    NobodyReads,
}

impl Exit {
    /// The exit code for a mistake.
    pub(super) const MISTAKE: ExitCode = ExitCode::FAILURE;
    /// The exit code for an interrupt.
    pub(super) const INTERRUPTED: u8 = 130;

    /// Creates the exit for a mistake of the user.
    pub(super) fn mistake(error: impl Display) -> Exit {
        Exit::Mistake(error.to_string())
    }

    /// Creates the exit for an error that stops the orchestrator.
    pub(super) fn stuck(error: impl Display) -> Exit {
        Exit::Stuck(error.to_string())
    }

    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// Returns the exit code as a number.
    pub(super) fn number(&self) -> u8 {
        match self {
            Exit::Diagnosed(_) | Exit::Mistake(_) => 1,
            Exit::RunsFailed(_) => 2,
            Exit::Stuck(_) | Exit::DiskFull(_) => STUCK,
            Exit::Locked(_) => TAKEN,
            Exit::ToBeContinued(_) => CONTINUE,
            Exit::Interrupted(_) => Exit::INTERRUPTED,
            Exit::NobodyReads => 0,
        }
    }

    /// Returns the message alone, without what it is.
    pub(super) fn reason(&self) -> String {
        match self {
            Exit::Diagnosed(diagnostic) => diagnostic.to_string(),
            Exit::Mistake(message)
            | Exit::RunsFailed(message)
            | Exit::Stuck(message)
            | Exit::DiskFull(message)
            | Exit::Locked(message)
            | Exit::ToBeContinued(message)
            | Exit::Interrupted(message) => message.clone(),
            Exit::NobodyReads => String::new(),
        }
    }

    pub(super) fn message(&self, colour: bool) -> Option<String> {
        let label = if colour {
            "\x1b[1;31merror\x1b[0m"
        } else {
            "error"
        };
        match self {
            Exit::Diagnosed(diagnostic) => Some(diagnostic.render(colour)),
            Exit::Mistake(message)
            | Exit::Stuck(message)
            | Exit::DiskFull(message)
            | Exit::Locked(message) => Some(format!("{label}: {message}")),
            Exit::RunsFailed(message)
            | Exit::ToBeContinued(message)
            | Exit::Interrupted(message) => Some(message.clone()),
            Exit::NobodyReads => None,
        }
    }
}

impl From<DiskError> for Exit {
    fn from(error: DiskError) -> Exit {
        LedgerError::from(error).into()
    }
}

impl From<LedgerError> for Exit {
    fn from(error: LedgerError) -> Exit {
        match error.is_disk_full() {
            true => Exit::DiskFull(error.to_string()),
            false => Exit::stuck(error),
        }
    }
}

impl From<LockError> for Exit {
    fn from(error: LockError) -> Exit {
        match error {
            LockError::Held { .. } | LockError::TakenOver { .. } => Exit::Locked(error.to_string()),
            LockError::Unsupported { .. } => Exit::mistake(error),
            LockError::Gone { .. } | LockError::Io { .. } => Exit::stuck(error),
        }
    }
}
