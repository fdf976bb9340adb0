//! Copies of prepared data on the disk of a node, which workers read instead of the shared file system.
//!
//! A copy is a results folder with nothing but `data/<id>/`. It is named by the hash of the data set's index, which
//! contains that of the images: the copies of all sweeps and results folders are the same.
//!
//! ```text
//! <stage>/sweep-1000/        of the user with this number
//!   9f86d081884c7d65/        a copy
//!   9f86d081884c7d65.lock    locked by those who read it, or by the one who makes or removes it
//! ```
//!
//! The first worker on a node makes a copy while the others wait, and each one reads it whole before it relies on it. A copy
//! stays when its workers have ended, for the elements that come next. A worker that makes a copy first removes
//! copies that no job has begun to use for three days and, if there is no room, unused ones, the least recently used
//! first. A worker without a copy reads the results folder: a copy saves time, and nothing depends on it.

use std::{
    collections::BTreeMap,
    env, fs,
    fs::{DirBuilder, File, TryLockError},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use durable::{DiskError, WholeFile};
use rustix::process::getuid;
use schema::{DataId, PrepareWork, bytes_in_words};
use thiserror::Error;

use crate::ledger::{Check, Ledger, LedgerError};

/// A copy that no job has begun to use for this long is removed.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

/// The part of the free space on a disk that a copy may take.
const ROOM: (u64, u64) = (9, 10);

/// Between two looks whether another worker has made a copy.
const PERIOD: Duration = Duration::from_millis(500);

/// Bytes that are copied between two looks whether the worker is to stop.
const PORTION: usize = 8 << 20;

/// There is no copy for a worker.
#[derive(Debug, Error)]
pub enum CopyError {
    /// A variable in the name of the folder is not set on this node.
    #[error("`${0}` is not set here")]
    NoVariable(String),
    /// Another user has made the folder.
    #[error("`{}` belongs to another user", .0.display())]
    OfOthers(PathBuf),
    /// The disk of the node has too little room.
    #[error("`{}` has room for {}, not for {}", folder.display(), bytes_in_words(*free), bytes_in_words(*needed))]
    NoRoom {
        /// The folder of copies.
        folder: PathBuf,
        /// The bytes that a copy may take.
        free: u64,
        /// The bytes that it would take.
        needed: u64,
    },
    /// The copy is not like the original.
    #[error("`{}` is damaged", .0.display())]
    Damaged(PathBuf),
    /// The worker is to stop.
    #[error("the worker was asked to stop")]
    Stopped,
    /// The disk of the node does not accept a file.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The folder of a user's copies on a node.
#[derive(Debug)]
pub struct Stage<'a> {
    folder: PathBuf,
    /// The number of interrupts so far: a worker that is to stop waits for no copy.
    interrupts: &'a AtomicU32,
    /// Returns the free bytes on the disk of a folder.
    free: fn(&Path) -> io::Result<u64>,
}

/// A copy that this process reads. Nobody removes it until this is dropped.
#[derive(Debug)]
pub struct LocalCopy {
    /// The folder of the data set.
    pub folder: PathBuf,
    /// Its size, if this process has made it.
    pub copied: Option<u64>,
    _lock: File,
}

/// The copies that a process reads.
pub type Copies = BTreeMap<DataId, LocalCopy>;

/// The data set that is copied, and its copy.
struct Pair<'l> {
    data: DataId,
    from: &'l Ledger,
    to: Ledger,
    index: Vec<u8>,
    bytes: u64,
}

