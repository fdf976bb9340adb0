//! One orchestrator at a time: an operating-system lock on `results/LOCK`, released when its holder
//! dies.
//!
//! Locks belong to files, and `results/LOCK` can be removed while it is locked. The holder therefore
//! [checks](Lock::check) that the path still leads to its file before it writes, and stops if another
//! process has taken the folder over. Where the file system has no locks, the file itself is a
//! [lease](Locking::Lease): it names its holder, who touches it as long as it lives.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::io::Errno;
use thiserror::Error;

use super::writer::{SlurmJob, Writer, is_alive};

/// How a results folder is protected from a second orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// By a lock of the operating system.
    System,
    /// By a file that names its holder, on file systems without locks.
    Lease,
}

impl Locking {
    /// Returns how a folder is protected on a file system with or without locks.
    pub fn of(no_lock: bool) -> Locking {
        match no_lock {
            true => Locking::Lease,
            false => Locking::System,
        }
    }
}

/// Held while an orchestrator writes under `results/`.
#[derive(Debug)]
pub struct Lock {
    root: PathBuf,
    /// This process, as the file names it.
    holder: String,
    held: Held,
}

#[derive(Debug)]
enum Held {
    System(File),
    Lease { renewed: Instant },
}

/// A lease is renewed this often, and free if it was not renewed for this long.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
const FREE_AFTER: Duration = Duration::from_secs(60);

