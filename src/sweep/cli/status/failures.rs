//! Failures by their cause: what happened, to which runs, and the end of one log.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    cli::{counted, log_tail::last_lines},
    ledger::{Cause, Job, Ledger, LedgerError},
};

/// Lines of a log that are shown.
const LINES: usize = 3;

/// Runs of one cause that are named.
const NAMED: usize = 5;

/// The failures of a sweep.
#[derive(Default, Serialize)]
#[serde(transparent)]
pub(super) struct Failures(Vec<OfOneCause>);

/// All failures with one cause.
#[derive(Serialize)]
struct OfOneCause {
    #[serde(flatten)]
    cause: Cause,
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
        cause: Cause,
        ledger: &Ledger,
    ) -> Result<(), LedgerError> {
        let failed = Failed { id, name, job };
        let same = |known: &&mut OfOneCause| known.cause == cause;
        if let Some(known) = self.0.iter_mut().find(same) {
            known.failed.push(failed);
            return Ok(());
        }
        let log = ledger.attempt_folder(job, ledger.attempts(job)?).log();
        self.0.push(OfOneCause {
            cause,
            failed: vec![failed],
            tail: last_lines(&log, LINES),
            log,
        });
        Ok(())
    }

    /// Returns the number of failed jobs.
    pub(super) fn jobs(&self) -> usize {
        self.0.iter().map(|one| one.failed.len()).sum()
    }

    /// Returns a paragraph for each cause.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().flat_map(OfOneCause::lines).collect()
    }
}

impl OfOneCause {
    fn lines(&self) -> Vec<String> {
        let count = counted(self.failed.len(), "run");
        let mut lines = vec![format!("  failed    {count}: {}", self.cause.message)];
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
    use schema::Failure;

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
            let cause = Cause {
                class: Failure::Crashed,
                code: None,
                signal: Some(9),
                message: (*message).to_owned(),
            };
            failures.add(id, name, job, cause, &ledger).unwrap();
        }
        let lines = failures.lines();
        assert_eq!(failures.jobs(), 3);
        assert_eq!(lines[0], "  failed    2 runs: no space");
        assert!(lines[1].ends_with("seed 0") && lines[2].ends_with("seed 2"));
        assert_eq!(lines[4], "  failed    1 run: no image");
        let json = serde_json::to_value(&failures).unwrap();
        assert_eq!(json[0]["class"], "crashed");
        assert_eq!(json[0]["signal"], 9);
        assert_eq!(json[0]["message"], "no space");
    }
}
