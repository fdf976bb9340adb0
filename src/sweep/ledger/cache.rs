//! What commands have read of many results, kept in files of its own: a later command only looks whether a result is still
//! the file that was read.
//!
//! To open, read and check a file takes several times as long as to ask for its times. A cache is trusted as far as a
//! [`Memo`] trusts what it has read itself. It has a checksum, one that another version of the program wrote counts as
//! absent, and nothing is lost without it.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    hash::Hash,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use durable::DiskError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::memo::{Memo, Stamp};

/// What a file is and its content, if it is there and intact.
type ReadFile<T, E> = Result<(Option<Metadata>, Option<T>), E>;

/// A content that can be kept.
pub(super) trait Cacheable: Sized {
    fn bytes(&self) -> serde_json::Result<Vec<u8>>;
    /// Returns the content; `None` if it cannot be read.
    fn of(bytes: &[u8]) -> Option<Self>;
}

/// A [`Memo`] of files that were read by earlier commands, too.
#[derive(Clone, Debug)]
pub(super) struct Cached<K: Eq + Hash, T> {
    memo: Memo<K, T>,
    earlier: Option<Arc<Earlier<K>>>,
    /// How many files were read.
    reads: Arc<AtomicUsize>,
}

/// What earlier commands have read: a file that is read when it is first needed.
#[derive(Debug)]
struct Earlier<K> {
    path: PathBuf,
    cache: OnceLock<Cache<K>>,
}

/// The content of a cache file.
#[derive(Debug)]
struct Cache<K> {
    /// Sorted by key.
    entries: Vec<Entry<K>>,
    contents: Vec<u8>,
}

/// Where the content of one file is.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry<K> {
    key: K,
    stamp: Stamp,
    span: Range<usize>,
}

/// What a cache file has between its checksum and the contents.
#[derive(Serialize, Deserialize)]
struct Head<K> {
    program: String,
    entries: Vec<Entry<K>>,
}

impl<K: Eq + Hash, T> Default for Cached<K, T> {
    fn default() -> Cached<K, T> {
        Cached {
            memo: Memo::default(),
            earlier: None,
            reads: Arc::default(),
        }
    }
}

impl<K: Eq + Hash, T> Cached<K, T> {
    /// Returns a memo that knows what [`keep`](Self::keep) has written to a file.
    pub(super) fn at(path: PathBuf) -> Cached<K, T> {
        let cache = OnceLock::new();
        Cached {
            earlier: Some(Arc::new(Earlier { path, cache })),
            ..Cached::default()
        }
    }
}

impl<K: Copy + Ord + Hash + Serialize + DeserializeOwned, T: Cacheable> Cached<K, T> {
    /// As [`Memo::set_frozen`].
    pub(super) fn set_frozen(&mut self, is_frozen: bool) {
        self.memo.set_frozen(is_frozen);
    }

    /// As [`Memo::is_frozen`].
    pub(super) fn is_frozen(&self) -> bool {
        self.memo.is_frozen()
    }

    /// As [`Memo::get`].
    pub(super) fn get<E>(
        &self,
        key: K,
        path: impl FnOnce() -> PathBuf,
        read: impl FnOnce(&Path) -> ReadFile<T, E>,
    ) -> Result<Option<Arc<T>>, E> {
        self.memo
            .get(key, path, |path| match self.unchanged(key, path) {
                Some((metadata, content)) => Ok((Some(metadata), Some(content))),
                None => self.counted(read(path)),
            })
    }

