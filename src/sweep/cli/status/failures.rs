//! Failures by their cause: what happened, to which runs, and the end of one log.

use std::path::PathBuf;

use schema::Failure;
use serde::Serialize;

use crate::{
    cli::{counted, log_tail::last_lines},
    ledger::{Job, Ledger, LedgerError},
};

/// Lines of a log that are shown.
const LINES: usize = 3;

/// Runs of one cause that are named.
const NAMED: usize = 5;

/// The failures of a sweep.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct Failures(Vec<Cause>);

/// All failures with one message.
#[derive(Serialize)]
struct Cause {
    class: Failure,
    message: String,
    failed: Vec<Failed>,
    /// The log of the first.
    log: PathBuf,
    /// Its last lines.
    tail: Vec<String>,
}

/// A run or an ensemble that failed.
#[derive(Serialize)]
struct Failed {
    id: String,
    name: String,
    job: Job,
}

impl Failures {
    /// Adds a job that failed.
    pub(super) fn add(
        &mut self,
        id: String,
        name: String,
        job: Job,
        class: Failure,
        message: String,
        ledger: &Ledger,
    ) -> Result<(), LedgerError> {
        let failed = Failed { id, name, job };
        let same = |cause: &&mut Cause| cause.class == class && cause.message == message;
        if let Some(cause) = self.0.iter_mut().find(same) {
            cause.failed.push(failed);
            return Ok(());
        }
        let log = ledger.attempt_folder(job, ledger.attempts(job)?).log();
        self.0.push(Cause {
            class,
            message,
            failed: vec![failed],
            tail: last_lines(&log, LINES),
            log,
        });
        Ok(())
    }

    /// Returns the number of failed jobs.
    pub(super) fn jobs(&self) -> usize {
        self.0.iter().map(|cause| cause.failed.len()).sum()
    }

    /// Returns a paragraph for each cause.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().flat_map(Cause::lines).collect()
    }
}

impl Cause {
    fn lines(&self) -> Vec<String> {
        let count = counted(self.failed.len(), "run");
        let mut lines = vec![format!("  failed    {count}: {}", self.message)];
        for failed in self.failed.iter().take(NAMED) {
            lines.push(format!("            {}  {}", failed.id, failed.name));
        }
        if let Some(more) = self
            .failed
            .len()
            .checked_sub(NAMED)
            .filter(|more| *more > 0)
        {
            lines.push(format!("            and {more} more"));
        }
        lines.push(format!("            log: {}", self.log.display()));
        lines.extend(self.tail.iter().map(|line| format!("            | {line}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_cause_are_shown_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        let mut failures = Failures::default();
        for (number, message) in ["no space", "no image", "no space"].iter().enumerate() {
            let id = format!("{number:016}");
            let job = Job::Train(id.parse().unwrap());
            let name = format!("seed {number}");
            failures
                .add(
                    id,
                    name,
                    job,
                    Failure::Crashed,
                    (*message).to_owned(),
                    &ledger,
                )
                .unwrap();
        }
        let lines = failures.lines();
        assert_eq!(failures.jobs(), 3);
        assert_eq!(lines[0], "  failed    2 runs: no space");
        assert!(lines[1].ends_with("seed 0") && lines[2].ends_with("seed 2"));
        assert_eq!(lines[4], "  failed    1 run: no image");
    }
}
