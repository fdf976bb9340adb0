//! The append-only journal of the orchestrator's decisions: `results/journal.jsonl`.
//!
//! Each worker of a batch system writes a journal of its own, `results/journal/<name>.jsonl`: two machines never append to
//! one file. Who reads [the journal](read) reads all of them, in the order of time.
//!
//! A line is the CRC32C of its JSON in eight hexadecimal digits, a space and the JSON. Entries
//! reach the disk together, a few times a second: a power cut can cost the last ones, which `sweep fsck --repair` writes
//! again from the folders of attempts. A kill or a full disk can tear the last line only. On opening, such a
//! tail and all damaged lines are moved to `journal.torn`, and the journal continues with the next
//! number. Damage is counted and never stops a sweep, because the run folders hold the results.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use rayon::prelude::*;
use schema::StudyId;
use serde::{Deserialize, Serialize};

use super::{AttemptEnd, Job, Writer};

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
        /// The process, if it is a worker of a batch system.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<Box<Writer>>,
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
    /// A place or a slot is not used any more in this session.
    LeftOut {
        /// The name of the place, or of the slot.
        place: String,
        /// Its last failure.
        message: String,
    },
    /// A GPU is not used while the processes of others take too much of its memory; if it is for the next job alone, until
    /// an attempt starts.
    AwaitsOthers {
        /// The name of the place.
        place: String,
        /// What they take.
        taken: TakenMemory,
    },
    /// They have freed enough of its memory.
    UsesAgain {
        /// The name of the place.
        place: String,
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

/// How much of a GPU's memory the processes of others take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenMemory {
    /// The bytes that they take.
    pub used: u64,
    /// The bytes of the GPU.
    pub memory: u64,
    /// The bytes that the next job needs, if nothing runs because others take them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u64>,
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
    /// Adds the entries in the journals of workers under `root`, in the order of time.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn with_those_of_workers(mut self, root: &Path) -> io::Result<JournalContents> {
        let workers = of_workers(root)?;
        if workers.is_empty() {
            return Ok(self);
        }
        let mut timed = in_order(self.entries);
        for path in workers {
            let contents = parse(&durable::read(&path)?);
            timed.extend(in_order(contents.entries));
            self.damaged += contents.damaged;
            self.torn.extend(contents.torn);
        }
        timed.sort_by_key(|(time, _)| *time);
        self.entries = timed.into_iter().map(|(_, entry)| entry).collect();
        Ok(self)
    }

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
                | Decision::AwaitsOthers { .. }
                | Decision::UsesAgain { .. }
                | Decision::Selected { .. }
                | Decision::Closed => {}
            }
        }
        ended
    }
}

