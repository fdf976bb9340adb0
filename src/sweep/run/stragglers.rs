//! Trainers that outlived their orchestrator: ended before another attempt at their jobs can start.
//!
//! A trainer ends itself when its orchestrator dies. One that is stopped, by a signal or with a frozen container, cannot:
//! it would go on when it is continued, and write into the folder of a run that another attempt may have finished. It
//! is known by its command line, which names an attempt in this results folder. Trainers whose process has a living
//! orchestrator are left alone: workers of a batch system may be on the same machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use thiserror::Error;

use crate::ledger::AttemptFolder;

/// A trainer of an earlier orchestrator cannot be ended.
#[derive(Debug, Error)]
#[error("process {process} of an earlier `sweep` still works in `{}`; end it first", folder.display())]
pub struct StragglerError {
    /// The id of the process.
    process: i32,
    /// The results folder.
    folder: PathBuf,
}

/// How long a killed process may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Kills all trainers that work in a results folder and whose orchestrator has ended, and waits for their end. Returns
/// their process ids. The caller holds the [`Lock`](crate::ledger::Lock).
///
/// # Errors
/// One does not end.
pub fn end(results: &Path) -> Result<Vec<i32>, StragglerError> {
    let Ok(folder) = results.canonicalize() else {
        return Ok(Vec::new());
    };
    let found = trainers(&folder);
    for &process in &found {
        kill(process);
    }
    let begun = Instant::now();
    while let Some(&process) = trainers(&folder).first() {
        if begun.elapsed() > ENDS_WITHIN {
            let process = process.as_raw_nonzero().get();
            return Err(StragglerError { process, folder });
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(found
        .into_iter()
        .map(|process| process.as_raw_nonzero().get())
        .collect())
}

/// Returns the processes whose command line names an attempt below a folder that no living process makes.
fn trainers(folder: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| works_in(folder, &entry.path()).unwrap_or(false))
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// True if a process, by its folder in `/proc`, was started with an attempt below a folder that no living process makes.
fn works_in(folder: &Path, process: &Path) -> io::Result<bool> {
    let command = durable::read(&process.join("cmdline"))?;
    let arguments = command.split(|&byte| byte == 0);
    let mut attempts = arguments.filter(|argument| argument.ends_with(b"/attempt.json"));
    let Some(attempt) = attempts.next() else {
        return Ok(false);
    };
    let path = PathBuf::from(String::from_utf8_lossy(attempt).into_owned());
    let path = fs::read_link(process.join("cwd"))?.join(path);
    let path = path.canonicalize()?;
    let attempt = AttemptFolder::at(path.parent().unwrap_or(&path));
    Ok(path.starts_with(folder) && !attempt.is_made_here())
}

/// Kills a process, and its group if it leads one. An error means that it has ended, or shows when it does not end.
fn kill(process: Pid) {
    let leads = getpgid(Some(process)).is_ok_and(|group| group == process);
    let _ = match leads {
        true => kill_process_group(process, Signal::KILL),
        false => kill_process(process, Signal::KILL),
    };
}
