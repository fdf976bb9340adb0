//! Joining results folders: a set union by identity.
//!
//! Runs, ensembles, data sets, searches and modules have names that follow from what they are, so two folders agree on
//! which of them are the same. A run is taken as a whole from the folder where it is furthest: measured, trained, begun.
//! Nothing is taken that is not as its checksums say, and nothing that is there is replaced by something worse or
//! merely different. Each step is whole or not done at all, and one that is done is not done again: a merge that was
//! interrupted is repeated with the same command.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use durable::{DiskError, WholeFolder};
use schema::{DataId, EnsembleId, Evaluated, Outcome, RunId, StudyId, Trained};

use super::{Check, FileKind, Ledger, LedgerError, RunStage, journal};

/// What became of the results of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Runs, ensembles, data sets, searches, modules, sweep files and journals that were taken.
    pub taken: Counts,
    /// Those that were there already, as good or better.
    pub there: Counts,
    /// Those that are there with another content, which stays.
    pub conflicts: Vec<Conflict>,
    /// Names of sweeps whose copies differ: they were last run in different forms. The copy that is there stays.
    pub other_sweeps: Vec<String>,
}

/// How many results there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs.
    pub runs: usize,
    /// Ensembles.
    pub ensembles: usize,
    /// Prepared data sets.
    pub data: usize,
    /// Searches.
    pub studies: usize,
    /// Modules, copies of sweep files and journals.
    pub files: usize,
}

/// A result that two folders have with different contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A run with another training or other scores.
    Run(RunId),
    /// An ensemble with other scores.
    Ensemble(EnsembleId),
    /// A search with other points.
    Study(StudyId),
}

/// How one of two results compares with the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    Better,
    NotBetter,
    Different,
}

/// How far a run has come; more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Begun,
    Interrupted,
    Trained,
    /// Trained, and its network is there.
    WithNetwork,
    Measured,
}

impl Ledger {
    /// Takes over what another results folder has and this one lacks. The caller holds the [`Lock`](super::Lock) of this
    /// one, and nobody works in the other. Damaged results of the other one are not taken; it has noted them then.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn merge(&self, other: &Ledger) -> Result<Merged, LedgerError> {
        let mut merged = Merged::default();
        let scope = other.whole_scope()?;
        for data in scope.data {
            self.merge_data(data, other, &mut merged)?;
        }
        self.merge_files(other, &mut merged)?;
        for study in scope.studies {
            self.merge_study(study, other, &mut merged)?;
        }
        for run in scope.runs {
            self.merge_run(run, other, &mut merged)?;
        }
        for ensemble in scope.ensembles {
            self.merge_ensemble(ensemble, other, &mut merged)?;
        }
        self.merge_journals(other, &mut merged)?;
        Ok(merged)
    }

    fn merge_data(
        &self,
        data: DataId,
        other: &Ledger,
        merged: &mut Merged,
    ) -> Result<(), LedgerError> {
        if self.is_prepared(data, Check::Contents)? {
            merged.there.data += 1;
        } else if other.is_prepared(data, Check::Contents)? {
            take_folder(&other.data(data), &self.data(data))?;
            merged.taken.data += 1;
        }
        Ok(())
    }

    /// Takes the files whose names say what they are: modules, and sweeps as they were last run.
    fn merge_files(&self, other: &Ledger, merged: &mut Merged) -> Result<(), LedgerError> {
        for path in files_in(&other.scripts())? {
            if Ledger::is_whole_script(&path).unwrap_or(false) {
                let name = path.file_name().unwrap_or_default();
                take_file(&path, &self.scripts().join(name), merged)?;
            }
        }
        for path in files_in(&other.root().join("sweeps"))? {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let target = self.sweep(&name);
            take_file(&path, &target, merged)?;
            if is_different(&path, &target)? {
                merged.other_sweeps.push(name.into_owned());
            }
        }
        Ok(())
    }

    fn merge_study(
        &self,
        study: StudyId,
        other: &Ledger,
        merged: &mut Merged,
    ) -> Result<(), LedgerError> {
        let (own, others) = (self.points_of(study)?, other.points_of(study)?);
        if own.starts_with(&others) {
            merged.there.studies += 1;
        } else if others.starts_with(&own) {
            self.keep_points(study, &others)?;
            merged.taken.studies += 1;
        } else {
            merged.conflicts.push(Conflict::Study(study));
        }
        Ok(())
    }

    fn merge_run(
        &self,
        run: RunId,
        other: &Ledger,
        merged: &mut Merged,
    ) -> Result<(), LedgerError> {
        let (own, others) = (self.run(run), other.run(run));
        if other.is_run_damaged(run)? {
            return Ok(());
        }
        match compared_runs(run, self, other)? {
            Compared::Better => {
                take_folder(others.path(), own.path())?;
                merged.taken.runs += 1;
            }
            Compared::NotBetter => merged.there.runs += 1,
            Compared::Different => merged.conflicts.push(Conflict::Run(run)),
        }
        Ok(())
    }

    /// True if a file of a run is not as it was written.
    fn is_run_damaged(&self, run: RunId) -> Result<bool, LedgerError> {
        self.check_run(run)?;
        let folder = self.run(run);
        let damage = self.damage();
        Ok(damage
            .iter()
            .any(|damage| damage.path.starts_with(folder.path())))
    }

    fn merge_ensemble(
        &self,
        ensemble: EnsembleId,
        other: &Ledger,
        merged: &mut Merged,
    ) -> Result<(), LedgerError> {
        let is_whole = other.has_ensemble_queries(ensemble, Check::Contents)?;
        let Some(others) = other.ensemble_record(ensemble)?.filter(|_| is_whole) else {
            return Ok(());
        };
        let is_own_whole = self.has_ensemble_queries(ensemble, Check::Contents)?;
        let own = self.ensemble_record(ensemble)?.filter(|_| is_own_whole);
        match own.map_or(Compared::Better, |own| {
            compared(&own.evaluated, &others.evaluated)
        }) {
            Compared::Better => {
                let (from, to) = (other.ensemble(ensemble), self.ensemble(ensemble));
                take_folder(from.path(), to.path())?;
                merged.taken.ensembles += 1;
            }
            Compared::NotBetter => merged.there.ensembles += 1,
            Compared::Different => merged.conflicts.push(Conflict::Ensemble(ensemble)),
        }
        Ok(())
    }

    fn merge_journals(&self, other: &Ledger, merged: &mut Merged) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::io("read the journal of", other.root())(error);
        let taken = journal::merge(self.root(), other.root()).map_err(failed)?;
        merged.taken.files += taken;
        Ok(())
    }
}

