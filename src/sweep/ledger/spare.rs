//! Files under `results/` that can be removed to make room, by what is lost with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use durable::DiskError;

use super::{FileKind, FoundFile, Ledger, LedgerError, RunFolder, Scope};

/// Files that can be removed for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Spare {
    /// Checkpoints of trainings that have ended
    Checkpoints,
    /// Embeddings of the test images of measured runs
    Embeddings,
    /// Requests, events and logs of all but the last attempt at a job
    Attempts,
    /// Damaged files that were set aside
    Damaged,
    /// Half-written files of killed processes
    Unfinished,
    /// Images of prepared data sets
    Data,
    /// Networks of measured runs
    Networks,
}

impl Spare {
    /// All reasons.
    pub const ALL: [Spare; 7] = [
        Spare::Checkpoints,
        Spare::Embeddings,
        Spare::Attempts,
        Spare::Damaged,
        Spare::Unfinished,
        Spare::Data,
        Spare::Networks,
    ];

    /// True if the files are removed only if someone names them: to bring them back takes their source, or hours.
    pub fn is_costly(self) -> bool {
        match self {
            Spare::Embeddings | Spare::Data | Spare::Networks => true,
            Spare::Checkpoints | Spare::Attempts | Spare::Damaged | Spare::Unfinished => false,
        }
    }

    /// Returns what the files are.
    pub fn title(self) -> &'static str {
        match self {
            Spare::Checkpoints => "checkpoints of trainings that have ended",
            Spare::Embeddings => "embeddings of measured runs",
            Spare::Attempts => "requests, events and logs of earlier attempts",
            Spare::Damaged => "damaged files that were set aside",
            Spare::Unfinished => "half-written files",
            Spare::Data => "images of prepared data sets",
            Spare::Networks => "networks of measured runs",
        }
    }

    /// Returns what is lost with the files.
    pub fn loss(self) -> &'static str {
        match self {
            Spare::Checkpoints | Spare::Damaged | Spare::Unfinished => "nothing",
            Spare::Embeddings => FileKind::Embeddings.loss(),
            Spare::Attempts => FileKind::Log.loss(),
            Spare::Data => FileKind::Images.loss(),
            Spare::Networks => FileKind::Network.loss(),
        }
    }
}

impl Ledger {
    /// Returns the files that can be removed, by reason: all, or those of some results. No report needs any of them.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn spare(
        &self,
        scope: Option<&Scope>,
    ) -> Result<BTreeMap<Spare, Vec<FoundFile>>, LedgerError> {
        let files = self.files()?;
        let earlier = earlier_attempts(&files);
        let folders = scope.map(|scope| self.folders(scope));
        let is_meant = |file: &FoundFile| match &folders {
            Some(folders) => file.path.ancestors().any(|above| folders.contains(above)),
            None => true,
        };
        let mut spare: BTreeMap<Spare, Vec<FoundFile>> = BTreeMap::new();
        for file in files.into_iter().filter(is_meant) {
            let why = file.kind.and_then(|kind| why(kind, &file.path, &earlier));
            if let Some(why) = why {
                spare.entry(why).or_default().push(file);
            }
        }
        Ok(spare)
    }

    /// Returns the folders of some results.
    fn folders(&self, scope: &Scope) -> BTreeSet<PathBuf> {
        let data = scope.data.iter().map(|&data| self.data(data));
        let runs = scope
            .runs
            .iter()
            .map(|&run| self.run(run).path().to_owned());
        let ensembles = scope.ensembles.iter();
        let ensembles = ensembles.map(|&ensemble| self.ensemble(ensemble).path().to_owned());
        data.chain(runs).chain(ensembles).collect()
    }

    /// Removes files, and the folders that are empty then. The caller holds the [`Lock`](super::Lock).
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_files(&self, files: &[FoundFile]) -> Result<(), LedgerError> {
        let mut folders = BTreeSet::new();
        for file in files {
            match std::fs::remove_file(&file.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(DiskError::at("remove", &file.path)(error).into());
                }
                _ => folders.extend(file.path.parent()),
            }
        }
        for folder in folders {
            // An error means that it is not empty.
            let _ = std::fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// Returns why a file can be removed; `None` if it cannot.
fn why(kind: FileKind, path: &Path, earlier: &BTreeSet<PathBuf>) -> Option<Spare> {
    let folder = path.parent()?;
    let run = RunFolder::at(folder);
    match kind {
        FileKind::Checkpoint => run.trained().is_file().then_some(Spare::Checkpoints),
        FileKind::Embeddings => run.record().is_file().then_some(Spare::Embeddings),
        FileKind::Network | FileKind::Module => run.record().is_file().then_some(Spare::Networks),
        FileKind::Claim | FileKind::Attempt | FileKind::Events | FileKind::Log | FileKind::Exit => {
            earlier.contains(folder).then_some(Spare::Attempts)
        }
        FileKind::SetAside => Some(Spare::Damaged),
        FileKind::Unfinished => Some(Spare::Unfinished),
        FileKind::Images => Some(Spare::Data),
        FileKind::Lock
        | FileKind::Journal
        | FileKind::TornJournal
        | FileKind::Fingerprints
        | FileKind::Learned
        | FileKind::Cache
        | FileKind::Sweep
        | FileKind::Script
        | FileKind::Submission
        | FileKind::Standing
        | FileKind::Study
        | FileKind::Index
        | FileKind::Root
        | FileKind::Registration
        | FileKind::Identity
        | FileKind::Training
        | FileKind::Record
        | FileKind::Queries => None,
    }
}

/// Returns the folders of attempts after which there was another one at the same job.
fn earlier_attempts(files: &[FoundFile]) -> BTreeSet<PathBuf> {
    let mut of_job: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for file in files {
        let is_of_attempt = matches!(
            file.kind,
            Some(
                FileKind::Claim
                    | FileKind::Attempt
                    | FileKind::Events
                    | FileKind::Log
                    | FileKind::Exit
            )
        );
        if let Some(folder) = file.path.parent().filter(|_| is_of_attempt)
            && let Some(job) = folder.parent()
        {
            of_job.entry(job).or_default().insert(folder);
        }
    }
    let mut earlier = BTreeSet::new();
    for mut folders in of_job.into_values() {
        folders.pop_last();
        earlier.extend(folders.into_iter().map(Path::to_owned));
    }
    earlier
}
