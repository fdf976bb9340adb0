//! What became of a submission, as files beside it:
//!
//! ```text
//! script.sh         what Slurm was given
//! accepted.json     the id of its array, once Slurm has told it
//! ended/3.json      written by the worker of chunk 3 as its last act
//! ended/3.full      the same of a worker that has ended because a disk is full, and so could not write more
//! stop              the user asked to stop
//! over              nothing of it can run any more
//! logs/3.txt        what the worker of chunk 3 printed
//! ```
//!
//! A submission without `over` is open. One without `accepted.json` may or may not have reached Slurm: its array is looked
//! for by its name.

use std::{fs, io, path::PathBuf, time::Duration};

use durable::DiskError;
use serde::{Deserialize, Serialize};

use super::submission::SubmissionFolder;
use crate::ledger::{Ledger, LedgerError, read_json, write_json};

/// The exit code of a worker that stopped with checkpoints and asks to be continued.
pub const CONTINUE: u8 = 85;

/// The exit code of a worker that left jobs to other processes.
pub const TAKEN: u8 = 4;

/// The exit code of a worker that could not go on.
pub const STUCK: u8 = 3;

/// How files about the ends of workers are named after their chunks.
const WRITTEN: &str = "json";
const WITHOUT_ROOM: &str = "full";

/// What Slurm answered.
#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    array: u64,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEnd {
    /// Its exit code.
    pub code: u8,
    /// True if it could not work because a disk was full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disk_full: bool,
}

impl WorkerEnd {
    /// The end of a worker that found no room for more than the name of a file.
    const WITHOUT_ROOM: WorkerEnd = WorkerEnd {
        code: STUCK,
        disk_full: true,
    };
}

impl SubmissionFolder {
    /// Returns the name of its array in Slurm.
    pub fn name(&self) -> String {
        format!("sweep-{}", self.id())
    }

    /// Returns the path of the script.
    pub fn script(&self) -> PathBuf {
        self.path().join("script.sh")
    }

    /// Returns the path of what the worker of a chunk printed.
    pub fn log(&self, chunk: usize) -> PathBuf {
        self.logs().join(format!("{chunk}.txt"))
    }

    /// Returns the folder of what its workers print.
    pub fn logs(&self) -> PathBuf {
        self.path().join("logs")
    }

    /// Notes the id of its array.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_accepted(&self, array: u64) -> Result<(), LedgerError> {
        write_json(&self.path().join("accepted.json"), &Accepted { array })
    }

    /// Returns the id of its array, if Slurm has told it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn accepted(&self) -> Result<Option<u64>, LedgerError> {
        let found: Option<Accepted> = read_json(&self.path().join("accepted.json"))?;
        Ok(found.map(|found| found.array))
    }

    /// Notes how the worker of a chunk ended. If the disk is full, it may still have room for an empty file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_end(&self, chunk: usize, end: WorkerEnd) -> Result<(), LedgerError> {
        match write_json(&self.end(chunk, WRITTEN), &end) {
            Err(error) if error.is_disk_full() => {
                Ok(durable::write(&self.end(chunk, WITHOUT_ROOM), b"")?)
            }
            noted => noted,
        }
    }

    /// Returns how the worker of a chunk ended, if it has said so.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn end_of(&self, chunk: usize) -> Result<Option<WorkerEnd>, LedgerError> {
        if self.end(chunk, WITHOUT_ROOM).is_file() {
            return Ok(Some(WorkerEnd::WITHOUT_ROOM));
        }
        read_json(&self.end(chunk, WRITTEN))
    }

    /// Returns the chunks whose workers have said how they ended.
    pub fn ended_chunks(&self) -> Vec<usize> {
        let entries = fs::read_dir(self.path().join("ended"));
        let names = entries.into_iter().flatten().flatten();
        let paths = names.map(|entry| entry.path());
        let whole = paths.filter(|path| {
            let extension = path.extension();
            extension.is_some_and(|end| end == WRITTEN || end == WITHOUT_ROOM)
        });
        whole
            .filter_map(|path| path.file_stem()?.to_str()?.parse().ok())
            .collect()
    }

    /// Asks the session that watches over the submission to stop.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn ask_to_stop(&self) -> Result<(), LedgerError> {
        Ok(durable::write(&self.path().join("stop"), b"")?)
    }

    /// Forgets that the user asked to stop: someone watches over it again.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn forget_to_stop(&self) -> Result<(), LedgerError> {
        let path = self.path().join("stop");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DiskError::at("remove", &path)(error).into())
            }
            _ => Ok(()),
        }
    }

    /// True if the user asked to stop.
    pub fn is_to_stop(&self) -> bool {
        self.path().join("stop").is_file()
    }

    /// Notes that nothing of it can run any more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn close(&self) -> Result<(), LedgerError> {
        Ok(durable::write(&self.path().join("over"), b"")?)
    }

    /// True if nothing of it can run any more.
    pub fn is_over(&self) -> bool {
        self.path().join("over").is_file()
    }

    fn end(&self, chunk: usize, extension: &str) -> PathBuf {
        let name = format!("{chunk}.{extension}");
        self.path().join("ended").join(name)
    }
}

