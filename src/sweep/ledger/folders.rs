//! The names of the files in the folders of runs, ensembles and attempts.

use std::path::{Path, PathBuf};

use schema::run_files;

/// The folder of a run or of an ensemble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The run's folder at a path, maybe of a copied or moved results folder.
    pub fn at(path: impl Into<PathBuf>) -> RunFolder {
        RunFolder(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the results folder that contains it: `results` for `results/runs/ID`.
    pub fn results(&self) -> &Path {
        self.0.parent().and_then(Path::parent).unwrap_or(&self.0)
    }

    /// What the run id is the hash of.
    pub fn identity(&self) -> PathBuf {
        self.0.join("identity.json")
    }

    /// The checkpoint of an unfinished training.
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join(run_files::CHECKPOINT)
    }

    /// The trained network.
    pub fn model(&self) -> PathBuf {
        self.0.join(run_files::MODEL)
    }

    /// The summary of the training.
    pub fn trained(&self) -> PathBuf {
        self.0.join("trained.json")
    }

    /// The result.
    pub fn record(&self) -> PathBuf {
        self.0.join("record.json")
    }

    /// The embeddings of the test images.
    pub fn embeddings(&self) -> PathBuf {
        self.0.join(run_files::EMBEDDINGS)
    }

    /// The scores of each query.
    pub fn queries(&self) -> PathBuf {
        self.0.join(run_files::QUERIES)
    }
}

/// The folder of one attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptFolder(PathBuf);

impl AttemptFolder {
    /// The attempt's folder at a path.
    pub fn at(path: impl Into<PathBuf>) -> AttemptFolder {
        AttemptFolder(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The [`Attempt`](schema::Attempt) that the trainer reads.
    pub fn attempt(&self) -> PathBuf {
        self.0.join("attempt.json")
    }

    /// Which process made the attempt; touched as long as it lives.
    pub(super) fn claim(&self) -> PathBuf {
        self.0.join("claim.json")
    }

    /// True if its path has no line break.
    pub fn fits_into_a_line(&self) -> bool {
        !self.0.as_os_str().as_encoded_bytes().contains(&b'\n')
    }

    /// The events that the trainer reported, as it wrote them.
    pub fn events(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    /// The trainer's standard error.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.txt")
    }

    /// The [`AttemptExit`](super::AttemptExit).
    pub fn exit(&self) -> PathBuf {
        self.0.join("exit.json")
    }
}