/// Compares what two ledgers have of a run.
fn compared_runs(run: RunId, own: &Ledger, other: &Ledger) -> Result<Compared, LedgerError> {
    let (own_stage, other_stage) = (stage(run, own)?, stage(run, other)?);
    let (Some(own_stage), Some(other_stage)) = (own_stage, other_stage) else {
        return Ok(match other_stage {
            Some(_) => Compared::Better,
            None => Compared::NotBetter,
        });
    };
    let trained = (own.trained(run)?, other.trained(run)?);
    if let (Some(own), Some(other)) = trained
        && !is_same_training(&own, &other)
    {
        return Ok(Compared::Different);
    }
    if let (RunStage::Recorded(own), RunStage::Recorded(other)) =
        (own.state(run)?, other.state(run)?)
    {
        return Ok(compared_outcomes(&own.outcome, &other.outcome));
    }
    Ok(match other_stage > own_stage {
        true => Compared::Better,
        false => Compared::NotBetter,
    })
}

/// Returns how far a run has come; `None` if it is not there.
fn stage(run: RunId, ledger: &Ledger) -> Result<Option<Stage>, LedgerError> {
    if !ledger.run(run).path().is_dir() {
        return Ok(None);
    }
    let is_trained = ledger.trained(run)?.is_some();
    Ok(Some(match ledger.state(run)? {
        RunStage::Recorded(_) => Stage::Measured,
        RunStage::Trained(_) => Stage::WithNetwork,
        // Of a trial, no network is kept.
        RunStage::Interrupted | RunStage::New if is_trained => Stage::Trained,
        RunStage::Interrupted => Stage::Interrupted,
        RunStage::New => Stage::Begun,
    }))
}

fn is_same_training(own: &Trained, other: &Trained) -> bool {
    own.end == other.end && own.steps == other.steps && own.validation == other.validation
}

fn compared_outcomes(own: &Outcome, other: &Outcome) -> Compared {
    match (own, other) {
        (Outcome::Finished(own), Outcome::Finished(other)) => compared(own, other),
        (own, other) if own == other => Compared::NotBetter,
        _ => Compared::Different,
    }
}

/// Compares scores: more metrics are better, if those that both have are equal.
fn compared(own: &Evaluated, other: &Evaluated) -> Compared {
    let is_equal = |metric| own.scores.get(metric) == other.scores.get(metric);
    let (mine, theirs): (BTreeSet<_>, BTreeSet<_>) =
        (own.scores.keys().collect(), other.scores.keys().collect());
    if !mine.intersection(&theirs).all(|metric| is_equal(metric)) {
        return Compared::Different;
    }
    match theirs.is_superset(&mine) && theirs != mine {
        true => Compared::Better,
        false => Compared::NotBetter,
    }
}

/// Copies a file, unless one is there.
fn take_file(path: &Path, target: &Path, merged: &mut Merged) -> Result<(), LedgerError> {
    if target.exists() {
        merged.there.files += 1;
    } else {
        durable::copy(path, target)?;
        merged.taken.files += 1;
    }
    Ok(())
}

fn is_different(one: &Path, other: &Path) -> Result<bool, LedgerError> {
    let read = |path: &Path| durable::read(path).map_err(LedgerError::io("read", path));
    Ok(read(one)? != read(other)?)
}

/// Puts a copy of a folder in the place of another one, without what is damaged or half-written.
fn take_folder(from: &Path, to: &Path) -> Result<(), LedgerError> {
    let whole = WholeFolder::begin(to)?;
    copy_into(from, whole.path())?;
    Ok(whole.publish()?)
}

fn copy_into(from: &Path, to: &Path) -> Result<(), LedgerError> {
    for entry in fs::read_dir(from).map_err(LedgerError::io("list", from))? {
        let entry = entry.map_err(LedgerError::io("list", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir_all(&target).map_err(DiskError::at("create", &target))?;
            copy_into(&path, &target)?;
        } else if !FileKind::is_rest(&path) {
            fs::copy(&path, &target).map_err(DiskError::at("write", &target))?;
        }
    }
    Ok(())
}

/// Returns the paths of the files in a folder, by name; none if there is no such folder.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LedgerError::io("list", folder)(error)),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.is_file() && !FileKind::is_rest(path))
        .collect();
    paths.sort();
    Ok(paths)
}
