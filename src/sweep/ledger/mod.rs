//! The results folder: its layout, and how its files are written and read.
//!
//! ```text
//! results/
//!   LOCK  journal.jsonl  fingerprints.json
//!   data/<data id>/   index.json  images.u8            a prepared data set;
//!                     root                             instead of images.u8, if images are not kept
//!                     dataset.json                     what `sweep data add` had found
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
    Trained, renamed,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

pub use folders::{AttemptFolder, RunFolder};
pub use lock::{Lock, LockError, Locking};

use crate::search::TrialPoint;

/// A job that writes a result under `results/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Decode and resize a data set.
    Prepare(DataId),
    /// Train a run.
    Train(RunId),
    /// Measure a run.
    Evaluate(RunId),
    /// Measure the runs of all folds as an ensemble.
    Ensemble(EnsembleId),
}

impl Job {
    /// Returns its verb, which is also the name of its folder of attempts.
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

/// The end of an attempt and of its process: `exit.json` in the attempt's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExit {
    /// How the attempt ended.
    pub end: AttemptEnd,
    /// The exit code of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It finished, and its result was published.
    Finished,
    /// It stopped on request, after writing a checkpoint.
    Stopped,
    /// It failed.
    Failed {
        /// The class of the failure.
        class: Failure,
        /// One sentence for the user.
        #[serde(deserialize_with = "schema::visible::deserialize")]
        message: String,
    },
}

/// The progress of a run, as its folder shows it.
#[derive(Clone, Debug, PartialEq)]
pub enum RunStage {
    /// It has no files yet.
    New,
    /// It has a checkpoint.
    Interrupted,
    /// It has a trained network.
    Trained(Trained),
    /// It has a result.
    Recorded(Record),
}

/// A file under `results/` cannot be read or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// A file cannot be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Reading failed.
    #[error("failed to {doing} `{}`: {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file has unexpected content.
    #[error("`{}` is damaged: {source}; remove it, and its result is computed again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error in it.
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
    /// Opens the results folder `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Ledger {
        Ledger { root: root.into() }
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a prepared data set.
    pub fn data(&self, data: DataId) -> PathBuf {
        self.root.join("data").join(data.to_string())
    }

    /// Returns the folder of a run.
    pub fn run(&self, run: RunId) -> RunFolder {
        RunFolder::at(self.root.join("runs").join(run.to_string()))
    }

    /// Returns the folder of an ensemble.
    pub fn ensemble(&self, ensemble: EnsembleId) -> RunFolder {
        RunFolder::at(self.root.join("ensembles").join(ensemble.to_string()))
    }

    /// Returns the result of an ensemble; `None` if it is not measured.
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

    /// Returns the points of a study's trials so far, in order.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn points_of(&self, study: StudyId) -> Result<Vec<TrialPoint>, LedgerError> {
        let points: Vec<TrialPoint> = read_json(&self.study(study))?.unwrap_or_default();
        Ok(points.into_iter().map(in_new_spelling).collect())
    }

    /// True if the points of a study's trials are kept.
    pub fn has_points(&self, study: StudyId) -> bool {
        self.study(study).is_file()
    }

    /// Keeps the points of a study's trials, so that they do not change when its bounds are edited.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_points(&self, study: StudyId, points: &[TrialPoint]) -> Result<(), LedgerError> {
        write_json(&self.study(study), points)
    }

    fn study(&self, study: StudyId) -> PathBuf {
        self.root.join("studies").join(format!("{study}.json"))
    }

    /// Makes this process the only writer until the lock is dropped.
    ///
    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn lock(&self, locking: Locking) -> Result<Lock, LockError> {
        Lock::acquire(&self.root, locking)
    }

    /// True if a data set is prepared.
    pub fn is_prepared(&self, data: DataId) -> bool {
        self.data(data).join("index.json").is_file()
    }

    /// Updates the path of the images of a prepared data set that does not keep them.
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

    /// True if a run has a trained network.
    pub fn has_model(&self, run: RunId) -> bool {
        self.run(run).model().is_file()
    }

    /// Returns all runs that were ever started.
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

    /// True if a run has ended: it is measured, or its training is done.
    pub fn has_result(&self, run: RunId) -> bool {
        let folder = self.run(run);
        folder.record().is_file() || folder.trained().is_file()
    }

    /// Returns the progress of a run.
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

    /// Returns the summary of a run's training; `None` if it has not ended.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn trained(&self, run: RunId) -> Result<Option<Trained>, LedgerError> {
        read_json(&self.run(run).trained())
    }

    /// Returns how the latest attempt at a job ended; `None` if there is none, or the orchestrator
    /// died before it.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn last_exit(&self, job: Job) -> Result<Option<AttemptExit>, LedgerError> {
        match self.attempts(job)? {
            0 => Ok(None),
            number => self.exit(job, number),
        }
    }

    /// Returns how an attempt at a job ended; `None` if it is running, or the orchestrator died
    /// before it.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn exit(&self, job: Job, attempt: u32) -> Result<Option<AttemptExit>, LedgerError> {
        read_json(&self.attempt_folder(job, attempt).exit())
    }

    /// Returns the number of attempts at a job so far.
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

    /// Creates the folder of the next attempt and returns its number and the folder.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new_attempt(&self, job: Job) -> Result<(u32, AttemptFolder), LedgerError> {
        let number = self.attempts(job)? + 1;
        let folder = self.attempt_folder(job, number);
        durable::create_folder(folder.path())?;
        Ok((number, folder))
    }

    /// Writes what the run id is the hash of, so that users and `sweep` can compare runs.
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

    /// Returns what a run id is the hash of, as written when the run started, maybe by an older
    /// version.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn identity(&self, run: RunId) -> Result<Option<serde_json::Value>, LedgerError> {
        read_json(&self.run(run).identity())
    }

    /// Returns the path of the sweep of this name as it was last run.
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

    /// Removes a network that will not be measured.
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

/// Returns the absolute path, for a process with another current folder.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Reads a JSON file; `None` if it does not exist.
///
/// # Errors
/// It cannot be read or parsed.
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

/// Returns a point with renamed keys and choices in their new spelling: an earlier version may have
/// written it.
fn in_new_spelling(point: TrialPoint) -> TrialPoint {
    point
        .into_iter()
        .map(|(name, value)| {
            let name = renamed::path_in_new_spelling(&name);
            (name, renamed::in_new_spelling(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn points_of_an_earlier_version_have_the_new_names() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path().to_owned());
        let study = StudyId::of("study");
        let written = TrialPoint::from([
            ("loss.soft_triple.regulariser".to_owned(), json!(0.5)),
            ("loss.margin.boundary".to_owned(), json!("learnt")),
        ]);
        ledger.keep_points(study, &[written]).unwrap();
        let expected = TrialPoint::from([
            ("loss.soft_triple.regularizer".to_owned(), json!(0.5)),
            ("loss.margin.boundary".to_owned(), json!("learned")),
        ]);
        assert_eq!(ledger.points_of(study).unwrap(), [expected]);
    }
}