impl Stage<'_> {
    /// Opens the folder of copies below `stage`, a path whose components may be variables, such as `$TMPDIR`.
    ///
    /// # Errors
    /// A variable is not set, or the folder cannot be created or is that of another user.
    pub fn open<'a>(stage: &str, interrupts: &'a AtomicU32) -> Result<Stage<'a>, CopyError> {
        let user = getuid().as_raw();
        let folder = with_variables(stage)?.join(format!("sweep-{user}"));
        let created = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        created.map_err(DiskError::at("create", &folder))?;
        let owner = fs::metadata(&folder).map_err(DiskError::at("examine", &folder))?;
        match owner.uid() == user {
            true => Ok(Stage {
                folder,
                interrupts,
                free: free_bytes,
            }),
            false => Err(CopyError::OfOthers(folder)),
        }
    }

    /// Returns the copy of a prepared data set; nothing if there is none to be made, because the data set is not prepared, or
    /// because its images are decoded from files elsewhere.
    ///
    /// # Errors
    /// The disk has no room, a file cannot be read or written, the copy is damaged and others read it, or the worker is to
    /// stop.
    pub fn copy_of(&self, data: DataId, ledger: &Ledger) -> Result<Option<LocalCopy>, CopyError> {
        let Some(bytes) = ledger.bytes_of_images(data) else {
            return Ok(None);
        };
        let index = durable::read(&ledger.data(data).join(PrepareWork::INDEX));
        let index = index.map_err(DiskError::at("read", &ledger.data(data)))?;
        let name = blake3::hash(&index).to_hex()[..16].to_owned();
        let pair = Pair {
            data,
            from: ledger,
            to: Ledger::new(self.folder.join(&name)),
            index,
            bytes,
        };
        let lock = self.lock_file(&name)?;
        let copied = self.make_or_find(&pair, &lock)?;
        Ok(Some(LocalCopy {
            folder: pair.to.data(data),
            copied,
            _lock: lock,
        }))
    }

    /// Waits until there is a whole copy, and this process has locked it as a reader. Returns its size if this process has
    /// made it.
    fn make_or_find(&self, pair: &Pair<'_>, lock: &File) -> Result<Option<u64>, CopyError> {
        loop {
            if self.interrupts.load(Ordering::Relaxed) > 0 {
                return Err(CopyError::Stopped);
            }
            // Nobody else makes or reads it.
            if is_locked(lock.try_lock(), &self.folder)? {
                let copied = self.make_unless_whole(pair)?;
                // Between the two locks, someone may remove it.
                if is_locked(lock.try_lock_shared(), &self.folder)?
                    && pair.is_whole(Check::Sizes)?
                {
                    return Ok(copied);
                }
            } else if is_locked(lock.try_lock_shared(), &self.folder)? {
                return match pair.is_whole(Check::Contents)? {
                    true => Ok(None),
                    false => Err(CopyError::Damaged(pair.to.data(pair.data))),
                };
            }
            thread::sleep(PERIOD);
        }
    }

    fn make_unless_whole(&self, pair: &Pair<'_>) -> Result<Option<u64>, CopyError> {
        if pair.is_whole(Check::Contents)? {
            return Ok(None);
        }
        let made = self.make(pair);
        if made.is_err() {
            // Others need the room; the error is that of the copy.
            let _ = remove(pair.to.root());
        }
        made.map(|()| Some(pair.bytes))
    }

    fn make(&self, pair: &Pair<'_>) -> Result<(), CopyError> {
        remove(pair.to.root())?;
        self.make_room(pair.bytes)?;
        let (from, to) = (pair.from.data(pair.data), pair.to.data(pair.data));
        self.copy_file(
            &from.join(PrepareWork::IMAGES),
            &to.join(PrepareWork::IMAGES),
        )?;
        durable::write(&to.join(PrepareWork::INDEX), &pair.index)?;
        match pair.is_whole(Check::Contents)? {
            true => Ok(()),
            false => Err(CopyError::Damaged(to)),
        }
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), CopyError> {
        let mut source = durable::open(from).map_err(DiskError::at("read", from))?;
        let mut target = WholeFile::create(to)?;
        let mut portion = vec![0; PORTION];
        loop {
            if self.interrupts.load(Ordering::Relaxed) > 0 {
                return Err(CopyError::Stopped);
            }
            let read = source.read(&mut portion);
            match read.map_err(DiskError::at("read", from))? {
                0 => return Ok(target.publish()?),
                bytes => target.append(&portion[..bytes])?,
            }
        }
    }

    /// Removes old copies, and as many unused ones as it takes until there is room for this number of bytes.
    fn make_room(&self, needed: u64) -> Result<(), CopyError> {
        for (used, name) in self.copies_by_use()? {
            let is_old = used.elapsed().unwrap_or_default() > KEPT;
            if is_old || self.room()? < needed {
                self.remove_unless_used(&name)?;
            }
        }
        let free = self.room()?;
        match free >= needed {
            true => Ok(()),
            false => Err(CopyError::NoRoom {
                folder: self.folder.clone(),
                free,
                needed,
            }),
        }
    }

    /// Returns the bytes that a copy may take.
    fn room(&self) -> Result<u64, CopyError> {
        let free = (self.free)(&self.folder).map_err(DiskError::at("examine", &self.folder))?;
        Ok(free / ROOM.1 * ROOM.0)
    }

    /// Returns the names of all copies, the least recently used first.
    fn copies_by_use(&self) -> Result<Vec<(SystemTime, String)>, CopyError> {
        let failed = |cause| DiskError::at("list", &self.folder)(cause);
        let mut copies = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let lock = path.with_extension("lock");
            if let (true, Some(name)) = (
                path.is_dir(),
                path.file_name().and_then(|name| name.to_str()),
            ) {
                let used = fs::metadata(lock).and_then(|lock| lock.modified());
                copies.push((used.unwrap_or(SystemTime::UNIX_EPOCH), name.to_owned()));
            }
        }
        copies.sort();
        Ok(copies)
    }

    fn remove_unless_used(&self, name: &str) -> Result<(), CopyError> {
        let path = self.lock_path(name);
        let lock = open_lock(&path).map_err(DiskError::at("open", &path))?;
        match is_locked(lock.try_lock(), &path)? {
            true => Ok(remove(&self.folder.join(name))?),
            false => Ok(()),
        }
    }

    /// Opens the file whose lock says who uses a copy, and notes the time.
    fn lock_file(&self, name: &str) -> Result<File, CopyError> {
        let path = self.lock_path(name);
        let failed = |cause| DiskError::at("open", &path)(cause);
        let lock = open_lock(&path).map_err(failed)?;
        lock.set_modified(SystemTime::now()).map_err(failed)?;
        Ok(lock)
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("lock")
    }
}

