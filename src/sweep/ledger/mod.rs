//! The results folder: its layout, and how its files are written and read.
//!
//! ```text
//! results/
//!   LOCK  journal.jsonl  fingerprints.json  learned.json
//!   journal/<submission>-<chunk>-<restart>.jsonl       what a worker of a batch system did
//!   slurm/<submission>/  submission.json  sweep.toml  chunks.json
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
//!                         claim.json attempt.json events.jsonl log.txt exit.json
//!   ensembles/<id>/   record.json  queries.csv         the runs of all folds as an ensemble
//!                     ensemble/0001/ ...
//!   scripts/<sha-256>.pt                               losses and miners of the user
//!   studies/<id>.json                                  the points of a study's trials, in order
//!   sweeps/<name>.toml                                 a sweep as it was last run
//!   cache/<kind>.bin                                   what was read of many results
//! ```
//!
//! A job is done when its `index.json`, `trained.json` or `record.json` exists, and each of these
//! appears whole or not at all ([`durable`]). JSON files are sealed by a hash of their content, and
//! vouch for the files beside them. A damaged file counts as absent: it is noted ([`Damage`]), and its
//! result is computed again. The [`journal`] records the order of events and can be lost without harm.
//! Runs belong to no sweep: two sweeps with the same run share it.
//!
//! One orchestrator at a time holds the [`Lock`]. Workers of a batch system do not, and there may be many. Each has a
//! journal of its own and writes nothing else but what belongs to the jobs that it has [claimed](Claim).

mod at_work;
mod attempts;
mod cache;
mod claim;
mod damage;
pub mod fingerprint;
mod folders;
mod inventory;
pub mod journal;
mod lock;
mod memo;
mod merge;
mod rebuild;
mod soundness;
mod spare;
mod vouched;
pub mod weights;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use attempts::Attempts;
pub use attempts::{AttemptEnd, AttemptExit, Cause};
pub use claim::{Claim, Claimant, Claimed};
use durable::{DiskError, Turn};
use schema::{
    BrokenSeal, DataId, EnsembleId, EnsembleRecord, Identity, Outcome, PrepareWork, PreparedIndex,
    Record, RunId, SCHEMA, ScriptFile, StudyId, Trained, has_seal, renamed, run_files, sealed,
    sealed_content, unsealed,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;

use cache::Cached;
pub use damage::Damage;
use damage::{DamageLog, DamagedKind};
pub use folders::{AttemptFolder, RunFolder};
pub use inventory::{FileKind, FoundFile};
pub use lock::{Holder, Lock, LockError, Locking};
use memo::Memo;
pub use merge::{Conflict, Counts, Merged};
pub use soundness::{Scope, Soundness};
pub use spare::Spare;
pub use vouched::Check;
use vouched::{FileHash, Vouched};
pub use writer::{SlurmJob, Writer};

use crate::search::TrialPoint;

/// A job that writes a result under `results/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// A kind of jobs; kinds are in the order in which jobs need each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// [`Job::Prepare`].
    Prepare,
    /// [`Job::Train`].
    Train,
    /// [`Job::Evaluate`].
    Evaluate,
    /// [`Job::Ensemble`].
    Ensemble,
}

impl Job {
    /// Returns its kind.
    pub fn kind(self) -> JobKind {
        match self {
            Job::Prepare(_) => JobKind::Prepare,
            Job::Train(_) => JobKind::Train,
            Job::Evaluate(_) => JobKind::Evaluate,
            Job::Ensemble(_) => JobKind::Ensemble,
        }
    }

    /// Returns its verb, which is also the name of its folder of attempts.
    pub fn verb(self) -> &'static str {
        self.kind().verb()
    }

    /// Returns the run that it trains or measures; nothing if it is of no single run.
    pub fn run(self) -> Option<RunId> {
        match self {
            Job::Train(run) | Job::Evaluate(run) => Some(run),
            Job::Prepare(_) | Job::Ensemble(_) => None,
        }
    }
}

