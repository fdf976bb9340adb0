//! `sweep logs`: what the trainers of a run wrote to standard error.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Args;
use schema::RunId;

use super::{Exit, run_ids::the_only, show, tell};
use crate::ledger::{AttemptFolder, Job, Ledger};

/// Print the log of a run's latest attempt
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep logs 7f2c            the log of the latest attempt at the run
  sweep logs 7f2c --follow   also what is added, until the attempt ends
  sweep logs 7f2c --all      the logs of all attempts")]
pub(super) struct Logs {
    /// Id of a run, or its beginning; `sweep status FILE` and `sweep plan FILE` print ids
    run: String,
    /// Print what is added, until the attempt ends
    #[arg(short, long, conflicts_with = "all")]
    follow: bool,
    /// Print the logs of all attempts, the first one first
    #[arg(long)]
    all: bool,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
}

/// Between two looks at a log that is followed.
const PERIOD: Duration = Duration::from_millis(500);

impl Logs {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let ledger = Ledger::new(&self.results);
        let run = self.find(&ledger)?;
        let mut attempts = attempts(run, &ledger)?;
        if attempts.is_empty() {
            return Err(Exit::mistake(format!(
                "nothing was started for the run {run} yet"
            )));
        }
        if !self.all {
            attempts.drain(..attempts.len() - 1);
        }
        for (job, number, folder) in &attempts {
            tell(&format!(
                "{}, attempt {number}: {}",
                job.verb(),
                folder.log().display()
            ));
            match self.follow {
                true => follow(folder)?,
                false => show(&added(&folder.log(), &mut 0).map_err(Exit::stuck)?)?,
            }
        }
        Ok(())
    }

    fn find(&self, ledger: &Ledger) -> Result<RunId, Exit> {
        the_only(&self.run, ledger.runs()?)?.ok_or_else(|| {
            Exit::Mistake(format!(
                "no run in `{}` has an id that begins with `{}`\nhint: `sweep status FILE` and `sweep plan FILE` print ids",
                self.results.display(),
                self.run
            ))
        })
    }
}

/// Returns the attempts at the jobs of a run, the latest last.
fn attempts(run: RunId, ledger: &Ledger) -> Result<Vec<(Job, u32, AttemptFolder)>, Exit> {
    let mut attempts = Vec::new();
    for job in [Job::Train(run), Job::Evaluate(run)] {
        for number in 1..=ledger.attempts(job)? {
            attempts.push((job, number, ledger.attempt_folder(job, number)));
        }
    }
    Ok(attempts)
}

/// Prints a log, and what is added to it until the attempt ends.
fn follow(folder: &AttemptFolder) -> Result<(), Exit> {
    let mut read = 0;
    loop {
        let is_over = folder.exit().exists();
        show(&added(&folder.log(), &mut read).map_err(Exit::stuck)?)?;
        if is_over {
            return Ok(());
        }
        thread::sleep(PERIOD);
    }
}

/// Returns what was added to a log after the first `read` bytes, and counts it as read.
fn added(log: &Path, read: &mut u64) -> io::Result<String> {
    let mut file = match durable::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(*read))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    *read += bytes.len() as u64;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_was_added_is_returned_again() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log.txt");
        let mut read = 0;
        assert_eq!(added(&log, &mut read).unwrap(), "");
        fs::write(&log, "one\n").unwrap();
        assert_eq!(added(&log, &mut read).unwrap(), "one\n");
        fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(added(&log, &mut read).unwrap(), "two\n");
    }
}