/// The lock cannot be acquired, or is lost.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another orchestrator holds it.
    #[error("another `sweep` ({holder}) is running in `{}`; wait for it, stop it, or use another folder with --results{hint}", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The holder, as written in the file.
        holder: String,
        /// What else could be done, in a job of Slurm.
        hint: &'static str,
    },
    /// Another orchestrator took the folder over.
    #[error("another `sweep` ({holder}) is running in `{}`: the file LOCK there was removed or replaced while this one ran; this one stops, and finished runs are kept", folder.display())]
    TakenOver {
        /// The folder.
        folder: PathBuf,
        /// The other one, as written in the file.
        holder: String,
    },
    /// The folder is not there any more.
    #[error("`{}` was removed or moved while the sweep ran", folder.display())]
    Gone {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system has no locks.
    #[error("the file system of `{}` has no locks ({source}); use a folder on another one with --results, or give --no-lock if no other `sweep` uses this folder", folder.display())]
    Unsupported {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("failed to lock `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Lock {
    pub(super) fn acquire(root: &Path, locking: Locking) -> Result<Lock, LockError> {
        let folder = FolderOf(root);
        fs::create_dir_all(root).map_err(|source| folder.io(source))?;
        let holder = this_process(locking);
        let held = match locking {
            Locking::System => Held::System(folder.lock(&holder)?),
            Locking::Lease => {
                folder.lease(&holder)?;
                let renewed = Instant::now();
                Held::Lease { renewed }
            }
        };
        Ok(Lock {
            root: root.to_owned(),
            holder,
            held,
        })
    }

    /// Makes sure that this process may still write. A lock whose file was removed is taken again.
    ///
    /// # Errors
    /// Another process has the folder, or it is not there any more.
    pub fn check(&mut self) -> Result<(), LockError> {
        let folder = FolderOf(&self.root);
        match &mut self.held {
            Held::System(file) if folder.has(file)? => Ok(()),
            Held::System(file) => {
                folder.require()?;
                *file = folder.lock(&self.holder).map_err(LockError::while_held)?;
                Ok(())
            }
            Held::Lease { renewed } => {
                folder.require()?;
                if !folder.is_leased_to(&self.holder)? || renewed.elapsed() > RENEWED_EVERY {
                    folder.write_lease(&self.holder)?;
                    *renewed = Instant::now();
                }
                Ok(())
            }
        }
    }
}

/// Who holds the lock of a results folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// As it names itself in the file.
    pub name: String,
    /// True if it is a process of this machine and user, with the id that was asked for.
    pub is_here: bool,
}

/// The file of a lock that may be held.
pub(super) struct LockFile(File);

/// Returns the lock of a results folder, unless it is certain that nobody holds it, whatever the journal says.
pub(super) fn that_may_be_held(root: &Path) -> Option<LockFile> {
    let file = durable::open(&FolderOf(root).path()).ok()?;
    let may_be_held = (is_fresh(&file) && !is_released(&file)) || is_locked(&file);
    may_be_held.then_some(LockFile(file))
}

impl LockFile {
    /// Returns who holds the lock, if anyone does; `pid` is the process that the journal names.
    pub(super) fn holder(mut self, pid: u32) -> Option<Holder> {
        let holder = read_holder(&mut self.0);
        let is_here = holder.lines().next() == Some(&Writer::here(pid).process());
        let name = named(&holder);
        let is_leased = is_fresh(&self.0) && !name.is_empty() && (!is_here || is_alive(pid));
        (is_leased || is_locked(&self.0)).then_some(Holder { name, is_here })
    }
}

/// True if the last holder has given it up.
fn is_released(file: &File) -> bool {
    file.metadata().is_ok_and(|data| data.len() == 0)
}

/// True if the system keeps a lock for another process, which ends with that.
fn is_locked(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// True if a file may be a lease, which has to be renewed.
fn is_fresh(file: &File) -> bool {
    let renewed = file.metadata().and_then(|data| data.modified());
    renewed.is_ok_and(|time| time.elapsed().unwrap_or_default() < FREE_AFTER)
}

impl Drop for Lock {
    fn drop(&mut self) {
        let folder = FolderOf(&self.root);
        // A name that stays is no longer believed after a while.
        match &self.held {
            Held::System(file) => drop(file.set_len(0)),
            Held::Lease { .. } if folder.is_leased_to(&self.holder).is_ok() => {
                drop(fs::write(folder.path(), ""));
            }
            Held::Lease { .. } => {}
        }
    }
}

impl LockError {
    /// Returns the error of a process that has had the lock before.
    fn while_held(self) -> LockError {
        match self {
            LockError::Held { folder, holder, .. } => LockError::TakenOver { folder, holder },
            other => other,
        }
    }
}

/// A results folder that is to be locked.
struct FolderOf<'a>(&'a Path);

impl FolderOf<'_> {
    fn path(&self) -> PathBuf {
        self.0.join("LOCK")
    }

    fn io(&self, source: io::Error) -> LockError {
        LockError::Io {
            path: self.path(),
            source,
        }
    }

    fn require(&self) -> Result<(), LockError> {
        if self.0.is_dir() {
            Ok(())
        } else {
            Err(LockError::Gone {
                folder: self.0.to_owned(),
            })
        }
    }

    fn open(&self) -> Result<File, LockError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(self.path()).map_err(|source| self.io(source))
    }

    /// Locks the file at the path and writes the holder into it.
    fn lock(&self, holder: &str) -> Result<File, LockError> {
        loop {
            let mut file = self.open()?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(self.held_by(&mut file)),
                Err(TryLockError::Error(source)) if is_unsupported(&source) => {
                    return Err(LockError::Unsupported {
                        folder: self.0.to_owned(),
                        source,
                    });
                }
                Err(TryLockError::Error(source)) => return Err(self.io(source)),
            }
            if is_fresh(&file) && is_lease(&read_holder(&mut file)) {
                return Err(self.held_by(&mut file));
            }
            // Another process may have removed the file before it was locked.
            if self.has(&file)? {
                write_holder(&mut file, holder).map_err(|source| self.io(source))?;
                return Ok(file);
            }
        }
    }

    /// Writes the holder into the file at the path, if no other holder has renewed it lately.
    fn lease(&self, holder: &str) -> Result<(), LockError> {
        let mut file = self.open()?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(self.held_by(&mut file));
        }
        let age = file.metadata().and_then(|data| data.modified());
        let age = age.map(|time| time.elapsed().unwrap_or_default());
        let is_fresh = age.map_err(|source| self.io(source))? < FREE_AFTER;
        let is_others = !read_holder(&mut file).is_empty() && read_holder(&mut file) != holder;
        if is_fresh && is_others {
            return Err(self.held_by(&mut file));
        }
        self.write_lease(holder)
    }

    fn write_lease(&self, holder: &str) -> Result<(), LockError> {
        let written = self.open().map(|mut file| write_holder(&mut file, holder));
        written?.map_err(|source| self.io(source))
    }

    /// Returns false if the lease was removed.
    ///
    /// # Errors
    /// It is someone else's.
    fn is_leased_to(&self, holder: &str) -> Result<bool, LockError> {
        match durable::read_to_string(&self.path()) {
            Ok(text) if text.trim() == holder => Ok(true),
            Ok(text) if text.trim().is_empty() => Ok(false),
            Ok(text) => Err(LockError::TakenOver {
                folder: self.0.to_owned(),
                holder: named(text.trim()),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io(source)),
        }
    }

    /// True if the path leads to this file.
    fn has(&self, file: &File) -> Result<bool, LockError> {
        let of_file = file.metadata().map_err(|source| self.io(source))?;
        match fs::metadata(self.path()) {
            Ok(of_path) => {
                let identity = |data: &fs::Metadata| (data.dev(), data.ino());
                Ok(identity(&of_path) == identity(&of_file))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io(source)),
        }
    }

    fn held_by(&self, file: &mut File) -> LockError {
        LockError::Held {
            folder: self.0.to_owned(),
            holder: named(&read_holder(file)),
            hint: match SlurmJob::of_this_process() {
                Some(_) => "; with `sweep run --on slurm`, several nodes work in one folder",
                None => "",
            },
        }
    }
}

/// The last line of a lease.
const LEASE: &str = "without locks";

/// True if a holder has a lease, which no lock of the system protects.
fn is_lease(holder: &str) -> bool {
    holder.lines().last() == Some(LEASE)
}

/// Returns a holder in one line.
fn named(holder: &str) -> String {
    let lines: Vec<&str> = holder.lines().collect();
    lines.join(", ")
}

/// True if the file system cannot lock at all.
fn is_unsupported(error: &io::Error) -> bool {
    let kinds = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP];
    kinds
        .iter()
        .any(|kind| error.raw_os_error() == Some(kind.raw_os_error()))
}

