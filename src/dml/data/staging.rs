//! The new content of a folder, put in its place in one step.
//!
//! A [`Staging`] is a hidden folder beside the one it will become, and so on the same disk. Publishing it
//! renames it, or exchanges it with the folder that is there: whenever the process is killed, the old folder or
//! the new one is there, whole. What a killed process left is removed by the next one that begins the same.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use durable::{create_folder, sync_parent};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::DataError;

/// The name of the old content in the new one, while two folders are exchanged by their names.
const REPLACED: &str = ".replaced";

/// A folder under construction. Dropped before it is published, it leaves nothing behind.
pub(super) struct Staging {
    /// The folder it will become.
    target: PathBuf,
    /// Where it is until then.
    path: PathBuf,
    /// Parents that were created for it, the outermost first.
    parents: Vec<PathBuf>,
    /// Held open for its lock: two processes cannot replace one folder at the same time.
    _lock: File,
}

impl Staging {
    /// Begins new content for the folder `target`, which need not exist.
    ///
    /// # Errors
    /// If another process has begun the same, or the disk does not take it.
    pub(super) fn begin(target: &Path) -> Result<Staging, DataError> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let parents = missing_parents(&target);
        let path = hidden(&target);
        let named = |error: DataError| error.with_names(|_| target.clone());
        remove_leftover(&path, &target).map_err(named)?;
        create_folder(&path).map_err(|error| named(error.into()))?;
        let lock = locked(&path, &target).map_err(named)?;
        let path = path
            .canonicalize()
            .map_err(DataError::disk("open", &target))?;
        Ok(Staging {
            target,
            path,
            parents,
            _lock: lock,
        })
    }

    /// Returns where the new content is put.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the new content in its place. The old content is removed.
    ///
    /// # Errors
    /// If the disk does not take it; then the old content is still there.
    pub(super) fn publish(mut self) -> Result<(), DataError> {
        let failed = |error: io::Error| DataError::disk("write", &self.target)(error);
        sync_disk(&self.path).map_err(failed)?;
        if self.target.exists() {
            exchange(&self.path, &self.target).map_err(failed)?;
        } else {
            fs::rename(&self.path, &self.target).map_err(failed)?;
        }
        self.parents.clear();
        Ok(sync_parent(&self.target)?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The first error is the one to report; leftovers are removed by the next attempt. Links are removed,
        // never their targets.
        let _ = fs::remove_dir_all(&self.path);
        for parent in self.parents.iter().rev() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Returns the hidden name beside a folder.
fn hidden(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".incomplete");
    target.with_file_name(name)
}

/// Returns the parents that do not exist yet, the outermost first.
fn missing_parents(target: &Path) -> Vec<PathBuf> {
    let parents = target.ancestors().skip(1);
    let mut missing: Vec<PathBuf> = parents
        .take_while(|parent| !parent.as_os_str().is_empty() && !parent.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Removes what a killed process left, after the old content is back in its place.
fn remove_leftover(path: &Path, target: &Path) -> Result<(), DataError> {
    if !path.exists() {
        return Ok(());
    }
    let _lock = locked(path, target)?;
    let aside = path.join(REPLACED);
    if !target.exists() && aside.exists() {
        fs::rename(&aside, target).map_err(DataError::disk("write", target))?;
    }
    fs::remove_dir_all(path).map_err(DataError::disk("remove", path))
}

/// Opens a folder and locks it, if no other process has.
fn locked(path: &Path, target: &Path) -> Result<File, DataError> {
    let folder = File::open(path).map_err(DataError::disk("open", path))?;
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => Err(DataError::unreadable(
            target,
            "another process is adding it now",
        )),
        // Some network file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(folder),
    }
}

/// Makes everything below a folder survive a power cut, in one call for all its files.
fn sync_disk(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

/// Exchanges two folders, in one step where the file system can.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            exchange_in_steps(one, other)
        }
        result => Ok(result?),
    }
}

/// Exchanges two folders by their names. `other` is back in its place if that fails.
fn exchange_in_steps(one: &Path, other: &Path) -> io::Result<()> {
    let aside = one.join(REPLACED);
    fs::rename(other, &aside)?;
    fs::rename(one, other).inspect_err(|_| {
        let _ = fs::rename(&aside, other);
    })?;
    fs::rename(other.join(REPLACED), one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files_in(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn new_content_takes_the_place_of_the_old_one_and_leaves_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("a/birds");
        for name in ["one", "two"] {
            let staging = Staging::begin(&target).unwrap();
            fs::write(staging.path().join(name), name).unwrap();
            staging.publish().unwrap();
            assert_eq!(files_in(&target), [name]);
            assert_eq!(files_in(&root.path().join("a")), ["birds"]);
        }
    }

    #[test]
    fn the_exchange_by_names_gives_the_same() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["new", "old"].map(|name| root.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(folder.file_name().unwrap()), "").unwrap();
        }
        exchange_in_steps(&folders[0], &folders[1]).unwrap();
        assert_eq!(files_in(&folders[1]), ["new"]);
        assert_eq!(files_in(&folders[0]), ["old"]);
    }

    #[test]
    fn a_kill_in_the_middle_of_an_exchange_by_names_loses_nothing() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("birds");
        let old = root.path().join(".birds.incomplete").join(REPLACED);
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("old"), "").unwrap();
        drop(Staging::begin(&target).unwrap());
        assert_eq!(files_in(&target), ["old"]);
    }

    #[test]
    fn what_is_not_published_leaves_the_old_content_and_no_new_folders() {
        let root = tempfile::tempdir().unwrap();
        drop(Staging::begin(&root.path().join("a/b/birds")).unwrap());
        assert_eq!(files_in(root.path()), [""; 0]);
        let target = root.path().join("birds");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        let staging = Staging::begin(&target).unwrap();
        fs::write(staging.path().join("new"), "").unwrap();
        drop(staging);
        assert_eq!(files_in(&target), ["old"]);
        assert_eq!(files_in(root.path()), ["birds"]);
    }

    #[test]
    fn leftovers_are_removed_but_not_those_of_a_process_at_work() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("birds");
        let at_work = Staging::begin(&target).unwrap();
        let refused = Staging::begin(&target).err().unwrap().to_string();
        assert!(
            refused.contains("another process is adding it"),
            "{refused}"
        );
        drop(at_work);
        fs::create_dir_all(root.path().join(".birds.incomplete/files/a")).unwrap();
        let staging = Staging::begin(&target).unwrap();
        assert_eq!(files_in(staging.path()), [""; 0]);
    }
}