    /// Counts a file that was read, if there was one.
    fn counted<E>(&self, read: ReadFile<T, E>) -> ReadFile<T, E> {
        if let Ok((_, Some(_))) = &read {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        read
    }

    /// Returns what an earlier command has read in a file, if it is still that file.
    fn unchanged(&self, key: K, path: &Path) -> Option<(Metadata, T)> {
        let (stamp, content) = self.earlier.as_ref()?.cache().get(key)?;
        let metadata = fs::metadata(path).ok()?;
        let is_unchanged = Stamp::from(&metadata) == stamp;
        Some((metadata, T::of(content.filter(|_| is_unchanged)?)?))
    }

    /// Keeps what it knows for later commands, unless less than `least` files were read, or less than a tenth of those
    /// that are kept. What was kept and not looked at is kept on if `is_there`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn keep(&self, least: usize, is_there: impl Fn(K) -> bool) -> Result<(), DiskError> {
        let Some(earlier) = &self.earlier else {
            return Ok(());
        };
        let reads = self.reads.load(Ordering::Relaxed);
        if reads < least {
            return Ok(());
        }
        let cache = earlier.cache();
        if reads < cache.entries.len() / 10 {
            return Ok(());
        }
        let mut contents = BTreeMap::new();
        self.memo.for_each(|key, stamp, content| {
            // What cannot be represented is read again.
            contents.extend(content.bytes().ok().map(|bytes| (key, (stamp, bytes))));
        });
        for entry in &cache.entries {
            if let Some(content) = cache.contents.get(entry.span.clone())
                && is_there(entry.key)
            {
                let kept = || (entry.stamp, content.to_vec());
                contents.entry(entry.key).or_insert_with(kept);
            }
        }
        Cache::write(&earlier.path, contents)
    }
}

impl<K: Copy + Ord + Serialize + DeserializeOwned> Earlier<K> {
    /// Without an intact file, nothing is known.
    fn cache(&self) -> &Cache<K> {
        self.cache.get_or_init(|| {
            let file = durable::read(&self.path).unwrap_or_default();
            Cache::intact(file).unwrap_or_else(Cache::empty)
        })
    }
}

impl<K: Copy + Ord + Serialize + DeserializeOwned> Cache<K> {
    fn empty() -> Cache<K> {
        Cache {
            entries: Vec::new(),
            contents: Vec::new(),
        }
    }

    fn intact(mut file: Vec<u8>) -> Option<Cache<K>> {
        let (checksum, rest) = file.split_at_checked(blake3::OUT_LEN)?;
        if *blake3::hash(rest).as_bytes() != *checksum {
            return None;
        }
        let (head, contents): (Head<K>, &[u8]) = postcard::take_from_bytes(rest).ok()?;
        if head.program != crate::VERSION {
            return None;
        }
        let first = file.len() - contents.len();
        file.drain(..first);
        Some(Cache {
            entries: head.entries,
            contents: file,
        })
    }

    /// Returns the stamp of a file, and its content.
    fn get(&self, key: K) -> Option<(Stamp, Option<&[u8]>)> {
        let found = self.entries.binary_search_by_key(&key, |entry| entry.key);
        let entry = &self.entries[found.ok()?];
        Some((entry.stamp, self.contents.get(entry.span.clone())))
    }

    fn write(path: &Path, contents: BTreeMap<K, (Stamp, Vec<u8>)>) -> Result<(), DiskError> {
        let mut entries = Vec::with_capacity(contents.len());
        let mut end = 0;
        for (&key, (stamp, content)) in &contents {
            let span = end..end + content.len();
            end = span.end;
            let stamp = *stamp;
            entries.push(Entry { key, stamp, span });
        }
        let program = crate::VERSION.to_owned();
        // An empty file counts as absent.
        let mut rest = postcard::to_stdvec(&Head { program, entries }).unwrap_or_default();
        rest.extend(contents.into_values().flat_map(|(_, content)| content));
        let checksum = blake3::hash(&rest);
        durable::write(path, &[checksum.as_bytes(), rest.as_slice()].concat())
    }
}

impl Cacheable for () {
    fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn of(_: &[u8]) -> Option<()> {
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, thread::sleep, time::Duration};

    use super::*;
    use crate::ledger::memo::SETTLED;

    impl Cacheable for u32 {
        fn bytes(&self) -> serde_json::Result<Vec<u8>> {
            Ok(self.to_le_bytes().to_vec())
        }

        fn of(bytes: &[u8]) -> Option<u32> {
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        }
    }

    const FILES: u32 = 20;

    /// Files with a number each, and how many of them were read.
    struct Desk {
        folder: tempfile::TempDir,
        reads: Cell<u32>,
    }

    impl Desk {
        fn new() -> Desk {
            let desk = Desk {
                folder: tempfile::tempdir().unwrap(),
                reads: Cell::new(0),
            };
            (0..FILES).for_each(|file| desk.write(file, file));
            desk.settle();
            desk
        }

        fn write(&self, file: u32, number: u32) {
            fs::write(self.path(file), number.to_string()).unwrap();
        }

