//! The results folder: its layout, and how its files are written and read.
//!
//! ```text
//! results/
//!   LOCK  journal.jsonl  fingerprints.json
//!   data/<data id>/   index.json  images.u8            a prepared data set;
//!                     root                             instead of images.u8, if images are not kept
//!                     prepare/0001/ ...
//!   runs/<run id>/    identity.json                    what the run id is the hash of
//!                     checkpoint.safetensors           while the run trains
//!                     model.safetensors  trained.json  after training
//!                     backbone.pt                      the module of a TorchScript backbone
//!                     record.json  queries.csv         after measuring: metrics, scores per query
//!                     embeddings.safetensors           of the test images, for further metrics
//!                     train/0001/  evaluate/0001/      one folder per attempt:
//!                         attempt.json events.jsonl log.txt exit.json
//!   ensembles/<id>/   record.json  queries.csv         the runs of all folds as an ensemble
//!                     ensemble/0001/ ...
//!   studies/<id>.json                                  the points of a study's trials, in order
//!   sweeps/<name>.toml                                 a sweep as it was last run
//! ```
//!
//! A job is done when its `index.json`, `trained.json` or `record.json` exists, and each of these
//! appears whole or not at all ([`durable`]). The [`journal`] records the order of events and can be
//! lost without harm. Runs belong to no sweep: two sweeps with the same run share it.

pub mod fingerprint;
mod folders;
pub mod journal;
mod lock;
pub mod weights;

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use durable::DiskError;
use schema::{
    DataId, EnsembleId, EnsembleRecord, Failure, Identity, PrepareWork, Record, RunId, StudyId,
    Trained,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use folders::{AttemptFolder, RunFolder};
pub use lock::{Lock, LockError};

use crate::search::TrialPoint;

/// A job that leaves something under `results/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Decode and resize a data set.
    Prepare(DataId),
    /// Train a run.
    Train(RunId),
    /// Measure a run.
    Evaluate(RunId),
    /// Measure the runs of all folds as one.
    Ensemble(EnsembleId),
}

impl Job {
    /// The verb.
    pub fn verb(self) -> &'static str {
        match self {
            Job::Prepare(_) => "prepare",
            Job::Train(_) => "train",
            Job::Evaluate(_) => "evaluate",
            Job::Ensemble(_) => "ensemble",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Job::Prepare(data) => write!(f, "prepare {data}"),
            Job::Train(run) => write!(f, "train {run}"),
            Job::Evaluate(run) => write!(f, "evaluate {run}"),
            Job::Ensemble(ensemble) => write!(f, "ensemble {ensemble}"),
        }
    }
}

/// How an attempt ended; `exit.json` in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExit {
    /// What came of it.
    pub end: AttemptEnd,
    /// The exit code of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It finished, and its result was published.
    Finished,
    /// It was asked to stop, and left a checkpoint.
    Stopped,
    /// It failed.
    Failed {
        /// What kind of failure.
        class: Failure,
        /// One sentence for a person.
        message: String,
    },
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStage {
    /// Nothing is there.
    New,
    /// A checkpoint is there.
    Interrupted,
    /// The trained network is there.
    Trained(Trained),
    /// The result is there.
    Recorded(Record),
}

/// A file under `results/` that cannot be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// A file cannot be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Reading failed.
    #[error("failed to {doing} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It was read, but it is not what it should be.
    #[error("`{}` is damaged: {source}; remove it and its result is made anew", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl LedgerError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LedgerError {
        let path = path.to_owned();
        move |source| LedgerError::Io {
            doing,
            path,
            source,
        }
    }
}

/// The folder `results/`.
#[derive(Clone, Debug)]
pub struct Ledger {
    root: PathBuf,
}

impl Ledger {
    /// The ledger in `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Ledger {
        Ledger { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a prepared data set.
    pub fn data(&self, data: DataId) -> PathBuf {
        self.root.join("data").join(data.to_string())
    }

    /// The folder of a run.
    pub fn run(&self, run: RunId) -> RunFolder {
        RunFolder::at(self.root.join("runs").join(run.to_string()))
    }

    /// The folder of an ensemble.
    pub fn ensemble(&self, ensemble: EnsembleId) -> RunFolder {
        RunFolder::at(self.root.join("ensembles").join(ensemble.to_string()))
    }

    /// What was measured of an ensemble, if it was.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn ensemble_record(
        &self,
        ensemble: EnsembleId,
    ) -> Result<Option<EnsembleRecord>, LedgerError> {
        read_json(&self.ensemble(ensemble).record())
    }

