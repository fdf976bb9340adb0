//! The append-only journal of the orchestrator's decisions: `results/journal.jsonl`.
//!
//! A line is the CRC32C of its JSON in eight hexadecimal digits, a space and the JSON. Each entry is on
//! disk before its effect begins. A kill or a full disk can tear the last line only: on opening, such
//! a tail is moved to `journal.torn`, and the journal continues after the last complete line. Damaged
//! lines elsewhere are skipped and counted; they never stop a sweep, because the run folders hold the
//! results.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use schema::StudyId;
use serde::{Deserialize, Serialize};

use super::{AttemptEnd, Job};

/// One decision with its number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// From 1, without gaps.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub time: u64,
    /// The decision.
    pub what: Decision,
}

/// A decision of the orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A session begins.
    Opened {
        /// The sweep's name.
        sweep: String,
        /// The process id of the orchestrator.
        pid: u32,
    },
    /// An attempt is about to start.
    Started {
        /// The job.
        job: Job,
        /// The number of the attempt.
        attempt: u32,
        /// The name of the slot.
        slot: String,
    },
    /// An attempt has ended.
    Ended {
        /// The job.
        job: Job,
        /// The number of the attempt.
        attempt: u32,
        /// How it ended.
        end: AttemptEnd,
    },
    /// A place is not used any more in this session.
    LeftOut {
        /// The name of the place.
        place: String,
        /// Its last failure.
        message: String,
    },
    /// A study ended.
    Selected {
        /// The study.
        study: StudyId,
        /// The index of the best trial; `None` if all failed.
        trial: Option<usize>,
    },
    /// The session ends normally.
    Closed,
}

/// The journal, open for appending.
#[derive(Debug)]
pub struct Journal {
    file: File,
    next: u64,
}

/// The content of a journal.
#[derive(Debug, Default)]
pub struct JournalContents {
    /// All intact entries, in order.
    pub entries: Vec<JournalEntry>,
    /// The number of damaged lines, without a torn tail.
    pub damaged: usize,
    /// Bytes up to the end of the last complete line.
    whole: usize,
}

impl Journal {
    /// Opens the journal under `root` to append to it. The caller holds the [`Lock`](super::Lock).
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(root: &Path) -> io::Result<(Journal, JournalContents)> {
        let path = path(root);
        fs::create_dir_all(root)?;
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let contents = parse(&bytes);
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        if contents.whole < bytes.len() {
            let mut torn = OpenOptions::new()
                .append(true)
                .create(true)
                .open(root.join("journal.torn"))?;
            torn.write_all(&bytes[contents.whole..])?;
            torn.write_all(b"\n")?;
            torn.sync_all()?;
            file.set_len(contents.whole as u64)?;
        }
        file.sync_all()?;
        let next = contents.entries.last().map_or(1, |entry| entry.seq + 1);
        Ok((Journal { file, next }, contents))
    }

    /// Appends one entry and waits until it is on disk.
    ///
    /// # Errors
    /// It cannot be written; the journal must not be used any more.
    pub fn append(&mut self, what: Decision) -> io::Result<()> {
        let time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let entry = JournalEntry {
            seq: self.next,
            time: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
            what,
        };
        let json = serde_json::to_string(&entry)?;
        let line = format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()));
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.next += 1;
        Ok(())
    }
}

/// Reads the journal under `root`; empty if there is none.
///
/// # Errors
/// The file cannot be read.
pub fn read(root: &Path) -> io::Result<JournalContents> {
    match fs::read(path(root)) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(JournalContents::default()),
        Err(error) => Err(error),
    }
}

fn path(root: &Path) -> PathBuf {
    root.join("journal.jsonl")
}

fn parse(bytes: &[u8]) -> JournalContents {
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |at| at + 1);
    let mut contents = JournalContents {
        whole,
        ..JournalContents::default()
    };
    for line in bytes[..whole]
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match entry(line) {
            Some(entry) => contents.entries.push(entry),
            None => contents.damaged += 1,
        }
    }
    contents
}

fn entry(line: &[u8]) -> Option<JournalEntry> {
    let (sum, json) = line.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == crc32c::crc32c(json))
        .then(|| serde_json::from_slice(json).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal_of(entries: usize) -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        for pid in 0..entries {
            journal
                .append(Decision::Opened {
                    sweep: "ü".to_owned(),
                    pid: pid as u32,
                })
                .unwrap();
        }
        let bytes = fs::read(path(folder.path())).unwrap();
        (folder, bytes)
    }

    #[test]
    fn a_journal_cut_anywhere_continues_after_its_last_complete_line() {
        let (_folder, bytes) = journal_of(4);
        for length in 0..bytes.len() {
            let folder = tempfile::tempdir().unwrap();
            fs::write(path(folder.path()), &bytes[..length]).unwrap();
            let whole = bytes[..length]
                .iter()
                .filter(|&&byte| byte == b'\n')
                .count();
            let (mut journal, contents) = Journal::open(folder.path()).unwrap();
            assert_eq!(
                (contents.entries.len(), contents.damaged),
                (whole, 0),
                "cut at {length}"
            );
            journal.append(Decision::Closed).unwrap();
            let entries = read(folder.path()).unwrap().entries;
            assert_eq!(
                entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
                (1..=whole as u64 + 1).collect::<Vec<_>>()
            );
            assert_eq!(entries.last().unwrap().what, Decision::Closed);
        }
    }

    #[test]
    fn damage_in_the_middle_costs_the_damaged_lines_only() {
        let (folder, mut bytes) = journal_of(5);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        fs::write(path(folder.path()), &bytes).unwrap();
        let contents = read(folder.path()).unwrap();
        assert_eq!((contents.entries.len(), contents.damaged), (4, 1));
    }
}
