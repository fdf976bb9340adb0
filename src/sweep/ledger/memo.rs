//! Results that were read and found intact, so that a command parses each file once.
//!
//! A file is known as long as its size, its times and its place on disk are those it had when it was read. One that was
//! changed within the last second is read again: its time would not tell it from a later content.
//!
//! A frozen memo looks at each file once: all that a command prints is about the same moment. Memos that share what they
//! know are frozen together or not at all.

use std::{
    fs::{self, Metadata},
    hash::Hash,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

/// The contents of the files of one kind, shared by all copies of a ledger; `K` tells whose file it is.
#[derive(Debug)]
pub(super) struct Memo<K: Eq + Hash, T> {
    files: Arc<DashMap<K, Found<T>, RandomState>>,
    /// How often it was frozen or not any more.
    moment: usize,
    is_frozen: bool,
}

/// What was found where a file should be.
#[derive(Debug)]
struct Found<T> {
    /// `None` if there was no intact file.
    content: Option<Arc<T>>,
    /// What tells it from a later content, if anything does.
    stamp: Option<Stamp>,
    /// The moment in which it was looked at.
    moment: usize,
}

impl<K: Eq + Hash, T> Clone for Memo<K, T> {
    fn clone(&self) -> Memo<K, T> {
        Memo {
            files: Arc::clone(&self.files),
            moment: self.moment,
            is_frozen: self.is_frozen,
        }
    }
}

impl<K: Eq + Hash, T> Default for Memo<K, T> {
    fn default() -> Memo<K, T> {
        Memo {
            files: Arc::default(),
            moment: 0,
            is_frozen: false,
        }
    }
}

impl<T> Clone for Found<T> {
    fn clone(&self) -> Found<T> {
        Found {
            content: self.content.clone(),
            stamp: self.stamp,
            moment: self.moment,
        }
    }
}

/// What tells two contents of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    file: (u64, u64),
    bytes: u64,
    /// Nanoseconds since 1970: of the content, and of anything else about the file.
    times: [i128; 2],
}

/// How long ago a file must have been changed.
pub(super) const SETTLED: Duration = Duration::from_secs(1);

impl<K: Copy + Eq + Hash, T> Memo<K, T> {
    /// Looks at each file once from now on, or notices changes.
    pub(super) fn set_frozen(&mut self, is_frozen: bool) {
        if Arc::get_mut(&mut self.files).is_none() {
            // The others go on as they are.
            let known = self.files.iter().filter(|known| known.stamp.is_some());
            let files = known.map(|known| (*known.key(), known.clone()));
            self.files = Arc::new(files.collect());
        }
        self.moment += 1;
        self.is_frozen = is_frozen;
    }

    /// True if it looks at each file once.
    pub(super) fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Calls a function with each content that is known as long as its stamp is that of the file.
    pub(super) fn for_each(&self, mut each: impl FnMut(K, Stamp, &T)) {
        for known in self.files.iter() {
            if let (Some(stamp), Some(content)) = (known.stamp, &known.content) {
                each(*known.key(), stamp, content);
            }
        }
    }

    /// Returns the content of a file, which `read` is asked for if it is not known. `None` if there is no file, or if
    /// `read` finds nothing intact in it. What `read` does not describe by metadata is known to frozen memos only.
    pub(super) fn get<E>(
        &self,
        key: K,
        path: impl FnOnce() -> PathBuf,
        read: impl FnOnce(&Path) -> Result<(Option<Metadata>, Option<T>), E>,
    ) -> Result<Option<Arc<T>>, E> {
        let known = self.files.get(&key).map(|known| known.clone());
        if let Some(found) = known.as_ref().filter(|found| self.is_final(found)) {
            return Ok(found.content.clone());
        }
        let path = path();
        let found = match known.filter(|found| found.is_still_at(&path)) {
            Some(found) => found,
            None => {
                let (metadata, content) = read(&path)?;
                Found::of(metadata, content)
            }
        };
        let content = found.content.clone();
        if self.is_frozen || found.stamp.is_some() {
            let moment = self.moment;
            self.files.insert(key, Found { moment, ..found });
        }
        Ok(content)
    }

    /// True if a file is not looked at again.
    fn is_final(&self, found: &Found<T>) -> bool {
        self.is_frozen && found.moment == self.moment
    }
}

impl<T> Found<T> {
    fn of(metadata: Option<Metadata>, content: Option<T>) -> Found<T> {
        let stamp = metadata.as_ref().map(Stamp::from);
        Found {
            stamp: stamp.filter(|stamp| content.is_some() && stamp.is_settled()),
            content: content.map(Arc::new),
            moment: 0,
        }
    }