    /// Publishes an ensemble's result.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish_ensemble(
        &self,
        ensemble: EnsembleId,
        record: &EnsembleRecord,
    ) -> Result<(), LedgerError> {
        write_json(&self.ensemble(ensemble).record(), record)
    }

    /// The points of a study's trials that were decided on, by number.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn points_of(&self, study: StudyId) -> Result<Vec<TrialPoint>, LedgerError> {
        Ok(read_json(&self.study(study))?.unwrap_or_default())
    }

    /// Keeps the points of a study's trials, so that they stay what they are when its bounds are edited.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_points(&self, study: StudyId, points: &[TrialPoint]) -> Result<(), LedgerError> {
        write_json(&self.study(study), points)
    }

    fn study(&self, study: StudyId) -> PathBuf {
        self.root.join("studies").join(format!("{study}.json"))
    }

    /// Becomes the only writer, until the lock is dropped.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn lock(&self) -> Result<Lock, LockError> {
        Lock::acquire(&self.root)
    }

    /// Whether a data set is prepared.
    pub fn is_prepared(&self, data: DataId) -> bool {
        self.data(data).join("index.json").is_file()
    }

    /// Tells a prepared data set whose images are not kept where these lie now.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn place_images(&self, data: DataId, source: &Path) -> Result<(), LedgerError> {
        let path = self.data(data).join(PrepareWork::ROOT);
        let now = absolute(source).display().to_string();
        if fs::read_to_string(&path).is_ok_and(|known| known != now) {
            durable::write(&path, now.as_bytes())?;
        }
        Ok(())
    }

    /// Whether a run's trained network is there.
    pub fn has_model(&self, run: RunId) -> bool {
        self.run(run).model().is_file()
    }

    /// All runs that were ever begun.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn runs(&self) -> Result<BTreeSet<RunId>, LedgerError> {
        let folder = self.root.join("runs");
        match fs::read_dir(&folder) {
            Ok(entries) => Ok(entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(LedgerError::io("list", &folder)(error)),
        }
    }

    /// How far a run is.
    ///
    /// # Errors
    /// A file of the run is damaged.
    pub fn state(&self, run: RunId) -> Result<RunStage, LedgerError> {
        let folder = self.run(run);
        if let Some(record) = read_json(&folder.record())? {
            return Ok(RunStage::Recorded(record));
        }
        if let Some(trained) = self.trained(run)?
            && self.has_model(run)
        {
            return Ok(RunStage::Trained(trained));
        }
        Ok(if folder.checkpoint().is_file() {
            RunStage::Interrupted
        } else {
            RunStage::New
        })
    }

    /// How a run's training went, if it has ended.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn trained(&self, run: RunId) -> Result<Option<Trained>, LedgerError> {
        read_json(&self.run(run).trained())
    }

    /// How the latest attempt at a job ended; `None` if there was none or it was cut off.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn last_exit(&self, job: Job) -> Result<Option<AttemptExit>, LedgerError> {
        match self.attempts(job)? {
            0 => Ok(None),
            number => self.exit(job, number),
        }
    }

    /// How an attempt at a job ended; `None` if it was cut off, or is still running.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn exit(&self, job: Job, attempt: u32) -> Result<Option<AttemptExit>, LedgerError> {
        read_json(&self.attempt_folder(job, attempt).exit())
    }

    /// How many attempts at a job there have been.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn attempts(&self, job: Job) -> Result<u32, LedgerError> {
        let folder = self.job_folder(job);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(LedgerError::io("list", &folder)(error)),
        };
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        Ok(numbers.max().unwrap_or(0))
    }

    /// Returns the folder of one attempt, numbered from 1.
    pub fn attempt_folder(&self, job: Job, number: u32) -> AttemptFolder {
        AttemptFolder(self.job_folder(job).join(format!("{number:04}")))
    }

    /// Makes the folder of a new attempt; the number tells which it is.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new_attempt(&self, job: Job) -> Result<(u32, AttemptFolder), LedgerError> {
        let number = self.attempts(job)? + 1;
        let folder = self.attempt_folder(job, number);
        durable::create_folder(folder.path())?;
        Ok((number, folder))
    }

    /// Writes what the run's name is the hash of, so that people and `sweep` can compare runs.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn describe_run(&self, identity: &Identity) -> Result<(), LedgerError> {
        let path = self.run(identity.run()).identity();
        if path.is_file() {
            Ok(())
        } else {
            write_json(&path, identity)
        }
    }

    /// What a run's name is the hash of, as it was written when the run began, maybe by an older program.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn identity(&self, run: RunId) -> Result<Option<serde_json::Value>, LedgerError> {
        read_json(&self.run(run).identity())
    }

    /// The sweep of this name as it was last run.
    pub fn sweep(&self, name: &str) -> PathBuf {
        self.root.join("sweeps").join(format!("{name}.toml"))
    }

    /// Keeps the text of a sweep that is about to run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_sweep(&self, name: &str, text: &str) -> Result<(), LedgerError> {
        let path = self.sweep(name);
        let text = format!("# The sweep as it was last run, with all that it builds on.\n\n{text}");
        Ok(durable::write(&path, text.as_bytes())?)
    }

    /// Publishes that a run is trained.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish_trained(&self, run: RunId, trained: &Trained) -> Result<(), LedgerError> {
        write_json(&self.run(run).trained(), trained)
    }

    /// Removes a network that nothing will be measured on.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_model(&self, run: RunId) -> Result<(), LedgerError> {
        let path = self.run(run).model();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Publishes a run's result.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish_record(&self, record: &Record) -> Result<(), LedgerError> {
        write_json(&self.run(record.run).record(), record)
    }

    fn job_folder(&self, job: Job) -> PathBuf {
        let verb = job.verb();
        match job {
            Job::Prepare(data) => self.data(data).join(verb),
            Job::Train(run) | Job::Evaluate(run) => self.run(run).path().join(verb),
            Job::Ensemble(ensemble) => self.ensemble(ensemble).path().join(verb),
        }
    }
}

/// The path from the root, for a process in whatever folder.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads a JSON file; `None` if it is not there.
///
/// # Errors
/// It cannot be read, or is not what it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, LedgerError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LedgerError::io("read", path)(error)),
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    })
}

/// Writes a JSON file, whole or not at all.
///
/// # Errors
/// It cannot be written.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), LedgerError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    bytes.push(b'\n');
    Ok(durable::write(path, &bytes)?)
}
