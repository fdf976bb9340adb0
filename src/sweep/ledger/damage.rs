//! Damaged files under `results/`: noted when they are read, told by the commands, set aside by `sweep run`.
//!
//! A damaged file counts as absent, so that its result is computed again.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use durable::DiskError;

/// A damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
    /// The kind of file.
    pub kind: DamagedKind,
}

/// The kind of a damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamagedKind {
    /// A result: it is renamed when another takes its place.
    Result,
    /// Prepared images, which may be large: they are removed.
    Images,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is damaged: {}", self.path.display(), self.why)
    }
}

impl Damage {
    /// Renames or removes the file, so that a new one can take its place. Returns its new path.
    ///
    /// # Errors
    /// It cannot be renamed or removed.
    pub(super) fn set_aside(&self) -> Result<Option<PathBuf>, DiskError> {
        if self.kind == DamagedKind::Images && self.path.is_file() {
            fs::remove_file(&self.path).map_err(DiskError::at("remove", &self.path))?;
            return Ok(None);
        }
        let aside = aside(&self.path);
        fs::rename(&self.path, &aside).map_err(DiskError::at("rename", &self.path))?;
        Ok(Some(aside))
    }
}

/// Returns the first free name of a damaged file: `NAME.damaged`, `NAME.damaged-2`, ..
fn aside(path: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(".damaged");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    let is_free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    (1..)
        .map(name)
        .find(is_free)
        .unwrap_or_else(|| path.to_owned())
}

/// The damaged files that were found so far, shared by all copies of a ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct DamageLog(Arc<Mutex<BTreeMap<PathBuf, Damage>>>);

impl DamageLog {
    pub(super) fn note(&self, path: &Path, why: impl fmt::Display, kind: DamagedKind) {
        let damage = Damage {
            path: path.to_owned(),
            why: why.to_string(),
            kind,
        };
        self.entries().insert(path.to_owned(), damage);
    }

    pub(super) fn forget(&self, path: &Path) {
        self.entries().remove(path);
    }

    pub(super) fn all(&self) -> Vec<Damage> {
        self.entries().values().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Damage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
