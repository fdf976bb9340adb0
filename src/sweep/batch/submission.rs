//! A submission as it is kept in the results folder: `results/slurm/<id>/`.
//!
//! ```text
//! submission.json   the sweep, and what its workers compute on
//! sweep.toml        the sweep file as it was submitted, with all it builds on
//! chunks.json       for each element of the array, the jobs of its worker
//! ```
//!
//! It is written before the batch system hears of it, and never changed: workers may start much later, when the sweep
//! file has been edited.

use std::{
    io,
    path::{Path, PathBuf},
};

use durable::DiskError;
use schema::{Device, Numerics};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ledger::{Job, Ledger, LedgerError, read_json, write_json};

/// The folder of all submissions, in the results folder.
const FOLDER: &str = "slurm";

/// The files of a submission.
const SUBMISSION: &str = "submission.json";
const SWEEP: &str = "sweep.toml";
const CHUNKS: &str = "chunks.json";

/// The version of the files of a submission.
pub const VERSION: u32 = 1;

/// What the workers of one submission have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// See [`VERSION`].
    pub version: u32,
    /// The absolute path of the sweep file. Its text is kept; the files that it names lie beside it.
    pub file: PathBuf,
    /// The absolute path of the folder where `sweep run` was called: all other relative paths begin there.
    pub folder: PathBuf,
    /// The absolute path of the results folder.
    pub results: PathBuf,
    /// The arithmetic of the runs, which is part of their ids.
    pub numerics: Numerics,
    /// What the slots of the workers compute on: the CPU if the chunks only prepare data.
    pub device: Device,
    /// The trainer; none: the one beside `sweep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<PathBuf>,
    /// Jobs of Slurm that are known to have ended, as Slurm writes them: `15`, or `15_3` of an array. What they had
    /// claimed is free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<String>,
}

/// The jobs of each worker, by the number of its chunk.
pub type Chunks = Vec<Vec<Job>>;

/// The folder of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmissionFolder(PathBuf);

/// A submission cannot be read.
#[derive(Debug, Error)]
pub enum SubmissionError {
    /// A file of it cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A file of it is missing.
    #[error("there is no submission in `{}`: it has no `{name}`", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// The file.
        name: &'static str,
    },
    /// Another version of `sweep` has written it.
    #[error("the submission in `{}` is of another version of `sweep`; submit again with this one", folder.display())]
    OtherVersion {
        /// The folder.
        folder: PathBuf,
    },
    /// It has no such chunk.
    #[error("the submission in `{}` has {count} chunks, the first of which is number 0, and no chunk {number}", folder.display())]
    NoChunk {
        /// The folder.
        folder: PathBuf,
        /// The number of chunks.
        count: usize,
        /// The number that was asked for.
        number: usize,
    },
}

impl SubmissionFolder {
    /// Returns the folder of the submission with this id.
    pub fn new(ledger: &Ledger, id: &str) -> SubmissionFolder {
        SubmissionFolder(SubmissionFolder::of_all(ledger).join(id))
    }

    /// Returns the folder of all submissions.
    pub(super) fn of_all(ledger: &Ledger) -> PathBuf {
        ledger.root().join(FOLDER)
    }

    /// Returns the submission's folder at a path.
    pub fn at(path: impl Into<PathBuf>) -> SubmissionFolder {
        SubmissionFolder(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the id of the submission, which is the name of the folder.
    pub fn id(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Writes a submission; `sweep` is the text of the sweep file with all it builds on
    /// ([`resolved`](crate::config::resolved)). `submission.json` is last: it is there if the others are.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(
        &self,
        submission: &Submission,
        sweep: &str,
        chunks: &[Vec<Job>],
    ) -> Result<(), LedgerError> {
        durable::write(&self.sweep(), sweep.as_bytes())?;
        write_json(&self.chunks(), chunks)?;
        write_json(&self.submission(), submission)
    }

    /// Reads what the workers have in common.
    ///
    /// # Errors
    /// There is none, or another version has written it.
    pub fn read(&self) -> Result<Submission, SubmissionError> {
        let found: Option<Submission> = read_json(&self.submission())?;
        let found = found.ok_or_else(|| self.missing(SUBMISSION))?;
        match found.version {
            VERSION => Ok(found),
            _ => Err(SubmissionError::OtherVersion {
                folder: self.0.clone(),
            }),
        }
    }

    /// Reads the text of the sweep file.
    ///
    /// # Errors
    /// There is none.
    pub fn read_sweep(&self) -> Result<String, SubmissionError> {
        match durable::read_to_string(&self.sweep()) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.missing(SWEEP)),
            Err(error) => {
                let unread: LedgerError = DiskError::at("read", &self.sweep())(error).into();
                Err(unread.into())
            }
        }
    }