    /// True if the file at a path is the one that was found.
    fn is_still_at(&self, path: &Path) -> bool {
        let now = Stamp::of(path).ok();
        now.is_some() && now == self.stamp
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Stamp> {
        Ok(Stamp::from(&fs::metadata(path)?))
    }

    fn is_settled(self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let last = self.times.into_iter().max().unwrap_or_default();
        (now.as_nanos() as i128).saturating_sub(last) > SETTLED.as_nanos() as i128
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Stamp {
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stamp {
            file: (found.dev(), found.ino()),
            bytes: found.len(),
            times: [
                nanoseconds(found.mtime(), found.mtime_nsec()),
                nanoseconds(found.ctime(), found.ctime_nsec()),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs::File};

    use super::*;

    /// A file of a run, and how often it was read.
    struct Desk {
        folder: tempfile::TempDir,
        memo: Memo<(), String>,
        reads: Cell<usize>,
    }

    impl Desk {
        fn new() -> Desk {
            Desk {
                folder: tempfile::tempdir().unwrap(),
                memo: Memo::default(),
                reads: Cell::new(0),
            }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("a")
        }

        fn write(&self, text: &str, age: Duration) {
            fs::write(self.path(), text).unwrap();
            let file = File::options().write(true).open(self.path()).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }

        fn read(&self, memo: &Memo<(), String>) -> Option<String> {
            let found = memo.get(
                (),
                || self.path(),
                |path| {
                    self.reads.set(self.reads.get() + 1);
                    match durable::read_with_metadata(path) {
                        Ok((bytes, metadata)) => {
                            Ok((Some(metadata), String::from_utf8(bytes).ok()))
                        }
                        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((None, None)),
                        Err(error) => Err(error),
                    }
                },
            );
            found.unwrap().map(|text| text.to_string())
        }
    }

    /// Returns a memo that knows the same, frozen.
    fn frozen<K: Copy + Eq + Hash, T>(memo: &Memo<K, T>) -> Memo<K, T> {
        let mut memo = memo.clone();
        memo.set_frozen(true);
        memo
    }

    /// Returns a memo that knows the same and notices changes.
    fn thawed<K: Copy + Eq + Hash, T>(memo: &Memo<K, T>) -> Memo<K, T> {
        let mut memo = memo.clone();
        memo.set_frozen(false);
        memo
    }

    #[test]
    fn a_memo_of_its_own_is_frozen_as_a_copy_is() {
        let desk = Desk::new();
        desk.write("one", Duration::ZERO);
        std::thread::sleep(SETTLED + Duration::from_millis(50));
        let mut memo = desk.memo.clone();
        memo.set_frozen(true);
        assert_eq!(desk.read(&memo).as_deref(), Some("one"));
        desk.write("two", 2 * SETTLED);
        assert_eq!(desk.read(&memo).as_deref(), Some("one"));
        memo.set_frozen(false);
        assert_eq!(desk.read(&memo).as_deref(), Some("two"));
        desk.write("three", 2 * SETTLED);
        assert_eq!(desk.read(&memo).as_deref(), Some("three"));
        memo.set_frozen(true);
        desk.write("four", 2 * SETTLED);
        assert_eq!(desk.read(&memo).as_deref(), Some("four"));
        memo.set_frozen(true);
        assert_eq!(desk.read(&memo).as_deref(), Some("four"));
    }

    #[test]
    fn a_file_is_read_again_only_after_a_change() {
        let desk = Desk::new();
        let read = || (desk.read(&desk.memo), desk.reads.get());
        assert_eq!(read(), (None, 1));
        desk.write("one", 2 * SETTLED);
        // It was changed just now, whatever the time of its content.
        assert_eq!(read(), (Some("one".to_owned()), 2));
        assert_eq!(read(), (Some("one".to_owned()), 3));
        std::thread::sleep(SETTLED + Duration::from_millis(50));
        assert_eq!(read(), (Some("one".to_owned()), 4));
        assert_eq!(read(), (Some("one".to_owned()), 4));
        desk.write("two", 2 * SETTLED);
        assert_eq!(read(), (Some("two".to_owned()), 5));
        fs::remove_file(desk.path()).unwrap();
        assert_eq!(read(), (None, 6));
    }

    #[test]
    fn a_frozen_memo_looks_at_each_file_once() {
        let desk = Desk::new();
        desk.write("one", Duration::ZERO);
        let first = frozen(&desk.memo);
        assert_eq!(desk.read(&first).as_deref(), Some("one"));
        desk.write("two", Duration::ZERO);
        assert_eq!(desk.read(&first).as_deref(), Some("one"));
        let second = frozen(&first);
        assert_eq!(desk.read(&second).as_deref(), Some("two"));
        fs::remove_file(desk.path()).unwrap();
        assert_eq!(desk.read(&second).as_deref(), Some("two"));
        let third = frozen(&second);
        assert_eq!((desk.read(&third), desk.reads.get()), (None, 3));
        desk.write("late", Duration::ZERO);
        assert_eq!((desk.read(&third), desk.reads.get()), (None, 3));
        assert_eq!(desk.read(&thawed(&third)).as_deref(), Some("late"));
    }

    #[test]
    fn what_has_no_metadata_is_known_to_frozen_memos_only() {
        let looks = Cell::new(0);
        let look = |memo: &Memo<(), usize>| {
            let number = memo.get((), PathBuf::new, |_| {
                looks.set(looks.get() + 1);
                Ok::<_, io::Error>((None, Some(looks.get())))
            });
            number.unwrap().map(|number| *number)
        };
        let memo = Memo::default();
        assert_eq!((look(&memo), look(&memo)), (Some(1), Some(2)));
        let now = frozen(&memo);
        assert_eq!((look(&now), look(&now)), (Some(3), Some(3)));
        assert_eq!(look(&frozen(&now)), Some(4));
    }

    #[test]
    fn what_a_frozen_memo_has_read_is_known_to_later_ones() {
        let desk = Desk::new();
        desk.write("one", Duration::ZERO);
        std::thread::sleep(SETTLED + Duration::from_millis(50));
        let first = frozen(&desk.memo);
        assert_eq!(desk.read(&first).as_deref(), Some("one"));
        assert_eq!(desk.read(&thawed(&first)).as_deref(), Some("one"));
        assert_eq!(desk.read(&frozen(&first)).as_deref(), Some("one"));
        assert_eq!(desk.reads.get(), 1);
        let later = thawed(&first);
        desk.write("two", 2 * SETTLED);
        assert_eq!(desk.read(&later).as_deref(), Some("two"));
        assert_eq!(desk.read(&first).as_deref(), Some("one"));
    }
}