impl JobKind {
    /// Returns the verb of its jobs.
    pub fn verb(self) -> &'static str {
        match self {
            JobKind::Prepare => "prepare",
            JobKind::Train => "train",
            JobKind::Evaluate => "evaluate",
            JobKind::Ensemble => "ensemble",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.verb();
        match self {
            Job::Prepare(data) => write!(f, "{verb} {data}"),
            Job::Train(run) | Job::Evaluate(run) => write!(f, "{verb} {run}"),
            Job::Ensemble(ensemble) => write!(f, "{verb} {ensemble}"),
        }
    }
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
    /// True if another process has claimed the job in the meantime.
    pub fn is_superseded(&self) -> bool {
        match self {
            LedgerError::Disk(error) => error.is_superseded(),
            LedgerError::Io { .. } | LedgerError::Damaged { .. } => false,
        }
    }

    /// True if there is no space left for a file.
    pub fn is_disk_full(&self) -> bool {
        match self {
            LedgerError::Disk(error) => error.is_full(),
            LedgerError::Io { .. } | LedgerError::Damaged { .. } => false,
        }
    }

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
    /// The runs that were ever started.
    runs: Memo<(), BTreeSet<RunId>>,
    /// The turn in which results are published, if processes take turns at them.
    turn: Option<Turn>,
    damage: DamageLog,
    trainings: Cached<RunId, Vouched<Trained>>,
    records: Cached<RunId, Vouched<Record>>,
    /// Those that are what the ids of their runs are hashes of.
    identities: Cached<RunId, ()>,
    /// The scores of queries that are as they were when a run was measured.
    queries: Memo<(RunId, Check), ()>,
    attempts: Cached<Job, Attempts>,
    /// The ends of attempts by their numbers, but for those among the attempts.
    exits: Cached<(Job, u32), AttemptExit>,
}

/// The points of a study's trials, as they are kept.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeptPoints {
    Sealed {
        points: Vec<TrialPoint>,
    },
    /// As an earlier version kept them.
    Bare(Vec<TrialPoint>),
}

