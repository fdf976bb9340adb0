//! The append-only journal of the orchestrator's decisions: `results/journal.jsonl`.
//!
//! A line is the CRC32C of its JSON in eight hexadecimal digits, a space and the JSON. Entries
//! reach the disk together, a few times a second: a power cut can cost the last ones, which `sweep fsck --repair` writes
//! again from the folders of attempts. A kill or a full disk can tear the last line only. On opening, such a
//! tail and all damaged lines are moved to `journal.torn`, and the journal continues with the next
//! number. Damage is counted and never stops a sweep, because the run folders hold the results.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
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
    /// True if all entries are on disk.
    is_synced: bool,
}

/// The content of a journal.
#[derive(Debug, Default)]
pub struct JournalContents {
    /// All intact entries, in order.
    pub entries: Vec<JournalEntry>,
    /// The number of damaged lines, without a torn tail.
    pub damaged: usize,
    /// The lines of the entries.
    intact: Vec<u8>,
    /// The damaged lines and the torn tail.
    torn: Vec<u8>,
}

/// An attempt whose end is in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct EndedAttempt {
    /// What was attempted.
    pub job: Job,
    /// How it ended.
    pub end: AttemptEnd,
    /// From its start to its end; none if the journal lacks the start.
    pub seconds: Option<f64>,
}

impl JournalContents {
    /// Returns the attempts that ended, in the order of their ends.
    pub fn ended(self) -> Vec<EndedAttempt> {
        let (mut started, mut ended) = (BTreeMap::new(), Vec::new());
        for entry in self.entries {
            match entry.what {
                Decision::Started { job, attempt, .. } => {
                    started.insert((job, attempt), entry.time);
                }
                Decision::Ended { job, attempt, end } => {
                    let begun = started.remove(&(job, attempt));
                    let seconds = begun.map(|begun| entry.time.saturating_sub(begun) as f64 / 1e3);
                    ended.push(EndedAttempt { job, end, seconds });
                }
                Decision::Opened { .. }
                | Decision::LeftOut { .. }
                | Decision::Selected { .. }
                | Decision::Closed => {}
            }
        }
        ended
    }
}

impl Journal {
    /// Opens the journal under `root` to append to it. The caller holds the [`Lock`](super::Lock).
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(root: &Path) -> io::Result<(Journal, JournalContents)> {
        let path = path(root);
        durable::create_folder(root).map_err(|error| error.cause)?;
        let contents = read_or_set_aside(root)?;
        if !contents.torn.is_empty() {
            append(&root.join("journal.torn"), &contents.torn)?;
            durable::write(&path, &contents.intact).map_err(|error| error.cause)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        file.sync_all()?;
        let next = contents.next_number();
        let is_synced = true;
        let journal = Journal {
            file,
            next,
            is_synced,
        };
        Ok((journal, contents))
    }

    /// Appends one entry. Other processes see it at once; [`commit`](Journal::commit) waits for the disk.
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
        self.file.write_all(line(&entry)?.as_bytes())?;
        self.next = self.next.saturating_add(1);
        self.is_synced = false;
        Ok(())
    }

    /// Waits until all entries are on disk.
    ///
    /// # Errors
    /// They cannot be written; the journal must not be used any more.
    pub fn commit(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }
}

/// Replaces the journal under `root` by entries, which are numbered anew. The caller holds the [`Lock`](super::Lock).
///
/// # Errors
/// The file cannot be written.
pub(super) fn replace(root: &Path, entries: Vec<JournalEntry>) -> io::Result<()> {
    let mut text = String::new();
    for (seq, entry) in (1..).zip(entries) {
        text += &line(&JournalEntry { seq, ..entry })?;
    }
    durable::write(&path(root), text.as_bytes()).map_err(|error| error.cause)
}

fn line(entry: &JournalEntry) -> io::Result<String> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())))
}

/// Reads the journal under `root`; empty if there is none.
///
/// # Errors
/// The file cannot be read.
pub fn read(root: &Path) -> io::Result<JournalContents> {
    match durable::read(&path(root)) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(JournalContents::default()),
        Err(error) => Err(error),
    }
}

/// What the latest session has decided.
#[derive(Clone, Debug)]
pub struct LatestSession {
    /// The sweep's name.
    pub sweep: String,
    /// The process id of the orchestrator.
    pub pid: u32,
    /// Milliseconds since 1970 at its beginning.
    pub since: u64,
    /// Its decisions after that, in order.
    pub entries: Vec<JournalEntry>,
}

impl LatestSession {
    /// True if the session has ended normally.
    pub fn is_closed(&self) -> bool {
        let last = self.entries.last();
        last.is_some_and(|entry| entry.what == Decision::Closed)
    }
}