impl Pair<'_> {
    fn is_whole(&self, check: Check) -> Result<bool, LedgerError> {
        self.to.is_prepared(self.data, check)
    }
}

/// Returns the path that a setting means on this node.
fn with_variables(stage: &str) -> Result<PathBuf, CopyError> {
    let mut path = PathBuf::new();
    for part in Path::new(stage) {
        let variable = part.to_str().and_then(|part| part.strip_prefix('$'));
        match variable {
            Some(name) => {
                let value = env::var_os(name).filter(|value| !value.is_empty());
                path.push(value.ok_or_else(|| CopyError::NoVariable(name.to_owned()))?);
            }
            None => path.push(part),
        }
    }
    Ok(path)
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).write(true).truncate(false).open(path)
}

/// True if this process has the lock now, and false if another one has.
fn is_locked(tried: Result<(), TryLockError>, path: &Path) -> Result<bool, DiskError> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(DiskError::at("lock", path)(error)),
    }
}

fn remove(folder: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DiskError::at("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use schema::{Dataset, Fingerprint, PreparedIndex, StoredImages};
    use serde_json::{Value, json};
    use tempfile::TempDir;

    use super::*;

    static GOES_ON: AtomicU32 = AtomicU32::new(0);

    /// A results folder with prepared data sets, and the disk of a node.
    struct Desk {
        folder: TempDir,
        ledger: Ledger,
    }

    impl Desk {
        fn new() -> Desk {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::new(folder.path().join("results"));
            Desk { folder, ledger }
        }

        /// Prepares a data set of this number of bytes.
        fn prepare(&self, number: u8, bytes: usize) -> DataId {
            let glyphs =
                json!({ "glyphs": { "classes": number, "test_classes": 1, "per_class": 1 } });
            let dataset: Dataset = serde_json::from_value(glyphs).unwrap();
            let stored = json!({ "size": { "square": 2 }, "color": "gray" });
            let stored: StoredImages = serde_json::from_value(stored).unwrap();
            let fingerprint = Fingerprint::of_parameters(&dataset);
            let id = DataId::of(&dataset, &stored, &fingerprint);
            let images = vec![number; bytes];
            let index = json!({
                "dataset": dataset, "stored": stored, "fingerprint": fingerprint, "bytes": bytes,
                "blake3": blake3::hash(&images).to_hex().to_string(),
            });
            let index = schema::sealed(PreparedIndex::SUBJECT, &index).unwrap();
            let folder = self.ledger.data(id);
            durable::write(&folder.join(PrepareWork::IMAGES), &images).unwrap();
            durable::write(&folder.join(PrepareWork::INDEX), index.as_bytes()).unwrap();
            id
        }

        fn stage(&self) -> Stage<'static> {
            let stage = self.folder.path().join("scratch");
            let stage = Stage::open(stage.to_str().unwrap(), &GOES_ON).unwrap();
            Stage {
                free: of_1000_bytes,
                ..stage
            }
        }

        fn copy(&self, data: DataId) -> Result<LocalCopy, CopyError> {
            self.stage().copy_of(data, &self.ledger).map(Option::unwrap)
        }

        fn copies(&self) -> usize {
            self.stage().copies_by_use().unwrap().len()
        }

        /// Makes all copies seem to have been used for the last time before so long.
        fn age(&self, by: Duration) {
            let stage = self.stage();
            for (_, name) in stage.copies_by_use().unwrap() {
                let lock = open_lock(&stage.lock_path(&name)).unwrap();
                lock.set_modified(SystemTime::now() - by).unwrap();
            }
        }
    }

    /// Returns the free bytes of a disk of 1000.
    fn of_1000_bytes(folder: &Path) -> io::Result<u64> {
        let mut used = 0;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.ends_with(PrepareWork::IMAGES) => {
                        used += fs::metadata(path)?.len()
                    }
                    false => {}
                }
            }
        }
        Ok(1000 - used)
    }

    #[test]
    fn data_is_copied_once_and_found_by_those_who_come_later() {
        let desk = Desk::new();
        let data = desk.prepare(1, 300);
        let first = desk.copy(data).unwrap();
        assert_eq!(first.copied, Some(300));
        for name in [PrepareWork::IMAGES, PrepareWork::INDEX] {
            let original = fs::read(desk.ledger.data(data).join(name)).unwrap();
            assert_eq!(fs::read(first.folder.join(name)).unwrap(), original);
        }
        let beside = desk.copy(data).unwrap();
        assert_eq!((beside.copied, &beside.folder), (None, &first.folder));
        drop((first, beside));
        assert_eq!(desk.copy(data).unwrap().copied, None);
    }

    #[test]
    fn a_damaged_copy_is_made_again_unless_others_read_it() {
        let desk = Desk::new();
        let data = desk.prepare(1, 300);
        let copy = desk.copy(data).unwrap();
        let images = copy.folder.join(PrepareWork::IMAGES);
        fs::write(&images, vec![2; 300]).unwrap();
        let refused = desk.copy(data).unwrap_err();
        assert!(matches!(refused, CopyError::Damaged(_)), "{refused}");
        drop(copy);
        assert_eq!(desk.copy(data).unwrap().copied, Some(300));
        assert_eq!(fs::read(&images).unwrap(), vec![1; 300]);
    }

    #[test]
    fn room_is_made_by_removing_what_nobody_uses_and_was_not_used_for_longest() {
        let desk = Desk::new();
        let [first, second, third, fourth] = [1, 2, 3, 4].map(|number| desk.prepare(number, 400));
        let used = desk.copy(first).unwrap();
        desk.age(Duration::from_secs(3600));
        drop(desk.copy(second).unwrap());
        let also_used = desk.copy(third).unwrap();
        assert!(used.folder.is_dir() && desk.copies() == 2);
        let refused = desk.copy(fourth).unwrap_err().to_string();
        assert!(
            refused.ends_with("has room for 180 bytes, not for 400 bytes"),
            "{refused}"
        );
        assert_eq!(desk.copies(), 2);
        drop((used, also_used));
        desk.copy(fourth).unwrap();
        assert_eq!(desk.copy(third).unwrap().copied, None);
    }

    #[test]
    fn a_copy_that_was_not_used_for_days_is_removed_by_whoever_makes_another() {
        let desk = Desk::new();
        let (old, new) = (desk.prepare(1, 100), desk.prepare(2, 100));
        drop(desk.copy(old).unwrap());
        desk.age(2 * KEPT);
        drop(desk.copy(new).unwrap());
        assert_eq!(desk.copies(), 1);
    }

    #[test]
    fn a_worker_that_is_to_stop_leaves_nothing_half_copied() {
        static STOPS: AtomicU32 = AtomicU32::new(1);
        let desk = Desk::new();
        let data = desk.prepare(1, 300);
        let stage = Stage {
            interrupts: &STOPS,
            ..desk.stage()
        };
        let stopped = stage.copy_of(data, &desk.ledger).unwrap_err();
        assert!(matches!(stopped, CopyError::Stopped), "{stopped}");
        assert_eq!(desk.copies(), 0);
    }

    #[test]
    fn data_whose_images_are_elsewhere_is_not_copied() {
        let desk = Desk::new();
        let data = desk.prepare(1, 300);
        let path = desk.ledger.data(data).join(PrepareWork::INDEX);
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        index.as_object_mut().unwrap().remove("bytes");
        durable::write(&path, index.to_string().as_bytes()).unwrap();
        let copy = desk.stage().copy_of(data, &desk.ledger).unwrap();
        assert!(copy.is_none());
    }

    #[test]
    fn a_variable_that_is_not_set_on_the_node_is_named() {
        let refused = Stage::open("$NO_SUCH_FOLDER/data", &GOES_ON).unwrap_err();
        assert_eq!(refused.to_string(), "`$NO_SUCH_FOLDER` is not set here");
        let home = PathBuf::from(env::var_os("PATH").unwrap());
        assert_eq!(with_variables("$PATH/data").unwrap(), home.join("data"));
    }
}