impl Ledger {
    /// Opens the results folder `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Ledger {
        Ledger {
            root: root.into(),
            runs: Memo::default(),
            turn: None,
            damage: DamageLog::default(),
            trainings: Cached::default(),
            records: Cached::default(),
            identities: Cached::default(),
            queries: Memo::default(),
            attempts: Cached::default(),
            exits: Cached::default(),
        }
    }

    /// Opens the results folder `root` with what earlier commands have [kept](Self::keep_read).
    pub fn with_cache(root: impl Into<PathBuf>) -> Ledger {
        let ledger = Ledger::new(root);
        let file = |name: &str| ledger.root.join("cache").join(name);
        Ledger {
            trainings: Cached::at(file("trainings.bin")),
            records: Cached::at(file("records.bin")),
            identities: Cached::at(file("identities.bin")),
            attempts: Cached::at(file("attempts.bin")),
            exits: Cached::at(file("exits.bin")),
            ..ledger
        }
    }

    /// Returns a ledger of the same folder that reads all files itself, each once.
    #[must_use]
    pub fn anew(&self) -> Ledger {
        let mut ledger = Ledger::new(&self.root);
        ledger.freeze();
        ledger
    }

    /// Keeps what was read of many results, so that later commands need not read them again while they do not change.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn keep_read(&self) -> Result<(), LedgerError> {
        /// Nobody notices how long it takes to read less.
        const LEAST: usize = 1_000;
        self.keep_at_least(LEAST)
    }

    fn keep_at_least(&self, least: usize) -> Result<(), LedgerError> {
        let runs = self.runs()?;
        let is_there = |run: RunId| runs.contains(&run);
        let has_run = |job: Job| job.run().is_some_and(is_there);
        self.trainings.keep(least, is_there)?;
        self.records.keep(least, is_there)?;
        self.identities.keep(least, is_there)?;
        self.attempts.keep(least, has_run)?;
        self.exits.keep(least, |(job, _)| has_run(job))?;
        Ok(())
    }

    /// Reads the results of each run once from now on: what changes meanwhile is not seen.
    pub fn freeze(&mut self) {
        self.set_frozen(true);
    }

    /// Notices changes from now on.
    pub fn thaw(&mut self) {
        self.set_frozen(false);
    }

    fn set_frozen(&mut self, is_frozen: bool) {
        self.runs.set_frozen(is_frozen);
        self.trainings.set_frozen(is_frozen);
        self.records.set_frozen(is_frozen);
        self.identities.set_frozen(is_frozen);
        self.queries.set_frozen(is_frozen);
        self.attempts.set_frozen(is_frozen);
        self.exits.set_frozen(is_frozen);
    }

    /// Returns the same ledger for publishing results of a job that this process has claimed: that fails once another
    /// process has claimed it ([`LedgerError::is_superseded`]).
    #[must_use]
    pub fn in_turn_of(&self, claim: &Claim) -> Ledger {
        Ledger {
            turn: Some(claim.turn().clone()),
            ..self.clone()
        }
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a prepared data set.
    pub fn data(&self, data: DataId) -> PathBuf {
        self.folder_named("data", &data)
    }

    /// Returns the folder of a run.
    pub fn run(&self, run: RunId) -> RunFolder {
        RunFolder::at(self.folder_named("runs", &run))
    }

    /// Returns the folder of an ensemble.
    pub fn ensemble(&self, ensemble: EnsembleId) -> RunFolder {
        RunFolder::at(self.folder_named("ensembles", &ensemble))
    }

    fn folder_named(&self, kind: &str, id: &dyn fmt::Display) -> PathBuf {
        let mut path = PathBuf::with_capacity(self.root.as_os_str().len() + 32);
        path.extend([self.root.as_path(), kind.as_ref()]);
        path.push(id.to_string());
        path
    }

    /// Returns the result of an ensemble; `None` if it is not measured.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn ensemble_record(
        &self,
        ensemble: EnsembleId,
    ) -> Result<Option<EnsembleRecord>, LedgerError> {
        let found = self.vouched_ensemble(ensemble)?;
        Ok(found.map(|found| found.result))
    }

    fn vouched_ensemble(
        &self,
        ensemble: EnsembleId,
    ) -> Result<Option<Vouched<EnsembleRecord>>, LedgerError> {
        let path = self.ensemble(ensemble).record();
        let found: Option<Vouched<EnsembleRecord>> =
            self.read_sealed(&path, &subject::ensemble(ensemble))?;
        Ok(found.filter(|found| {
            let is_own = EnsembleId::of(&found.result.runs) == ensemble;
            is_own || self.is_damaged(&path, "it is the result of another ensemble")
        }))
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
        let folder = self.ensemble(ensemble);
        let vouched = vouch(record, &folder, &[run_files::QUERIES])?;
        self.publish(&folder.record(), &subject::ensemble(ensemble), &vouched)
    }

    /// Returns the points of a study's trials so far, in order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn points_of(&self, study: StudyId) -> Result<Vec<TrialPoint>, LedgerError> {
        let kept = self.read_sealed(&self.study(study), &subject::study(study))?;
        let points = match kept {
            Some(KeptPoints::Sealed { points } | KeptPoints::Bare(points)) => points,
            None => Vec::new(),
        };
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
        let kept = KeptPoints::Sealed {
            points: points.to_vec(),
        };
        write_sealed(&self.study(study), &subject::study(study), &kept)
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

    /// True if a data set is prepared, and its images are there.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn is_prepared(&self, data: DataId, check: Check) -> Result<bool, LedgerError> {
        let folder = self.data(data);
        let path = folder.join(PrepareWork::INDEX);
        let Some(bytes) = self.read(&path)? else {
            return Ok(false);
        };
        let Some(index) = self.unsealed::<Value>(&path, PreparedIndex::SUBJECT, &bytes) else {
            return Ok(false);
        };
        let images = folder.join(PrepareWork::IMAGES);
        match serde_json::from_value::<PreparedIndex>(index) {
            // Another trainer than ours prepared it, in its own way.
            Err(_) => Ok(true),
            Ok(index) if index.bytes.is_some() && !has_seal(&bytes) => {
                Ok(self.is_damaged(&path, "it has no checksum"))
            }
            Ok(index) if index.id().is_some_and(|id| id != data) => {
                Ok(self.is_damaged(&path, "it describes another data set"))
            }
            Ok(PreparedIndex { files: Some(_), .. }) => {
                Ok(folder.join(PrepareWork::ROOT).is_file())
            }
            Ok(PreparedIndex {
                bytes: Some(bytes),
                blake3,
                ..
            }) => {
                let hash = FileHash { bytes, blake3 };
                self.is_whole(&images, &hash, check, DamagedKind::Images)
            }
            // An earlier version did not note the size.
            Ok(PreparedIndex { bytes: None, .. }) => Ok(images.is_file()),
        }
    }

    /// Returns the bytes of the images of a prepared data set; nothing if it is not prepared, or if its images are not
    /// kept in its folder.
    pub fn bytes_of_images(&self, data: DataId) -> Option<u64> {
        let path = self.data(data).join(PrepareWork::INDEX);
        let index: Option<PreparedIndex> = read_json(&path).ok()?;
        index?.bytes
    }

    /// Updates the path of the images of a prepared data set that does not keep them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn place_images(&self, data: DataId, source: &Path) -> Result<(), LedgerError> {
        let path = self.data(data).join(PrepareWork::ROOT);
        let now = absolute(source).display().to_string();
        if durable::read_to_string(&path).is_ok_and(|known| known != now) {
            durable::write(&path, now.as_bytes())?;
        }
        Ok(())
    }

    /// True if a run has a trained network.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn has_model(&self, run: RunId, check: Check) -> Result<bool, LedgerError> {
        match self.vouched_training(run)? {
            Some(trained) => self.has_model_of(run, &trained, check),
            None => Ok(false),
        }
    }

    fn has_model_of(
        &self,
        run: RunId,
        trained: &Vouched<Trained>,
        check: Check,
    ) -> Result<bool, LedgerError> {
        let folder = self.run(run);
        // Earlier versions did not vouch for it.
        let is_there = trained.files.contains_key(run_files::MODEL) || folder.model().is_file();
        Ok(is_there && self.are_whole(&folder, &trained.files, check)?)
    }

    /// True if the scores of each query are there as they were when a run was measured. Earlier versions
    /// did not note how they were.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn has_queries(&self, run: RunId, check: Check) -> Result<bool, LedgerError> {
        let Some(record) = self.vouched_record(run)? else {
            return Ok(false);
        };
        if record.files.is_empty() {
            return Ok(true);
        }
        let folder = || self.run(run).path().to_owned();
        let whole = self.queries.get((run, check), folder, |_| {
            let are_whole = self.are_whole(&self.run(run), &record.files, check)?;
            Ok::<_, LedgerError>((None, are_whole.then_some(())))
        });
        Ok(whole?.is_some())
    }

    /// The same of an ensemble.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn has_ensemble_queries(
        &self,
        ensemble: EnsembleId,
        check: Check,
    ) -> Result<bool, LedgerError> {
        let Some(record) = self.vouched_ensemble(ensemble)? else {
            return Ok(false);
        };
        self.are_whole(&self.ensemble(ensemble), &record.files, check)
    }

    fn are_whole(
        &self,
        folder: &RunFolder,
        files: &BTreeMap<String, FileHash>,
        check: Check,
    ) -> Result<bool, LedgerError> {
        for (name, hash) in files {
            let path = folder.path().join(name);
            if !self.is_whole(&path, hash, check, DamagedKind::Result)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// True if a file has the content that another file vouches for. Damage is noted.
    fn is_whole(
        &self,
        path: &Path,
        hash: &FileHash,
        check: Check,
        kind: DamagedKind,
    ) -> Result<bool, LedgerError> {
        match hash.fault(path, check) {
            Ok(None) => Ok(true),
            Ok(Some(why)) => {
                self.damage.note(path, why, kind);
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LedgerError::io("read", path)(error)),
        }
    }

    /// Returns all runs that were ever started.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn runs(&self) -> Result<Arc<BTreeSet<RunId>>, LedgerError> {
        let found = self.runs.get((), PathBuf::new, |_| {
            let runs: BTreeSet<RunId> = self.ids_in("runs", "")?;
            Ok::<_, LedgerError>((None, Some(runs)))
        });
        found.map(Option::unwrap_or_default)
    }

    /// True if anything was ever kept in the folder: then it has a journal, runs or a lock, which no other folder has.
    pub fn has_begun(&self) -> bool {
        let parts = ["runs", "LOCK", "journal.jsonl", "journal"];
        parts.iter().any(|part| self.root.join(part).exists())
    }

    /// Returns the ids after which the entries of a folder are named, with this ending.
    fn ids_in<I: FromStr, C: FromIterator<I>>(
        &self,
        folder: &str,
        ending: &str,
    ) -> Result<C, LedgerError> {
        let folder = self.root.join(folder);
        match fs::read_dir(&folder) {
            Ok(entries) => Ok(entries
                .filter_map(|entry| {
                    let name = entry.ok()?.file_name();
                    name.to_str()?.strip_suffix(ending)?.parse().ok()
                })
                .collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(C::from_iter([])),
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
    /// A file of the run cannot be read.
    pub fn state(&self, run: RunId) -> Result<RunStage, LedgerError> {
        if let Some(record) = self.vouched_record(run)? {
            return Ok(RunStage::Recorded(record.result.clone()));
        }
        if let Some(trained) = self.vouched_training(run)?
            && self.has_model_of(run, &trained, Check::Sizes)?
        {
            return Ok(RunStage::Trained(trained.result.clone()));
        }
        Ok(if self.run(run).checkpoint().is_file() {
            RunStage::Interrupted
        } else {
            RunStage::New
        })
    }

    fn vouched_record(&self, run: RunId) -> Result<Option<Arc<Vouched<Record>>>, LedgerError> {
        let path = || self.run(run).record();
        self.records.get(run, path, |path| {
            let subject = subject::record(run);
            self.read_with_metadata(path, |bytes| {
                let found = self.intact(path, Vouched::<Record>::unsealed(&subject, bytes));
                found.filter(|found| {
                    let is_own = found.result.run == run;
                    is_own || self.is_damaged(path, "it is the result of another run")
                })
            })
        })
    }

    /// True if a run is trained or measured, by files that are intact.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn has_ended(&self, run: RunId) -> Result<bool, LedgerError> {
        let is_trained = self.vouched_training(run)?.is_some();
        Ok(is_trained || self.vouched_record(run)?.is_some())
    }

    /// True if a run has scores.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn has_scores(&self, run: RunId) -> Result<bool, LedgerError> {
        let record = self.vouched_record(run)?;
        Ok(record.is_some_and(|found| matches!(found.result.outcome, Outcome::Finished(_))))
    }

    /// True if a run learned nothing in most steps of its training.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn was_mostly_idle(&self, run: RunId) -> Result<bool, LedgerError> {
        let trained = self.vouched_training(run)?;
        Ok(trained.is_some_and(|found| found.result.was_mostly_idle()))
    }

    /// Returns the summary of a run's training; `None` if it has not ended.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn trained(&self, run: RunId) -> Result<Option<Trained>, LedgerError> {
        let found = self.vouched_training(run)?;
        Ok(found.map(|found| found.result.clone()))
    }

    fn vouched_training(&self, run: RunId) -> Result<Option<Arc<Vouched<Trained>>>, LedgerError> {
        let path = || self.run(run).trained();
        self.trainings.get(run, path, |path| {
            let subject = subject::training(run);
            self.read_with_metadata(path, |bytes| {
                self.intact(path, Vouched::unsealed(&subject, bytes))
            })
        })
    }

    /// Writes what the run id is the hash of, so that users and `sweep` can compare runs. A power cut may lose it: the
    /// plan can write it again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn describe_run(&self, identity: &Identity) -> Result<(), LedgerError> {
        let run = identity.run();
        if self.identity(run)?.is_some() {
            return Ok(());
        }
        let path = self.run(run).identity();
        let text = sealed_text(&path, &subject::identity(run), identity)?;
        Ok(durable::write_soon(&path, text.as_bytes())?)
    }

    /// Returns the folder of the modules of losses and miners.
    pub fn scripts(&self) -> PathBuf {
        self.root.join("scripts")
    }

    /// True if the content of the module in this file is the one of its name.
    fn is_whole_script(path: &Path) -> io::Result<bool> {
        let file = durable::open(path).and_then(ScriptFile::of)?;
        Ok(path.file_name() == Some(file.file_name().as_ref()))
    }

    /// Keeps the module in a file with this content, so that runs can be repeated without it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_script(&self, file: &ScriptFile, content: &[u8]) -> Result<(), LedgerError> {
        let path = self.scripts().join(file.file_name());
        let kept = durable::open(&path).and_then(ScriptFile::of);
        if kept.is_ok_and(|kept| kept == *file) {
            return Ok(());
        }
        Ok(durable::write(&path, content)?)
    }

    /// Returns what a run id is the hash of, as written when the run started, maybe by an older
    /// version.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn identity(&self, run: RunId) -> Result<Option<Value>, LedgerError> {
        let path = self.run(run).identity();
        let bytes = self.read(&path)?;
        Ok(bytes.and_then(|bytes| self.identity_in(&bytes, run, &path)))
    }

    fn identity_in(&self, bytes: &[u8], run: RunId, path: &Path) -> Option<Value> {
        let found: Option<Value> = self.unsealed(path, &subject::identity(run), bytes);
        found.filter(|found| {
            is_identity_of(run, found) || self.is_damaged(path, "its hash is not the id of the run")
        })
    }

    /// True if the identity of a run is there and intact. Damage is noted.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn has_identity(&self, run: RunId) -> Result<bool, LedgerError> {
        let path = || self.run(run).identity();
        let checked = self.identities.get(run, path, |path| {
            self.read_with_metadata(path, |bytes| {
                // The id is the hash of the very text.
                let content = sealed_content(&subject::identity(run), bytes);
                match content.is_some_and(|text| RunId::of_canonical_json(&text) == run) {
                    true => Some(()),
                    false => self.identity_in(bytes, run, path).map(drop),
                }
            })
        });
        Ok(checked?.is_some())
    }

    /// Returns the path of the sweep of this name as it was last run.
    pub fn sweep(&self, name: &str) -> PathBuf {
        self.root.join("sweeps").join(format!("{name}.toml"))
    }

    /// Returns the path of the file with what is known of the memory and the speed of runs that share GPUs.
    pub fn learned(&self) -> PathBuf {
        self.root.join("learned.json")
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

    /// Publishes that a run is trained, with its network.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish_trained(&self, run: RunId, trained: &Trained) -> Result<(), LedgerError> {
        let folder = self.run(run);
        let vouched = vouch(trained, &folder, &[run_files::MODEL, run_files::SCRIPT])?;
        self.publish(&folder.trained(), &subject::training(run), &vouched)
    }

    /// Publishes that a trial is trained. Its validation scores are its result: no network is kept.
    ///
    /// # Errors
    /// A file cannot be written or removed.
    pub fn publish_trial(&self, run: RunId, trained: &Trained) -> Result<(), LedgerError> {
        let folder = self.run(run);
        let vouched = vouch(trained, &folder, &[])?;
        self.publish(&folder.trained(), &subject::training(run), &vouched)?;
        self.remove_network(run)
    }

    /// Removes the network of a trial that is published.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_network(&self, run: RunId) -> Result<(), LedgerError> {
        remove(&self.run(run).model())
    }

    /// Removes the checkpoint of a training whose end is published.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove_checkpoint(&self, run: RunId) -> Result<(), LedgerError> {
        remove(&self.run(run).checkpoint())
    }

    /// Publishes a run's result.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish_record(&self, record: &Record) -> Result<(), LedgerError> {
        let folder = self.run(record.run);
        let vouched = vouch(record, &folder, &[run_files::QUERIES])?;
        self.publish(&folder.record(), &subject::record(record.run), &vouched)
    }

    /// Writes a sealed result, whole or not at all.
    fn publish<T: Serialize>(
        &self,
        path: &Path,
        subject: &str,
        result: &T,
    ) -> Result<(), LedgerError> {
        let text = sealed_text(path, subject, result)?;
        match &self.turn {
            Some(turn) => durable::write_in_turn(path, text.as_bytes(), turn)?,
            None => durable::write(path, text.as_bytes())?,
        }
        Ok(())
    }

    /// Returns the damaged files that were found so far.
    pub fn damage(&self) -> Vec<Damage> {
        self.damage.all()
    }

    /// Renames or removes the damaged files that were found so far, so that new ones can take their place.
    /// Returns them with their new paths. The caller holds the [`Lock`].
    ///
    /// # Errors
    /// A file cannot be renamed or removed.
    pub fn set_damage_aside(&self) -> Result<Vec<(Damage, Option<PathBuf>)>, LedgerError> {
        let mut set_aside = Vec::new();
        for damage in self.damage() {
            let path = damage.set_aside()?;
            self.damage.forget(&damage.path);
            set_aside.push((damage, path));
        }
        Ok(set_aside)
    }

    /// Notes that a file is damaged. Returns false, which is whether it can be used.
    fn is_damaged(&self, path: &Path, why: impl fmt::Display) -> bool {
        self.damage.note(path, why, DamagedKind::Result);
        false
    }

    /// Reads a sealed file; `None` if it does not exist or is damaged.
    fn read_sealed<T: Serialize + DeserializeOwned>(
        &self,
        path: &Path,
        subject: &str,
    ) -> Result<Option<T>, LedgerError> {
        let bytes = self.read(path)?;
        Ok(bytes.and_then(|bytes| self.unsealed(path, subject, &bytes)))
    }

    /// Reads a file; `None` if it does not exist or is no file.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, LedgerError> {
        self.found(path, durable::read(path))
    }

    /// Reads what a file is, and parses its content.
    fn read_with_metadata<T>(
        &self,
        path: &Path,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<(Option<Metadata>, Option<T>), LedgerError> {
        let found = self.found(path, durable::read_with_metadata(path))?;
        let (bytes, metadata) = found.unzip();
        Ok((metadata, bytes.and_then(|bytes| parse(&bytes))))
    }

    fn found<T>(&self, path: &Path, read: io::Result<T>) -> Result<Option<T>, LedgerError> {
        match read {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.damage.note(path, error, DamagedKind::Result);
                Ok(None)
            }
            Err(error) => Err(LedgerError::io("read", path)(error)),
        }
    }

    /// Returns the content of a sealed file; `None` if it is damaged.
    fn unsealed<T: Serialize + DeserializeOwned>(
        &self,
        path: &Path,
        subject: &str,
        bytes: &[u8],
    ) -> Option<T> {
        self.intact(path, unsealed(subject, bytes))
    }

    /// Returns the content of a sealed file; damage is noted.
    fn intact<T>(&self, path: &Path, content: Result<T, BrokenSeal>) -> Option<T> {
        match content {
            Ok(content) => Some(content),
            Err(why) => {
                self.damage.note(path, why, DamagedKind::Result);
                None
            }
        }
    }

    /// Returns the folder of what a job makes.
    pub fn folder_of(&self, job: Job) -> PathBuf {
        match job {
            Job::Prepare(data) => self.data(data),
            Job::Train(run) | Job::Evaluate(run) => self.run(run).path().to_owned(),
            Job::Ensemble(ensemble) => self.ensemble(ensemble).path().to_owned(),
        }
    }
}

