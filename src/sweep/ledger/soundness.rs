//! What of a results folder is sound: every file that results rely on is read, whole.
//!
//! Damage itself is noted by the ledger as always; here is what is counted and what is missing.

use std::path::PathBuf;

use rayon::prelude::*;
use schema::{DataId, EnsembleId, RunId, StudyId};

use super::{Check, FileKind, FoundFile, Job, Ledger, LedgerError, journal};

/// The results that are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Prepared data sets.
    pub data: Vec<DataId>,
    /// Runs.
    pub runs: Vec<RunId>,
    /// Ensembles.
    pub ensembles: Vec<EnsembleId>,
    /// Searches.
    pub studies: Vec<StudyId>,
}

/// The numbers of sound results, and what is not as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soundness {
    /// Prepared data sets with their images.
    pub data: usize,
    /// Runs that have begun and whose files are all as they were written.
    pub runs: usize,
    /// Those of them that are measured.
    pub measured: usize,
    /// Measured runs whose network was removed.
    pub without_network: usize,
    /// Measured ensembles.
    pub ensembles: usize,
    /// Searches.
    pub studies: usize,
    /// Intact entries of the journal.
    pub entries: usize,
    /// Lines of the journal that are damaged or torn.
    pub torn: usize,
    /// Files that a result names and that are not there.
    pub missing: Vec<PathBuf>,
    /// Files that the program does not write, that were set aside, or that a kill left half-written.
    pub others: Vec<FoundFile>,
}

/// What was found of one run.
pub(super) struct CheckedRun {
    is_measured: bool,
    /// True if it is measured and its network was removed on request.
    lacks_network: bool,
    missing: Vec<PathBuf>,
}

impl Ledger {
    /// Returns everything in the results folder.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn whole_scope(&self) -> Result<Scope, LedgerError> {
        Ok(Scope {
            data: self.ids_in("data", "")?,
            runs: self.ids_in("runs", "")?,
            ensembles: self.ids_in("ensembles", "")?,
            studies: self.ids_in("studies", ".json")?,
        })
    }

    /// Reads all files of these results, and all of the journal. Damage is noted.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn soundness(&self, scope: &Scope) -> Result<Soundness, LedgerError> {
        let journal = journal::read(self.root()).map_err(LedgerError::io("read", self.root()))?;
        let mut found = Soundness {
            entries: journal.entries.len(),
            torn: journal.torn_lines(),
            ..Soundness::default()
        };
        for &data in &scope.data {
            self.exits_of(&[Job::Prepare(data)])?;
            found.data += usize::from(self.is_prepared(data, Check::Contents)?);
        }
        let begun = self.runs()?;
        let runs: Vec<RunId> = scope
            .runs
            .iter()
            .copied()
            .filter(|run| begun.contains(run))
            .collect();
        let checked = runs.par_iter().map(|&run| self.check_run(run));
        for run in checked.collect::<Result<Vec<CheckedRun>, LedgerError>>()? {
            found.measured += usize::from(run.is_measured);
            found.without_network += usize::from(run.lacks_network);
            found.missing.extend(run.missing);
        }
        for &ensemble in &scope.ensembles {
            self.exits_of(&[Job::Ensemble(ensemble)])?;
            self.has_ensemble_queries(ensemble, Check::Contents)?;
            found.ensembles += usize::from(self.ensemble_record(ensemble)?.is_some());
        }
        for &study in &scope.studies {
            found.studies += usize::from(!self.points_of(study)?.is_empty());
        }
        let files = self.files()?;
        self.check_scripts(&files)?;
        let damaged = self.damaged_runs();
        found.runs = runs.iter().filter(|run| !damaged.contains(run)).count();
        found.others = files;
        found.others.retain(|file| match file.kind {
            None | Some(FileKind::SetAside | FileKind::Unfinished) => true,
            Some(_) => false,
        });
        Ok(found)
    }

    pub(super) fn check_run(&self, run: RunId) -> Result<CheckedRun, LedgerError> {
        self.has_identity(run)?;
        self.exits_of(&[Job::Train(run), Job::Evaluate(run)])?;
        let (trained, record) = (self.vouched_training(run)?, self.vouched_record(run)?);
        self.has_model(run, Check::Contents)?;
        self.has_queries(run, Check::Contents)?;
        let folder = self.run(run);
        let is_gone = |name: &&String| !folder.path().join(name).exists();
        let networks = trained.iter().flat_map(|found| found.files.keys());
        let mut missing: Vec<&String> = networks.filter(is_gone).collect();
        let lacks_network = record.is_some() && !missing.is_empty();
        if lacks_network {
            missing.clear();
        }
        let measured = record.iter().flat_map(|found| found.files.keys());
        missing.extend(measured.filter(is_gone));
        Ok(CheckedRun {
            is_measured: record.is_some(),
            lacks_network,
            missing: missing
                .into_iter()
                .map(|name| folder.path().join(name))
                .collect(),
        })
    }

    /// Compares the modules of losses and miners with the hashes that are their names.
    fn check_scripts(&self, files: &[FoundFile]) -> Result<(), LedgerError> {
        let scripts = files
            .iter()
            .filter(|file| file.kind == Some(FileKind::Script));
        for FoundFile { path, .. } in scripts {
            if !Ledger::is_whole_script(path).map_err(LedgerError::io("read", path))? {
                self.is_damaged(path, "its SHA-256 is not its name");
            }
        }
        Ok(())
    }

    /// Reads how the last attempts at jobs ended.
    fn exits_of(&self, jobs: &[Job]) -> Result<(), LedgerError> {
        jobs.iter()
            .try_for_each(|&job| self.last_exit(job).map(drop))
    }

    /// Returns the runs with a damaged file.
    fn damaged_runs(&self) -> Vec<RunId> {
        let folder = self.root().join("runs");
        let damage = self.damage();
        let mut runs: Vec<RunId> = damage
            .iter()
            .filter_map(|damage| damage.path.strip_prefix(&folder).ok())
            .filter_map(|path| path.iter().next()?.to_str()?.parse().ok())
            .collect();
        runs.sort();
        runs.dedup();
        runs
    }
}
