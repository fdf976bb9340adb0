//! Trainers that outlived their orchestrator: ended before another attempt at their jobs can start.
//!
//! A trainer ends itself when its orchestrator dies. One that is stopped, by a signal or with a frozen container, cannot:
//! it would go on when it is continued, and write into the folder of a run that another attempt may have finished. It
//! is known by its command line, which names this results folder or an attempt in it. Trainers whose process has a living
//! orchestrator are left alone: workers of a batch system may be on the same machine.

use std::{
    ffi::OsStr,
    fs, io, iter,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getpgid, kill_process, kill_process_group};
use thiserror::Error;

use crate::ledger::AttemptFolder;

/// A trainer of an earlier orchestrator cannot be ended.
#[derive(Debug, Error)]
#[error("process {process} of an earlier `sweep` still works in `{}` and does not end when it is killed; end it first, or choose another folder with --results", folder.display())]
pub struct StragglerError {
    /// The id of the process.
    process: i32,
    /// The results folder.
    folder: PathBuf,
}

/// How far up an orchestrator is looked for.
const MOST_ANCESTORS: usize = 20;

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

/// Returns the processes that were started for a results folder or for an attempt in it, and that no living process has
/// use for.
fn trainers(folder: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| works_in(folder, &entry.path()).unwrap_or(false))
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// True if a process, by its folder in `/proc`, was started for a results folder or for an attempt in it, and no living process
/// has use for it.
fn works_in(folder: &Path, process: &Path) -> io::Result<bool> {
    let command = durable::read(&process.join("cmdline"))?;
    let arguments: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
    let serves = arguments
        .iter()
        .position(|&argument| argument == b"--serve");
    let path = match serves {
        Some(at) => arguments.get(at + 2),
        None => arguments
            .iter()
            .find(|argument| argument.ends_with(b"/attempt.json")),
    };
    let Some(path) = path else {
        return Ok(false);
    };
    let path = fs::read_link(process.join("cwd"))?.join(OsStr::from_bytes(path));
    let path = path.canonicalize()?;
    let is_in_use = match serves {
        Some(_) => has_orchestrator(process),
        None => AttemptFolder::at(path.parent().unwrap_or(&path)).is_made_here(),
    };
    Ok(path.starts_with(folder) && !is_in_use)
}

/// True if a process has one like this among its ancestors: processes whose parent has died belong to the system.
fn has_orchestrator(process: &Path) -> bool {
    let name_of = |process: &Path| durable::read(&process.join("comm")).ok();
    let own = name_of(Path::new("/proc/self"));
    let ancestors = iter::successors(parent_of(process), |process| parent_of(process));
    ancestors
        .take(MOST_ANCESTORS)
        .any(|process| name_of(&process) == own)
}

/// Returns the folder in `/proc` of the parent of a process.
fn parent_of(process: &Path) -> Option<PathBuf> {
    let status = durable::read_to_string(&process.join("status")).ok()?;
    let mut fields = status.lines().filter_map(|line| line.strip_prefix("PPid:"));
    let parent: u32 = fields.next()?.trim().parse().ok()?;
    (parent > 0).then(|| PathBuf::from(format!("/proc/{parent}")))
}

/// Kills a process, and its group if it leads one. An error means that it has ended, or shows when it does not end.
fn kill(process: Pid) {
    let leads = getpgid(Some(process)).is_ok_and(|group| group == process);
    let _ = match leads {
        true => kill_process_group(process, Signal::KILL),
        false => kill_process(process, Signal::KILL),
    };
}