/// Returns the submissions of a results folder that may still run, in the order of their ids.
///
/// # Errors
/// The folder cannot be read.
pub fn open_submissions(ledger: &Ledger) -> io::Result<Vec<SubmissionFolder>> {
    let mut open = submissions(ledger)?;
    open.retain(|folder| !folder.is_over());
    Ok(open)
}

/// Returns the submissions that were closed within a time.
///
/// # Errors
/// The folder cannot be read.
pub fn closed_lately(ledger: &Ledger, within: Duration) -> io::Result<Vec<SubmissionFolder>> {
    let is_recent = |folder: &SubmissionFolder| {
        let closed = fs::metadata(folder.path().join("over")).and_then(|file| file.modified());
        closed.is_ok_and(|closed| closed.elapsed().unwrap_or_default() < within)
    };
    let mut closed = submissions(ledger)?;
    closed.retain(is_recent);
    Ok(closed)
}

fn submissions(ledger: &Ledger) -> io::Result<Vec<SubmissionFolder>> {
    let entries = match fs::read_dir(SubmissionFolder::of_all(ledger)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let folder = SubmissionFolder::at(entry?.path());
        // Without this file, it was never written to its end, and Slurm has not heard of it.
        if folder.submission().is_file() {
            found.push(folder);
        }
    }
    found.sort_by_key(SubmissionFolder::id);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_submission_is_open_until_it_is_closed() {
        let root = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(root.path());
        assert!(open_submissions(&ledger).unwrap().is_empty());
        let folder = SubmissionFolder::new(&ledger, "7f2c");
        fs::create_dir_all(folder.path()).unwrap();
        assert!(open_submissions(&ledger).unwrap().is_empty());
        fs::write(folder.path().join("submission.json"), "{}").unwrap();
        assert_eq!(open_submissions(&ledger).unwrap().len(), 1);
        assert_eq!(folder.accepted().unwrap(), None);
        folder.note_accepted(15).unwrap();
        let stopped = WorkerEnd {
            code: 85,
            disk_full: false,
        };
        folder.note_end(3, stopped).unwrap();
        assert_eq!(folder.accepted().unwrap(), Some(15));
        assert_eq!(folder.ended_chunks(), [3]);
        assert_eq!(folder.end_of(3).unwrap(), Some(stopped));
        let read = read_json::<Value>(&folder.end(3, WRITTEN)).unwrap();
        assert_eq!(read, Some(json!({ "code": 85 })));
        folder.close().unwrap();
        let closed = closed_lately(&ledger, Duration::from_secs(60));
        assert_eq!(closed.unwrap(), [folder]);
        assert!(open_submissions(&ledger).unwrap().is_empty());
    }

    #[test]
    fn an_empty_file_tells_of_a_worker_that_found_no_room() {
        let root = tempfile::tempdir().unwrap();
        let folder = SubmissionFolder::at(root.path());
        fs::create_dir(root.path().join("ended")).unwrap();
        fs::write(folder.end(2, WITHOUT_ROOM), "").unwrap();
        assert_eq!(folder.ended_chunks(), [2]);
        let end = folder.end_of(2).unwrap().unwrap();
        assert!(end.disk_full && end.code == STUCK, "{end:?}");
    }
}