        fn settle(&self) {
            sleep(SETTLED + Duration::from_millis(50));
        }

        fn path(&self, file: u32) -> PathBuf {
            self.folder.path().join(file.to_string())
        }

        fn cache(&self) -> PathBuf {
            self.folder.path().join("cache/numbers.bin")
        }

        fn memo(&self) -> Cached<u32, u32> {
            Cached::at(self.cache())
        }

        /// Returns the numbers of the first files, and how many files are read for them.
        fn look(&self, memo: &Cached<u32, u32>, files: u32) -> (Vec<Option<u32>>, u32) {
            self.reads.set(0);
            let look = |file| {
                let found = memo.get(file, || self.path(file), |path| self.read(path));
                found.unwrap().map(|number| *number)
            };
            ((0..files).map(look).collect(), self.reads.get())
        }

        #[allow(clippy::unnecessary_wraps)]
        fn read(&self, path: &Path) -> Result<(Option<Metadata>, Option<u32>), ()> {
            self.reads.set(self.reads.get() + 1);
            let found = durable::read_with_metadata(path).ok();
            let (text, metadata) = found.unzip();
            let number = |text: Vec<u8>| String::from_utf8(text).unwrap().parse().unwrap();
            Ok((metadata, text.map(number)))
        }
    }

    fn numbers() -> Vec<Option<u32>> {
        (0..FILES).map(Some).collect()
    }

    #[test]
    fn a_later_command_reads_what_has_changed() {
        let desk = Desk::new();
        let first = desk.memo();
        assert_eq!(desk.look(&first, FILES), (numbers(), FILES));
        first.keep(1, |_| true).unwrap();
        let second = desk.memo();
        assert_eq!(desk.look(&second, FILES), (numbers(), 0));
        desk.write(3, 33);
        fs::remove_file(desk.path(5)).unwrap();
        let mut changed = numbers();
        (changed[3], changed[5]) = (Some(33), None);
        let mut frozen = desk.memo();
        frozen.set_frozen(true);
        for memo in [second, desk.memo(), frozen] {
            assert_eq!(desk.look(&memo, FILES), (changed.clone(), 2));
        }
    }

    #[test]
    fn what_was_not_looked_at_is_kept_on_as_long_as_it_is_there() {
        let desk = Desk::new();
        let first = desk.memo();
        desk.look(&first, FILES);
        first.keep(1, |_| true).unwrap();
        (0..4).for_each(|file| desk.write(file, file));
        desk.settle();
        let second = desk.memo();
        assert_eq!(desk.look(&second, 4).1, 4);
        second.keep(1, |file| file != 7).unwrap();
        assert_eq!(desk.look(&desk.memo(), FILES), (numbers(), 1));
    }

    #[test]
    fn little_that_is_new_is_not_kept() {
        let desk = Desk::new();
        let few = desk.memo();
        desk.look(&few, 4);
        few.keep(5, |_| true).unwrap();
        assert!(!desk.cache().exists());
        let most = desk.memo();
        desk.look(&most, FILES - 1);
        most.keep(5, |_| true).unwrap();
        let rest = desk.memo();
        desk.look(&rest, FILES);
        rest.keep(0, |_| true).unwrap();
        assert_eq!(desk.look(&desk.memo(), FILES), (numbers(), 0));
        desk.write(0, 0);
        desk.settle();
        let again = desk.memo();
        assert_eq!(desk.look(&again, FILES).1, 1);
        again.keep(0, |_| true).unwrap();
        assert_eq!(desk.look(&desk.memo(), FILES).1, 1, "less than a tenth");
    }

    #[test]
    fn a_damaged_cache_counts_as_absent() {
        let desk = Desk::new();
        let memo = desk.memo();
        desk.look(&memo, FILES);
        memo.keep(1, |_| true).unwrap();
        let intact = fs::read(desk.cache()).unwrap();
        for place in 0..intact.len() {
            let mut damaged = intact.clone();
            damaged[place] ^= 1;
            fs::write(desk.cache(), damaged).unwrap();
            assert_eq!(desk.look(&desk.memo(), FILES), (numbers(), FILES));
            fs::write(desk.cache(), &intact[..place]).unwrap();
            assert_eq!(desk.look(&desk.memo(), FILES), (numbers(), FILES));
        }
    }
}
