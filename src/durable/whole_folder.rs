//! A folder that is filled piece by piece and published at the end, in one step.
//!
//! Until then it is a hidden folder beside the one it will become, and so on the same disk. Publishing renames it, or
//! exchanges it with the folder that is there: whenever the process is killed, the old folder or the new one is there,
//! whole. What a killed process left is removed by the next one that begins the same, or by
//! [`remove_leftovers`](crate::remove_leftovers).

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{DiskError, create_folder, open_folder, sync_parent};

/// The name of the old content in the new one, while two folders are exchanged by their names.
const REPLACED: &str = ".replaced";

/// The end of the name of a folder under construction; its name begins with a dot.
const SUFFIX: &str = ".incomplete";

/// A folder under construction. Dropped before it is published, it leaves nothing behind.
#[derive(Debug)]
pub struct WholeFolder {
    /// The folder it will become.
    target: PathBuf,
    /// Where it is until then.
    path: PathBuf,
    /// Parents that were created for it, the outermost first.
    parents: Vec<PathBuf>,
    /// Held open for its lock: two processes cannot replace one folder at the same time.
    _lock: File,
}

impl WholeFolder {
    /// Begins new content for the folder `target`, which need not exist.
    ///
    /// # Errors
    /// Another process has begun the same, or the disk does not accept it.
    pub fn begin(target: &Path) -> Result<WholeFolder, DiskError> {
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let parents = missing_parents(&target);
        let path = hidden(&target);
        let failed = |cause| DiskError::at("write", &target)(cause);
        remove(&path, &target).map_err(failed)?;
        create_folder(&path).map_err(|error| failed(error.cause))?;
        let lock = locked(&path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        Ok(WholeFolder {
            target,
            path,
            parents,
            _lock: lock,
        })
    }

    /// Returns where the new content is put.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the new content in its place. The old content is removed.
    ///
    /// # Errors
    /// The disk does not accept it; then the old content is still there.
    pub fn publish(mut self) -> Result<(), DiskError> {
        self.put_in_place()
            .map_err(DiskError::at("write", &self.target))?;
        self.parents.clear();
        sync_parent(&self.target)
    }

    fn put_in_place(&self) -> io::Result<()> {
        sync_disk(&self.path)?;
        if self.target.exists() {
            exchange(&self.path, &self.target)
        } else {
            fs::rename(&self.path, &self.target)
        }
    }
}

impl Drop for WholeFolder {
    fn drop(&mut self) {
        // The first error is the one to report; leftovers are removed by the next attempt. Links are removed,
        // never their targets.
        let _ = fs::remove_dir_all(&self.path);
        for parent in self.parents.iter().rev() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// Removes a folder under construction that no process fills any more. Any other path stays as it is.
pub(crate) fn remove_leftover(path: &Path) -> io::Result<()> {
    let Some(target) = target_of(path).filter(|_| path.is_dir()) else {
        return Ok(());
    };
    match remove(path, &target) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        removed => removed,
    }
}

/// Returns the folder that a hidden folder will become; `None` for other names.
fn target_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_prefix('.')?.strip_suffix(SUFFIX)?;
    Some(path.with_file_name(name))
}

/// Returns the hidden name beside a folder.
fn hidden(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(SUFFIX);
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
fn remove(path: &Path, target: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let _lock = locked(path)?;
    let aside = path.join(REPLACED);
    if !target.exists() && aside.exists() {
        fs::rename(&aside, target)?;
    }
    fs::remove_dir_all(path)
}

/// Opens a folder and locks it, if no other process has.
fn locked(path: &Path) -> io::Result<File> {
    let folder = open_folder(path)?;
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let why = "another process is adding it now";
            Err(io::Error::new(io::ErrorKind::WouldBlock, why))
        }
        // Some network file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(folder),
    }
}

/// Makes everything below a folder survive a power cut, in one call for all its files.
fn sync_disk(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(open_folder(folder)?)?)
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
            let new = WholeFolder::begin(&target).unwrap();
            fs::write(new.path().join(name), name).unwrap();
            new.publish().unwrap();
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
        drop(WholeFolder::begin(&target).unwrap());
        assert_eq!(files_in(&target), ["old"]);
    }

    #[test]
    fn what_is_not_published_leaves_the_old_content_and_no_new_folders() {
        let root = tempfile::tempdir().unwrap();
        drop(WholeFolder::begin(&root.path().join("a/b/birds")).unwrap());
        assert_eq!(files_in(root.path()), [""; 0]);
        let target = root.path().join("birds");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        let new = WholeFolder::begin(&target).unwrap();
        fs::write(new.path().join("new"), "").unwrap();
        drop(new);
        assert_eq!(files_in(&target), ["old"]);
        assert_eq!(files_in(root.path()), ["birds"]);
    }

    #[test]
    fn leftovers_are_removed_but_not_those_of_a_process_at_work() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("birds");
        let at_work = WholeFolder::begin(&target).unwrap();
        let refused = WholeFolder::begin(&target).err().unwrap().to_string();
        assert!(
            refused.contains("another process is adding it"),
            "{refused}"
        );
        crate::remove_leftovers(root.path()).unwrap();
        assert!(at_work.path().exists());
        drop(at_work);
        let leftover = root.path().join(".birds.incomplete");
        fs::create_dir_all(leftover.join("files/a")).unwrap();
        crate::remove_leftovers(root.path()).unwrap();
        assert!(!leftover.exists());
        fs::create_dir_all(leftover.join("files/a")).unwrap();
        let new = WholeFolder::begin(&target).unwrap();
        assert_eq!(files_in(new.path()), [""; 0]);
    }
}