/// Returns the name of the holder in the file, which only improves a message.
fn read_holder(file: &mut File) -> String {
    let mut holder = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.read_to_string(&mut holder));
    match read {
        Ok(_) => holder.trim().to_owned(),
        Err(_) => String::new(),
    }
}

fn write_holder(file: &mut File, holder: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{holder}")
}

/// Returns this process as the file names it: on the first line the process, on the next the job of Slurm, if it is in one,
/// and how it holds the folder, if that is not by a lock.
fn this_process(locking: Locking) -> String {
    let writer = Writer::this_process();
    let job = writer.slurm.as_ref().map(SlurmJob::to_string);
    let how = (locking == Locking::Lease).then(|| LEASE.to_owned());
    let lines: Vec<String> = [writer.process()]
        .into_iter()
        .chain(job)
        .chain(how)
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty results folder.
    fn root() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn acquire(root: &tempfile::TempDir, locking: Locking) -> Result<Lock, LockError> {
        Lock::acquire(root.path(), locking)
    }

    fn holder(root: &tempfile::TempDir, pid: u32) -> Option<Holder> {
        that_may_be_held(root.path())?.holder(pid)
    }

    fn lock_file(root: &tempfile::TempDir) -> PathBuf {
        root.path().join("LOCK")
    }

    #[test]
    fn a_second_orchestrator_is_told_who_is_the_first() {
        for (first, second) in [
            (Locking::System, Locking::System),
            (Locking::System, Locking::Lease),
            (Locking::Lease, Locking::System),
        ] {
            let root = root();
            let mut lock = acquire(&root, first).unwrap();
            let refused = acquire(&root, second).unwrap_err().to_string();
            let this = format!("process {}", std::process::id());
            assert!(
                refused.contains(&this) && refused.contains(" on "),
                "{refused}"
            );
            lock.check().unwrap();
            drop(lock);
            acquire(&root, second).unwrap();
        }
    }

    #[test]
    fn the_holder_is_known_while_it_holds_the_lock() {
        for locking in [Locking::System, Locking::Lease] {
            let root = root();
            let this = std::process::id();
            assert_eq!(holder(&root, this), None);
            let lock = acquire(&root, locking).unwrap();
            let found = holder(&root, this).unwrap();
            assert!(found.is_here && found.name.contains(&this.to_string()));
            assert!(!holder(&root, this + 1).unwrap().is_here);
            drop(lock);
            assert_eq!(holder(&root, this), None);
            let lock = that_may_be_held(root.path());
            assert!(lock.is_none(), "nor by a process of another machine");
        }
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_taken_again() {
        let root = root();
        let mut lock = acquire(&root, Locking::System).unwrap();
        fs::remove_file(lock_file(&root)).unwrap();
        lock.check().unwrap();
        assert!(matches!(
            acquire(&root, Locking::System),
            Err(LockError::Held { .. })
        ));
    }

    #[test]
    fn an_orchestrator_whose_folder_was_taken_over_may_not_write() {
        let root = root();
        let mut lock = acquire(&root, Locking::System).unwrap();
        fs::remove_file(lock_file(&root)).unwrap();
        let _other = acquire(&root, Locking::System).unwrap();
        assert!(matches!(lock.check(), Err(LockError::TakenOver { .. })));
    }

    #[test]
    fn a_folder_that_is_gone_is_not_made_again() {
        for locking in [Locking::System, Locking::Lease] {
            let root = root();
            let mut lock = acquire(&root, locking).unwrap();
            fs::remove_dir_all(root.path()).unwrap();
            assert!(matches!(lock.check(), Err(LockError::Gone { .. })));
            drop(lock);
            assert!(!root.path().exists());
        }
    }

    #[test]
    fn a_lease_is_respected_while_it_is_fresh_and_free_once_it_has_ended() {
        let root = root();
        let other = "process 1 of someone on another";
        fs::write(lock_file(&root), other).unwrap();
        let refused = acquire(&root, Locking::Lease).unwrap_err().to_string();
        assert!(refused.contains(other), "{refused}");

        let file = File::options().write(true).open(lock_file(&root)).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * FREE_AFTER)
            .unwrap();
        let mut lock = acquire(&root, Locking::Lease).unwrap();
        lock.check().unwrap();
        fs::remove_file(lock_file(&root)).unwrap();
        lock.check().unwrap();
        fs::write(lock_file(&root), other).unwrap();
        assert!(matches!(lock.check(), Err(LockError::TakenOver { .. })));
        drop(lock);
        assert_eq!(fs::read_to_string(lock_file(&root)).unwrap(), other);
    }

    #[test]
    fn a_lock_is_free_at_once_when_its_holder_was_killed() {
        let root = root();
        let killed = this_process(Locking::System);
        fs::write(lock_file(&root), killed).unwrap();
        acquire(&root, Locking::System).unwrap();
    }

    #[test]
    fn a_file_system_without_locks_is_recognized() {
        for code in [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP] {
            assert!(is_unsupported(&code.into()));
        }
        assert!(!is_unsupported(&Errno::IO.into()));
    }
}