impl Journal {
    /// Opens the orchestrator's journal under `root` to append to it. The caller holds the [`Lock`](super::Lock).
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(root: &Path) -> io::Result<(Journal, JournalContents)> {
        let path = path(root);
        durable::create_folder(root).map_err(|error| error.cause)?;
        let contents = read_or_set_aside(root)?;
        contents.set_torn_aside(root, &path)?;
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

    /// Begins the journal of a worker under `root`. If there is one of this name, it gets another one.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn begin(root: &Path, name: &str) -> io::Result<Journal> {
        let folder = root.join(FOLDER);
        durable::create_folder(&folder).map_err(|error| error.cause)?;
        let names = std::iter::once(format!("{name}.jsonl"))
            .chain((2..).map(|number: u32| format!("{name}.{number}.jsonl")));
        for name in names {
            let mut options = OpenOptions::new();
            match options
                .append(true)
                .create_new(true)
                .open(folder.join(name))
            {
                Ok(file) => {
                    // Others leave a journal alone while it is written. Some file systems have no locks.
                    let _ = file.try_lock();
                    return Ok(Journal {
                        file,
                        next: 1,
                        is_synced: true,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
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

/// Replaces the orchestrator's journal under `root` by entries, which are numbered anew. The caller holds the [`Lock`](super::Lock).
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

/// Reads all journals under `root` as one, in the order of time; empty if there is none. The numbers of entries are those
/// of their files.
///
/// # Errors
/// A file cannot be read.
pub fn read(root: &Path) -> io::Result<JournalContents> {
    read_of_orchestrator(root)?.with_those_of_workers(root)
}

/// Reads the orchestrator's journal under `root` alone; empty if there is none.
///
/// # Errors
/// The file cannot be read.
pub fn read_of_orchestrator(root: &Path) -> io::Result<JournalContents> {
    match durable::read(&path(root)) {
        Ok(bytes) => Ok(parse(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(JournalContents::default()),
        Err(error) => Err(error),
    }
}

/// Returns the entries of one file, each with the time by which it is sorted: they stay in order if a clock was set back.
fn in_order(entries: Vec<JournalEntry>) -> Vec<(u64, JournalEntry)> {
    let mut latest = 0;
    let timed = entries.into_iter().map(|entry| {
        latest = entry.time.max(latest);
        (latest, entry)
    });
    timed.collect()
}

/// Returns the paths of the journals of workers under `root`, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn of_workers(root: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(root.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// Takes over the entries of the journals under `from` that no journal under `root` has, each file as a journal of a
/// worker. Returns the number of files with such entries. The caller holds the [`Lock`](super::Lock) of `root`.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn merge(root: &Path, from: &Path) -> io::Result<usize> {
    let known: BTreeSet<Vec<u8>> = lines_of_all(root)?.into_iter().flatten().collect();
    let mut files = 0;
    for (path, lines) in all_paths(from)?.iter().zip(lines_of_all(from)?) {
        let new: Vec<Vec<u8>> = lines
            .into_iter()
            .filter(|line| !known.contains(line))
            .collect();
        let Some(first) = new.first() else {
            continue;
        };
        let name = match path.parent() == Some(from) {
            true => format!("merged-{}.jsonl", &blake3::hash(first).to_hex()[..16]).into(),
            false => path.file_name().unwrap_or_default().to_owned(),
        };
        let target = root.join(FOLDER).join(name);
        let mut text = match durable::read(&target) {
            Ok(bytes) => parse(&bytes).intact,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        text.extend(new.concat());
        durable::write(&target, &text).map_err(|error| error.cause)?;
        files += 1;
    }
    Ok(files)
}

/// Returns the paths of all journals under `root`.
fn all_paths(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![path(root)];
    paths.extend(of_workers(root)?);
    Ok(paths)
}

/// Returns the intact lines of each journal under `root`.
fn lines_of_all(root: &Path) -> io::Result<Vec<Vec<Vec<u8>>>> {
    let mut all = Vec::new();
    for path in all_paths(root)? {
        let intact = match durable::read(&path) {
            Ok(bytes) => parse(&bytes).intact,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let lines = intact.split_inclusive(|&byte| byte == b'\n');
        all.push(lines.map(<[u8]>::to_vec).collect());
    }
    Ok(all)
}

/// Moves the damaged lines in the journals of workers under `root` to `journal.torn`, except in those that are being
/// written.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn repair_those_of_workers(root: &Path) -> io::Result<()> {
    for path in of_workers(root)? {
        let file = durable::open(&path)?;
        if file.try_lock().is_ok() {
            parse(&durable::read(&path)?).set_torn_aside(root, &path)?;
        }
    }
    Ok(())
}

/// What the latest session has decided.
#[derive(Clone, Debug)]
pub struct LatestSession {
    /// The sweep's name.
    pub sweep: String,
    /// The process id of the orchestrator.
    pub pid: u32,
    /// The process, if it is a worker of a batch system.
    pub worker: Option<Writer>,
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

/// Reads the latest session of the orchestrator's journal under `root` from its end; none if there is no intact one.
///
/// # Errors
/// The file cannot be read.
pub fn latest_session(root: &Path) -> io::Result<Option<LatestSession>> {
    latest_session_in(&path(root))
}

/// Reads what each worker under `root` has done that has not ended normally.
///
/// # Errors
/// A file cannot be read.
pub fn open_sessions_of_workers(root: &Path) -> io::Result<Vec<LatestSession>> {
    let mut open = Vec::new();
    for path in of_workers(root)? {
        let session = latest_session_in(&path)?;
        // A merged journal may be that of an orchestrator.
        open.extend(session.filter(|session| session.worker.is_some() && !session.is_closed()));
    }
    Ok(open)
}

fn latest_session_in(path: &Path) -> io::Result<Option<LatestSession>> {
    const FIRST: u64 = 1 << 16;
    let mut file = match durable::open(path) {
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

/// An attempt that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningAttempt {
    /// The job.
    pub job: Job,
    /// The number of the attempt.
    pub number: u32,
    /// The name of the slot.
    pub slot: String,
    /// Milliseconds since 1970 at its beginning.
    pub since: u64,
}

impl LatestSession {
    /// Returns the attempts that have not ended, in the order in which they began.
    pub fn running(&self) -> Vec<RunningAttempt> {
        let mut running: Vec<RunningAttempt> = Vec::new();
        for entry in &self.entries {
            match &entry.what {
                Decision::Started { job, attempt, slot } => running.push(RunningAttempt {
                    job: *job,
                    number: *attempt,
                    slot: slot.clone(),
                    since: entry.time,
                }),
                Decision::Ended { job, .. } => running.retain(|other| other.job != *job),
                Decision::Opened { .. }
                | Decision::LeftOut { .. }
                | Decision::AwaitsOthers { .. }
                | Decision::UsesAgain { .. }
                | Decision::Selected { .. }
                | Decision::Closed => {}
            }
        }
        running
    }

    /// Returns the places that are not used any more, each with its last failure.
    pub fn left_out(&self) -> BTreeMap<String, String> {
        let of_entry = |entry: &JournalEntry| match &entry.what {
            Decision::LeftOut { place, message } => Some((place.clone(), message.clone())),
            Decision::Opened { .. }
            | Decision::Started { .. }
            | Decision::Ended { .. }
            | Decision::AwaitsOthers { .. }
            | Decision::UsesAgain { .. }
            | Decision::Selected { .. }
            | Decision::Closed => None,
        };
        self.entries.iter().filter_map(of_entry).collect()
    }

    /// Returns the GPUs that are not used at the moment, because the processes of others take too much of their memory.
    pub fn awaiting(&self) -> BTreeMap<String, TakenMemory> {
        let mut awaiting: BTreeMap<String, TakenMemory> = BTreeMap::new();
        for entry in &self.entries {
            match &entry.what {
                Decision::AwaitsOthers { place, taken } => {
                    awaiting.insert(place.clone(), *taken);
                }
                Decision::UsesAgain { place } | Decision::LeftOut { place, .. } => {
                    awaiting.remove(place);
                }
                Decision::Started { .. } => awaiting.retain(|_, taken| taken.needed.is_none()),
                Decision::Opened { .. }
                | Decision::Ended { .. }
                | Decision::Selected { .. }
                | Decision::Closed => {}
            }
        }
        awaiting
    }
}

/// Returns the last session of these entries, if its beginning is among them.
fn session_of(mut entries: Vec<JournalEntry>) -> Option<LatestSession> {
    let is_beginning = |entry: &JournalEntry| matches!(entry.what, Decision::Opened { .. });
    let beginning = entries.iter().rposition(is_beginning)?;
    let rest = entries.split_off(beginning + 1);
    let opened = entries.pop()?;
    let Decision::Opened { sweep, pid, worker } = opened.what else {
        return None;
    };
    Some(LatestSession {
        sweep,
        pid,
        worker: worker.map(|worker| *worker),
        since: opened.time,
        entries: rest,
    })
}

impl JournalContents {
    /// Returns the number of lines that are damaged, and of a torn one at the end.
    pub fn torn_lines(&self) -> usize {
        self.torn.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Moves the damaged lines of the file at `path` to `journal.torn` under `root`.
    fn set_torn_aside(&self, root: &Path, path: &Path) -> io::Result<()> {
        if self.torn.is_empty() {
            return Ok(());
        }
        append(&root.join("journal.torn"), &self.torn)?;
        durable::write(path, &self.intact).map_err(|error| error.cause)
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
    match read_of_orchestrator(root) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            fs::rename(path(root), root.join("journal.damaged"))?;
            Ok(JournalContents::default())
        }
        read => read,
    }
}

/// The folder of the journals of workers.
const FOLDER: &str = "journal";

fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn path(root: &Path) -> PathBuf {
    root.join("journal.jsonl")
}

/// A core reads this many lines at a time, at least.
const LINES_OF_A_TASK: usize = 1000;

fn parse(bytes: &[u8]) -> JournalContents {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let read = lines.par_iter().with_min_len(LINES_OF_A_TASK);
    let entries: Vec<Option<JournalEntry>> =
        read.map(|line| entry(line.trim_ascii_end())).collect();
    let mut contents = JournalContents::default();
    for (line, entry) in lines.into_iter().zip(entries) {
        let is_complete = line.ends_with(b"\n");
        match entry.filter(|_| is_complete) {
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
            worker: None,
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
        let left_out: Vec<String> = session.left_out().into_keys().collect();
        assert_eq!(left_out, ["gpu0"]);
        assert!(!session.is_closed());
        journal.append(Decision::Closed).unwrap();
        assert!(latest_session(folder.path()).unwrap().unwrap().is_closed());
    }

    #[test]
    fn a_gpu_is_awaited_until_it_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        let taken = TakenMemory {
            used: 30,
            memory: 80,
            needed: None,
        };
        let places = ["gpu 0", "gpu 1", "gpu 2"].map(str::to_owned);
        journal.append(opened_by(1)).unwrap();
        for place in places.clone() {
            let awaits = Decision::AwaitsOthers { place, taken };
            journal.append(awaits).unwrap();
        }
        let [first, second, third] = places;
        journal
            .append(Decision::UsesAgain { place: first })
            .unwrap();
        let message = String::new();
        let left_out = Decision::LeftOut {
            place: second,
            message,
        };
        journal.append(left_out).unwrap();
        let awaiting = || {
            let session = latest_session(folder.path()).unwrap().unwrap();
            session.awaiting()
        };
        let of_third = BTreeMap::from([(third, taken)]);
        assert_eq!(awaiting(), of_third);
        let (place, needed) = ("gpu 3".to_owned(), Some(60));
        let taken = TakenMemory { needed, ..taken };
        journal
            .append(Decision::AwaitsOthers { place, taken })
            .unwrap();
        assert_eq!(awaiting().len(), 2);
        let started = Decision::Started {
            job: Job::Train(schema::RunId::of_canonical_json(b"{}")),
            attempt: 1,
            slot: "gpu 0".to_owned(),
        };
        journal.append(started).unwrap();
        assert_eq!(awaiting(), of_third, "the next job has started");
    }

    fn journal_of(entries: usize) -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        for pid in 0..entries {
            journal
                .append(Decision::Opened {
                    sweep: "ü".to_owned(),
                    pid: pid as u32,
                    worker: None,
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

    fn opened_by(pid: u32) -> Decision {
        Decision::Opened {
            sweep: "s".to_owned(),
            pid,
            worker: None,
        }
    }

    fn pids(contents: &JournalContents) -> Vec<u32> {
        let entries = contents.entries.iter();
        let pids = entries.filter_map(|entry| match &entry.what {
            Decision::Opened { pid, .. } => Some(*pid),
            _ => None,
        });
        pids.collect()
    }

    /// Writes a line of a journal as if it had been written at this time.
    fn write_at(path: &Path, time: u64, what: Decision) {
        let entry = JournalEntry { seq: 1, time, what };
        append(path, line(&entry).unwrap().as_bytes()).unwrap();
    }

    #[test]
    fn the_journals_of_workers_are_read_in_the_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        let of_worker = |name: &str| folder.path().join(FOLDER).join(name);
        for time in [3, 9] {
            write_at(&path(folder.path()), time, opened_by(time as u32));
        }
        // Its clock was set back.
        for (pid, time) in [(1, 1), (8, 8), (80, 2)] {
            write_at(&of_worker("b-0-0.jsonl"), time, opened_by(pid));
        }
        let worker = Decision::Opened {
            sweep: "s".to_owned(),
            pid: 7,
            worker: Some(Box::new(Writer::this_process())),
        };
        write_at(&of_worker("a-0-0.jsonl"), 8, worker);
        write_at(&of_worker("a.txt"), 4, opened_by(4));
        assert_eq!(pids(&read(folder.path()).unwrap()), [1, 3, 7, 8, 80, 9]);
        assert_eq!(pids(&read_of_orchestrator(folder.path()).unwrap()), [3, 9]);
        let open = open_sessions_of_workers(folder.path()).unwrap();
        let open: Vec<u32> = open.iter().map(|session| session.pid).collect();
        assert_eq!(open, [7]);
    }

    #[test]
    fn entries_are_taken_over_once_however_often_journals_are_merged() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let folders = [one.path(), other.path()];
        for (folder, time) in folders.into_iter().zip([1, 2]) {
            fs::create_dir(folder.join(FOLDER)).unwrap();
            write_at(&path(folder), time, opened_by(time as u32));
        }
        let of_worker = other.path().join(FOLDER).join("a-0-0.jsonl");
        write_at(&of_worker, 3, opened_by(3));
        assert_eq!(merge(one.path(), other.path()).unwrap(), 2);
        assert_eq!(merge(one.path(), other.path()).unwrap(), 0);
        assert_eq!(pids(&read(one.path()).unwrap()), [1, 2, 3]);
        // There and back.
        assert_eq!(merge(other.path(), one.path()).unwrap(), 1);
        assert_eq!(pids(&read(other.path()).unwrap()), [1, 2, 3]);
        write_at(&of_worker, 4, opened_by(4));
        assert_eq!(merge(one.path(), other.path()).unwrap(), 1);
        assert_eq!(pids(&read(one.path()).unwrap()), [1, 2, 3, 4]);
        assert_eq!(merge(one.path(), other.path()).unwrap(), 0);
    }

    #[test]
    fn each_worker_begins_a_journal_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for pid in 0..3 {
            let mut journal = Journal::begin(folder.path(), "a-0-0").unwrap();
            journal.append(opened_by(pid)).unwrap();
            journal.append(Decision::Closed).unwrap();
        }
        assert_eq!(of_workers(folder.path()).unwrap().len(), 3);
        assert_eq!(read(folder.path()).unwrap().entries.len(), 6);
        assert!(open_sessions_of_workers(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn damage_in_the_journal_of_a_worker_is_counted_and_moved_away_once_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::begin(folder.path(), "a-0-0").unwrap();
        journal.append(opened_by(1)).unwrap();
        let path = of_workers(folder.path()).unwrap().remove(0);
        append(&path, b"half a li").unwrap();
        repair_those_of_workers(folder.path()).unwrap();
        assert_eq!(read(folder.path()).unwrap().torn_lines(), 1);
        drop(journal);
        repair_those_of_workers(folder.path()).unwrap();
        let contents = read(folder.path()).unwrap();
        assert_eq!((contents.torn_lines(), pids(&contents)), (0, vec![1]));
        let torn = fs::read_to_string(folder.path().join("journal.torn")).unwrap();
        assert_eq!(torn, "half a li\n");
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