/// Reads the latest session of the journal under `root` from its end; none if there is no intact one.
///
/// # Errors
/// The file cannot be read.
pub fn latest_session(root: &Path) -> io::Result<Option<LatestSession>> {
    const FIRST: u64 = 1 << 16;
    let mut file = match durable::open(&path(root)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut size = FIRST;
    loop {
        file.seek(SeekFrom::Start(length.saturating_sub(size)))?;
        let mut bytes = Vec::new();
        (&file).take(size).read_to_end(&mut bytes)?;
        let session = session_of(parse(&bytes).entries);
        if session.is_some() || size >= length {
            return Ok(session);
        }
        size = size.saturating_mul(4);
    }
}

/// Returns the last session of these entries, if its beginning is among them.
fn session_of(mut entries: Vec<JournalEntry>) -> Option<LatestSession> {
    let is_beginning = |entry: &JournalEntry| matches!(entry.what, Decision::Opened { .. });
    let beginning = entries.iter().rposition(is_beginning)?;
    let rest = entries.split_off(beginning + 1);
    let opened = entries.pop()?;
    let Decision::Opened { sweep, pid } = opened.what else {
        return None;
    };
    Some(LatestSession {
        sweep,
        pid,
        since: opened.time,
        entries: rest,
    })
}

impl JournalContents {
    /// Returns the number of lines that are damaged, and of a torn one at the end.
    pub fn torn_lines(&self) -> usize {
        self.torn.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Returns the number of the next entry. A forged one may be the largest; then the entries are counted.
    fn next_number(&self) -> u64 {
        let last = self.entries.last().map_or(0, |entry| entry.seq);
        let count = self.entries.len() as u64;
        last.checked_add(1).unwrap_or(count + 1)
    }
}

/// Reads the journal. What is in its place but no file is renamed to `journal.damaged`.
fn read_or_set_aside(root: &Path) -> io::Result<JournalContents> {
    match read(root) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            fs::rename(path(root), root.join("journal.damaged"))?;
            Ok(JournalContents::default())
        }
        read => read,
    }
}

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn path(root: &Path) -> PathBuf {
    root.join("journal.jsonl")
}

fn parse(bytes: &[u8]) -> JournalContents {
    let mut contents = JournalContents::default();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let is_complete = line.ends_with(b"\n");
        match entry(line.trim_ascii_end()).filter(|_| is_complete) {
            Some(entry) => {
                contents.entries.push(entry);
                contents.intact.extend(line);
            }
            None if line == b"\n" => {}
            None => {
                contents.damaged += usize::from(is_complete);
                contents.torn.extend(line.trim_ascii_end());
                contents.torn.push(b'\n');
            }
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

    #[test]
    fn the_latest_session_is_found_from_the_end_of_a_long_journal() {
        let folder = tempfile::tempdir().unwrap();
        assert!(latest_session(folder.path()).unwrap().is_none());
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        let opened = |pid| Decision::Opened {
            sweep: "s".to_owned(),
            pid,
        };
        let left_out = |message: &str| Decision::LeftOut {
            place: "gpu0".to_owned(),
            message: message.repeat(9000),
        };
        for decision in [opened(1), Decision::Closed, opened(2)] {
            journal.append(decision).unwrap();
        }
        for _ in 0..20 {
            journal.append(left_out("out of order ")).unwrap();
        }
        let session = latest_session(folder.path()).unwrap().unwrap();
        assert_eq!((session.pid, session.entries.len()), (2, 20));
        assert!(!session.is_closed());
        journal.append(Decision::Closed).unwrap();
        assert!(latest_session(folder.path()).unwrap().unwrap().is_closed());
    }

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

    #[test]
    fn damaged_lines_are_moved_away_once_and_counted() {
        let (folder, mut bytes) = journal_of(5);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        fs::write(path(folder.path()), &bytes).unwrap();
        let (mut journal, contents) = Journal::open(folder.path()).unwrap();
        assert_eq!((contents.entries.len(), contents.damaged), (4, 1));
        journal.append(Decision::Closed).unwrap();
        let contents = read(folder.path()).unwrap();
        assert_eq!((contents.entries.len(), contents.damaged), (5, 0));
        assert_eq!(contents.entries.last().unwrap().seq, 6);
        assert!(folder.path().join("journal.torn").is_file());
    }

    #[test]
    fn a_forged_number_neither_panics_nor_continues() {
        let (folder, mut bytes) = journal_of(2);
        let forged = r#"{"seq":18446744073709551615,"time":18446744073709551615,"what":"closed"}"#;
        let sum = crc32c::crc32c(forged.as_bytes());
        bytes.extend(format!("{sum:08x} {forged}\n").bytes());
        fs::write(path(folder.path()), &bytes).unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        journal.append(Decision::Closed).unwrap();
        let last = read(folder.path()).unwrap().entries.pop().unwrap();
        assert_eq!(last.seq, 4);
    }
}
