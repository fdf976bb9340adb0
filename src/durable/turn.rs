//! Turns: of several processes that write the same files, only the latest publishes them.
//!
//! A turn is a numbered folder that one process created, such as the folder of an attempt at a job: `train/0003`. A
//! process that was suspended, or whose machine was given up, may wake up when another one has long begun the next
//! turn. It must not replace the files of its successor. Two rules see to that, wherever it was stopped and on whichever
//! machine it runs:
//!
//! 1. Files are written under names that contain the turn. Before one gets its final name, its writer looks whether its
//!    turn is still the [latest](Turn::is_latest).
//! 2. Whoever begins a turn [removes](Turn::shut_out_others) the unfinished files of all other turns, and only then
//!    looks at what is there.
//!
//! Renaming a removed file fails. So if the late process looked before the new turn began, either its file was in place
//! before the new turn looked, or it never will be.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustix::fs::Dir;

use crate::{DiskError, open_folder, parent, whole_file::SUFFIX};

/// A turn that this process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    folder: PathBuf,
    number: u32,
}

/// The turn of everything that this process writes, if it has one.
static OF_PROCESS: Mutex<Option<Turn>> = Mutex::new(None);

/// A later turn has begun.
#[derive(Debug)]
pub(crate) struct Superseded;

impl Error for Superseded {}

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another process has begun the same work anew")
    }
}

impl Turn {
    /// Begins the turn after turn `latest` below `folder`, which is 0 if there was none. Returns `None` if another
    /// process has begun it. A power cut may lose the turn; what was published in it is not lost.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn begin_after(latest: u32, folder: &Path) -> Result<Option<Turn>, DiskError> {
        let number = latest.saturating_add(1);
        let path = folder.join(format!("{number:04}"));
        fs::create_dir_all(folder).map_err(DiskError::at("create", folder))?;
        match fs::create_dir(&path) {
            Ok(()) => Ok(Some(Turn {
                folder: path,
                number,
            })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(DiskError::at("create", &path)(error)),
        }
    }

    /// Returns the turn with this folder; `None` if its name is no number.
    pub fn of(folder: &Path) -> Option<Turn> {
        Some(Turn {
            number: folder.file_name()?.to_str()?.parse().ok()?,
            folder: folder.to_owned(),
        })
    }