/// The subjects of sealed files.
mod subject {
    use super::{EnsembleId, Job, RunId, StudyId};

    pub(super) fn record(run: RunId) -> String {
        format!("record {run}")
    }

    pub(super) fn training(run: RunId) -> String {
        format!("training {run}")
    }

    pub(super) fn identity(run: RunId) -> String {
        format!("identity {run}")
    }

    pub(super) fn ensemble(ensemble: EnsembleId) -> String {
        format!("ensemble {ensemble}")
    }

    pub(super) fn study(study: StudyId) -> String {
        format!("study {study}")
    }

    pub(super) fn exit(job: Job, attempt: u32) -> String {
        format!("exit {job} {attempt}")
    }

    pub(super) const FINGERPRINTS: &str = "fingerprints";
}

/// True if an identity is that of a run. The ids of other versions are hashes of something else.
fn is_identity_of(run: RunId, identity: &Value) -> bool {
    if identity["schema"].as_u64() != Some(u64::from(SCHEMA)) {
        return true;
    }
    serde_json::from_value::<Identity>(identity.clone()).is_ok_and(|identity| identity.run() == run)
}

fn vouch<'a, T>(
    result: &'a T,
    folder: &RunFolder,
    names: &[&str],
) -> Result<Vouched<&'a T>, LedgerError> {
    Vouched::of(result, folder.path(), names).map_err(LedgerError::io("read", folder.path()))
}

fn remove(path: &Path) -> Result<(), LedgerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LedgerError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Writes a sealed file, whole or not at all.
fn write_sealed<T: Serialize>(path: &Path, subject: &str, value: &T) -> Result<(), LedgerError> {
    let text = sealed_text(path, subject, value)?;
    Ok(durable::write(path, text.as_bytes())?)
}

fn sealed_text<T: Serialize>(path: &Path, subject: &str, value: &T) -> Result<String, LedgerError> {
    sealed(subject, value).map_err(|source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    })
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
    let bytes = match durable::read(path) {
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
    Ok(durable::write(path, &json_text(path, value)?)?)
}

fn json_text<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<Vec<u8>, LedgerError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| LedgerError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    bytes.push(b'\n');
    Ok(bytes)
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
mod tests;