    /// Reads the jobs of all workers.
    ///
    /// # Errors
    /// There are none.
    pub fn read_chunks(&self) -> Result<Chunks, SubmissionError> {
        let found: Option<Chunks> = read_json(&self.chunks())?;
        found.ok_or_else(|| self.missing(CHUNKS))
    }

    /// Reads the jobs of one worker.
    ///
    /// # Errors
    /// There are none.
    pub fn read_chunk(&self, number: usize) -> Result<Vec<Job>, SubmissionError> {
        let mut chunks = self.read_chunks()?;
        match number < chunks.len() {
            true => Ok(chunks.swap_remove(number)),
            false => Err(SubmissionError::NoChunk {
                folder: self.0.clone(),
                count: chunks.len(),
                number,
            }),
        }
    }

    /// Returns the name of the journal of the worker of a chunk, which Slurm has started again `restarts` times.
    pub fn journal(&self, chunk: usize, restarts: u32) -> String {
        format!("{}-{chunk}-{restarts}", self.id())
    }

    /// Returns the chunk whose worker writes the journal of this name; nothing for that of another submission.
    pub(super) fn chunk_of(&self, journal: &str) -> Option<usize> {
        let rest = journal.strip_prefix(&self.id())?.strip_prefix('-')?;
        rest.split('-').next()?.parse().ok()
    }

    pub(super) fn submission(&self) -> PathBuf {
        self.0.join(SUBMISSION)
    }

    fn chunks(&self) -> PathBuf {
        self.0.join(CHUNKS)
    }

    fn sweep(&self) -> PathBuf {
        self.0.join(SWEEP)
    }

    fn missing(&self, name: &'static str) -> SubmissionError {
        SubmissionError::Missing {
            folder: self.0.clone(),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submission() -> Submission {
        Submission {
            version: VERSION,
            file: "/home/anna/sweeps/birds.toml".into(),
            folder: "/home/anna".into(),
            results: "/home/anna/results".into(),
            numerics: Numerics::Cuda,
            device: Device::Cuda,
            trainer: None,
            ended: vec!["15_3".to_owned()],
        }
    }

    #[test]
    fn a_submission_is_read_as_it_was_written() {
        let root = tempfile::tempdir().unwrap();
        let folder = SubmissionFolder::new(&Ledger::new(root.path()), "7f2c");
        let run = "0123456789abcdef".parse().unwrap();
        let chunks = [vec![Job::Train(run), Job::Evaluate(run)], vec![]];
        folder.write(&submission(), "[sweep]\n", &chunks).unwrap();
        assert_eq!(folder.id(), "7f2c");
        assert_eq!(folder.read().unwrap(), submission());
        assert_eq!(folder.read_sweep().unwrap(), "[sweep]\n");
        assert_eq!(folder.read_chunk(0).unwrap(), chunks[0]);
        let refused = folder.read_chunk(2).unwrap_err().to_string();
        assert!(refused.contains("has 2 chunks"), "{refused}");
    }

    #[test]
    fn the_journal_of_a_worker_tells_its_chunk() {
        let folder = SubmissionFolder::at("results/slurm/7f2c");
        let name = folder.journal(12, 3);
        assert_eq!(name, "7f2c-12-3");
        assert_eq!(folder.chunk_of(&format!("{name}.jsonl")), Some(12));
        assert_eq!(folder.chunk_of("7f2c0-12-3.jsonl"), None);
        assert_eq!(folder.chunk_of("merged-0123456789abcdef.jsonl"), None);
    }

    #[test]
    fn what_is_no_submission_is_refused_with_what_it_lacks() {
        let root = tempfile::tempdir().unwrap();
        let folder = SubmissionFolder::at(root.path());
        let refused = folder.read().unwrap_err().to_string();
        assert!(refused.contains("no `submission.json`"), "{refused}");
        let newer = Submission {
            version: VERSION + 1,
            ..submission()
        };
        folder.write(&newer, "", &[]).unwrap();
        assert!(matches!(
            folder.read(),
            Err(SubmissionError::OtherVersion { .. })
        ));
    }
}
