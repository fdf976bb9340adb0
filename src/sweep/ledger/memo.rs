//! Results that were read and found intact, so that a command parses each file once.
//!
//! A file is known as long as its size, its times and its place on disk are those it had when it was read. One that was
//! changed within the last second is read again: its time would not tell it from a later content.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The contents of files of one kind, shared by all copies of a ledger.
#[derive(Debug)]
pub(super) struct Memo<T>(Arc<Mutex<Contents<T>>>);

/// By path, each with what told it apart when it was read.
type Contents<T> = HashMap<PathBuf, (Stamp, Arc<T>)>;

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Memo<T> {
        Memo(Arc::clone(&self.0))
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Memo<T> {
        Memo(Arc::default())
    }
}

/// What tells two contents of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    /// Nanoseconds since 1970: of the content, and of anything else about the file.
    times: [i128; 2],
}

/// How long ago a file must have been changed.
const SETTLED: Duration = Duration::from_secs(1);

impl<T> Memo<T> {
    /// Returns the content of a file, which `read` is asked for if it is not known. `None` if there is no file, or `read`
    /// returns none.
    pub(super) fn get<E>(
        &self,
        path: &Path,
        read: impl FnOnce() -> Result<Option<T>, E>,
    ) -> Result<Option<Arc<T>>, E> {
        let stamp = match Stamp::of(path) {
            Ok(stamp) => Some(stamp),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // Reading it tells what is wrong.
            Err(_) => None,
        };
        if let Some(known) = stamp.and_then(|stamp| self.known(path, stamp)) {
            return Ok(Some(known));
        }
        let Some(content) = read()?.map(Arc::new) else {
            return Ok(None);
        };
        if let Some(stamp) = stamp.filter(|stamp| stamp.is_settled()) {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(path.to_owned(), (stamp, Arc::clone(&content)));
        }
        Ok(Some(content))
    }

    fn known(&self, path: &Path, now: Stamp) -> Option<Arc<T>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (stamp, content) = all.get(path)?;
        (*stamp == now).then(|| Arc::clone(content))
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Stamp> {
        let found = fs::metadata(path)?;
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Ok(Stamp {
            file: (found.dev(), found.ino()),
            bytes: found.len(),
            times: [
                nanoseconds(found.mtime(), found.mtime_nsec()),
                nanoseconds(found.ctime(), found.ctime_nsec()),
            ],
        })
    }

    fn is_settled(self) -> bool {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let last = self.times.into_iter().max().unwrap_or_default();
        (now.as_nanos() as i128).saturating_sub(last) > SETTLED.as_nanos() as i128
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs::File};

    use super::*;

    #[test]
    fn a_file_is_read_again_only_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let (memo, reads) = (Memo::default(), Cell::new(0));
        let read = || {
            memo.get(&path, || {
                reads.set(reads.get() + 1);
                fs::read_to_string(&path).map(Some)
            })
            .unwrap()
            .map(|text| text.to_string())
        };
        assert_eq!(read(), None);
        fs::write(&path, "one").unwrap();
        // Too young to be known.
        assert_eq!(
            (read(), read(), reads.get()),
            (Some("one".to_owned()), Some("one".to_owned()), 2)
        );
        std::thread::sleep(SETTLED + Duration::from_millis(50));
        assert_eq!(
            (read(), read(), reads.get()),
            (Some("one".to_owned()), Some("one".to_owned()), 3)
        );
        fs::write(&path, "two").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - 2 * SETTLED).unwrap();
        assert_eq!(read(), Some("two".to_owned()));
        fs::remove_file(&path).unwrap();
        assert_eq!(read(), None);
    }
}