    /// Returns the number of the latest turn below a folder; 0 if there is none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn latest(folder: &Path) -> io::Result<u32> {
        let opened = match open_folder(folder) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        // The folder is small, and `fs::read_dir` allocates for a large one.
        let entries = Dir::new(opened)?;
        let numbers =
            entries.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok());
        Ok(numbers.max().unwrap_or(0))
    }

    /// Returns its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// True if no later turn has begun.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_latest(&self) -> io::Result<bool> {
        Ok(Turn::latest(parent(&self.folder))? <= self.number)
    }

    /// Removes the unfinished files of all other turns in a folder, so that no other process can publish them.
    ///
    /// # Errors
    /// The folder cannot be read, or a file cannot be removed.
    pub fn shut_out_others(&self, folder: &Path) -> Result<(), DiskError> {
        let entries = fs::read_dir(folder).map_err(DiskError::at("list", folder))?;
        let own = format!("{}{SUFFIX}", self.mark());
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_file = entry.file_type().is_ok_and(|kind| !kind.is_dir());
            if is_file && name.ends_with(SUFFIX) && !name.ends_with(&own) {
                remove(&entry.path()).map_err(DiskError::at("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Makes this the turn of everything that this process writes beside the folder of its kind: for `run/train/0003`,
    /// of the files in `run`. A process has one turn at a time; a later call replaces it.
    pub fn of_process(self) {
        *OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// Returns the turn of this process, if it has one for this file.
    pub(crate) fn for_file(path: &Path) -> Option<Turn> {
        let turn = OF_PROCESS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let beside = turn.folder.parent()?.parent()?.canonicalize().ok()?;
        let folder = parent(path).canonicalize().ok()?;
        (folder == beside).then_some(turn)
    }

    /// Returns what the names of its unfinished files contain: `.train-3`.
    pub(crate) fn mark(&self) -> String {
        let kind = parent(&self.folder).file_name().unwrap_or_default();
        format!(".{}-{}", kind.to_string_lossy(), self.number)
    }

    /// Fails if a later turn has begun.
    pub(crate) fn require(&self) -> io::Result<()> {
        match self.is_latest()? {
            true => Ok(()),
            false => Err(io::Error::other(Superseded)),
        }
    }
}

/// Removes a file that another process may remove or rename at the same time.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::WholeFile;

    fn begin(attempts: &Path) -> Turn {
        let latest = Turn::latest(attempts).unwrap();
        Turn::begin_after(latest, attempts).unwrap().unwrap()
    }

    fn begin_in(run: &Path) -> Turn {
        let turn = begin(&run.join("train"));
        turn.shut_out_others(run).unwrap();
        turn
    }

    fn files_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_turn_begins_once_however_many_processes_want_it() {
        let run = tempfile::tempdir().unwrap();
        let attempts = run.path().join("train");
        for latest in 0..20 {
            let begun = thread::scope(|scope| {
                let begin = || Turn::begin_after(latest, &attempts).unwrap();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
                let turns = threads.into_iter().map(|thread| thread.join().unwrap());
                turns.flatten().collect::<Vec<Turn>>()
            });
            let numbers: Vec<u32> = begun.iter().map(Turn::number).collect();
            assert_eq!(numbers, [latest + 1]);
            assert_eq!(Turn::of(begun[0].folder()).as_ref(), Some(&begun[0]));
        }
        assert_eq!(Turn::of(Path::new("run/train/notes")), None);
    }

    #[test]
    fn a_file_of_an_earlier_turn_is_not_published() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("model");
        let first = begin_in(run.path());
        let mut early = WholeFile::create_in_turn(&path, &first).unwrap();
        early.append(b"early").unwrap();
        early.publish().unwrap();
        let mut late = WholeFile::create_in_turn(&path, &first).unwrap();
        late.append(b"late").unwrap();

        let second = begin(&run.path().join("train"));
        assert!(!first.is_latest().unwrap() && second.is_latest().unwrap());
        let refused = late.publish().unwrap_err();
        assert!(refused.is_superseded(), "{refused}");
        assert!(refused.to_string().contains("begun the same work anew"));
        assert_eq!(crate::read(&path).unwrap(), b"early");
        assert_eq!(files_in(run.path()), ["model"]);
    }

    #[test]
    fn a_writer_that_is_stopped_just_before_the_rename_comes_too_late() {
        let run = tempfile::tempdir().unwrap();
        let path = run.path().join("model");
        let first = begin_in(run.path());
        let late = WholeFile::create_in_turn(&path, &first).unwrap();
        // It has seen that its turn is the latest; now another one begins and publishes.
        let second = begin_in(run.path());
        crate::write_in_turn(&path, b"second", &second).unwrap();
        let refused = late.rename().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        assert_eq!(crate::read(&path).unwrap(), b"second");
    }

    #[test]
    fn a_new_turn_keeps_what_is_published_and_what_it_writes_itself() {
        let run = tempfile::tempdir().unwrap();
        crate::write(&run.path().join("model"), b"1").unwrap();
        fs::write(run.path().join("checkpoint.incomplete"), "2").unwrap();
        fs::create_dir(run.path().join("folder.incomplete")).unwrap();
        let turn = begin_in(run.path());
        let own = WholeFile::create_in_turn(&run.path().join("record"), &turn).unwrap();
        turn.shut_out_others(run.path()).unwrap();
        let mut files = files_in(run.path());
        files.sort();
        assert_eq!(files, ["model", "record.train-1.incomplete"]);
        own.publish().unwrap();
        assert!(run.path().join("folder.incomplete").is_dir());
    }
}
