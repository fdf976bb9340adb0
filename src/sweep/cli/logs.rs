//! `sweep logs`: what the trainers of a run, or of a sweep, wrote to standard error.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime},
};

use clap::Args;
use schema::RunId;

use super::{Exit, Opened, folder::folder, run_ids::the_only, show, tell};
use crate::{
    batch::{SubmissionFolder, standing::open_submissions},
    config::Sweep,
    ledger::{AttemptFolder, Job, Ledger},
};

/// Print the log of the latest attempt at a run, or of a sweep
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep logs 7f2c            the log of the latest attempt at the run
  sweep logs 7f2c --follow   also what is added, until the attempt ends
  sweep logs 7f2c --all      the logs of all attempts
  sweep logs sweeps/omniglot.toml   the log of the attempt of this sweep that began last")]
pub(super) struct Logs {
    /// Id of a run or its beginning, which `sweep status FILE` and `sweep plan FILE` print; the folder of a run; or a
    /// sweep file
    #[arg(value_name = "RUN|FILE")]
    of: String,
    /// Override a value of the sweep file, as for `sweep run`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print what is added, until the attempt ends
    #[arg(short, long, conflicts_with = "all")]
    follow: bool,
    /// Print the logs of all attempts, the first one first
    #[arg(long)]
    all: bool,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
}

/// Between two looks at a log that is followed.
const PERIOD: Duration = Duration::from_millis(500);

impl Logs {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let ledger = Ledger::new(&self.results);
        let mut attempts = match Path::new(&self.of) {
            file if file.is_file() => self.of_sweep(file, &ledger)?,
            _ => of_run(self.find(&ledger)?, &ledger)?,
        };
        let Some(latest) = attempts.len().checked_sub(1) else {
            return Err(Exit::mistake(format!(
                "nothing was started for `{}` yet{}",
                self.of,
                of_workers(&ledger)?
            )));
        };
        if !self.all {
            attempts.drain(..latest);
        }
        for attempt in &attempts {
            let LoggedAttempt {
                title,
                number,
                folder,
            } = attempt;
            tell(&format!(
                "{title}, attempt {number}: {}",
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
        the_only(&self.of, ledger.runs()?.iter().copied())?.ok_or_else(|| {
            Exit::Mistake(format!(
                "`{}` is neither a file nor the folder of a run, and no run in `{}` has an id that begins with it\nhint: `sweep status FILE` and \
                 `sweep plan FILE` print ids",
                self.of,
                self.results.display(),
            ))
        })
    }

    /// Returns the attempts at the jobs of a sweep, that which began last at the end.
    fn of_sweep(&self, file: &Path, ledger: &Ledger) -> Result<Vec<LoggedAttempt>, Exit> {
        let sweep = Sweep::read(file, &self.overrides)?;
        let opened = Opened::of_results(sweep, ledger.root())?;
        let mut attempts = Vec::new();
        for job in opened.plan.jobs() {
            attempts.extend(of_job(job, &opened.plan.name_of_job(job), ledger)?);
        }
        attempts.sort_by_key(LoggedAttempt::began);
        Ok(attempts)
    }
}

/// Returns where workers of a cluster print what goes wrong before an attempt begins.
fn of_workers(ledger: &Ledger) -> Result<String, Exit> {
    let open = open_submissions(ledger).map_err(Exit::stuck)?;
    let latest = open.last().map(SubmissionFolder::logs);
    Ok(latest.map_or(String::new(), |logs| {
        format!("\nhint: what its workers print is in `{}`", logs.display())
    }))
}

/// An attempt with a log.
struct LoggedAttempt {
    /// What it was to do.
    title: String,
    number: u32,
    folder: AttemptFolder,
}

impl LoggedAttempt {
    /// When it was requested; the earliest time if that is not known.
    fn began(&self) -> SystemTime {
        let written = fs::metadata(self.folder.attempt()).and_then(|file| file.modified());
        written.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Returns the attempts at the jobs of a run, the latest last.
fn of_run(run: RunId, ledger: &Ledger) -> Result<Vec<LoggedAttempt>, Exit> {
    let mut attempts = Vec::new();
    for job in [Job::Train(run), Job::Evaluate(run)] {
        attempts.extend(of_job(job, job.verb(), ledger)?);
    }
    Ok(attempts)
}

fn of_job(job: Job, title: &str, ledger: &Ledger) -> Result<Vec<LoggedAttempt>, Exit> {
    let numbers = 1..=ledger.attempts(job)?;
    let attempt = |number| LoggedAttempt {
        title: title.to_owned(),
        number,
        folder: ledger.attempt_folder(job, number),
    };
    Ok(numbers.map(attempt).collect())
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
