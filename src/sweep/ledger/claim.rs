//! Claims: which process works on a job, where several work in one results folder.
//!
//! A claim is the folder of an attempt. One process creates it, and its number is a [`Turn`]: whoever claims the job
//! later has a higher one, and nobody with a lower one can publish anything. `claim.json` in it names the process, and
//! its time of modification is a heartbeat. As long as a claim stands, nobody else claims any job of that run. It stands
//! until the attempt has ended, unless
//!
//! - its process is known to have ended, because it was one of this machine;
//! - its job of Slurm is known to have ended, or was started again with this process in it;
//! - it and the new one were made under the [`Lock`](super::Lock), which one process has at a time;
//! - its heartbeat is older than five minutes. Clocks of machines may differ by a part of that.

use std::{
    collections::BTreeSet,
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use durable::Turn;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use serde::{Deserialize, Serialize};

use super::{AttemptFolder, Job, Ledger, LedgerError, SlurmJob, Writer, json_text, read_json};

/// A heartbeat is given this often.
const RENEWED_EVERY: Duration = Duration::from_secs(10);
/// A claim is free if it had no heartbeat for this long.
const FREE_AFTER: Duration = Duration::from_secs(300);

/// Between two looks at the attempts of a job that someone else has begun at the same moment.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A process that claims jobs.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The process.
    pub writer: Writer,
    /// True if it has the [`Lock`](super::Lock) of the results folder.
    pub has_lock: bool,
    /// Jobs of Slurm that are known to have ended.
    pub ended: BTreeSet<String>,
}

/// A job that this process works on.
#[derive(Debug)]
pub struct Claim {
    turn: Turn,
    renewed: Instant,
}

/// What comes of claiming a job.
#[derive(Debug)]
pub enum Claimed {
    /// This process works on it now.
    Own(Claim),
    /// Another process works on the same run, by its name.
    Others(String),
}

/// `claim.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct ClaimNote {
    writer: Writer,
    /// True if it was made under the lock of the results folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    has_lock: bool,
}

impl Claimant {
    /// Returns this process, which has the lock of the results folder.
    pub fn with_lock() -> Claimant {
        Claimant {
            writer: Writer::this_process(),
            has_lock: true,
            ended: BTreeSet::new(),
        }
    }

    /// Returns this process, which works beside others; these jobs of Slurm are known to have ended.
    pub fn beside_others(ended: impl IntoIterator<Item = String>) -> Claimant {
        Claimant {
            writer: Writer::this_process(),
            has_lock: false,
            ended: ended.into_iter().collect(),
        }
    }
}

impl Claim {
    /// Returns the number of the attempt.
    pub fn number(&self) -> u32 {
        self.turn.number()
    }

    /// Returns the folder of the attempt.
    pub fn folder(&self) -> AttemptFolder {
        AttemptFolder::at(self.turn.folder())
    }

    pub(super) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// True if no other process has claimed the job since.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn stands(&self) -> Result<bool, LedgerError> {
        let latest = self.turn.is_latest();
        latest.map_err(LedgerError::io("list", self.turn.folder()))
    }

    /// Gives a heartbeat if it is time to, and then tells whether the claim [stands](Claim::stands).
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn renew(&mut self) -> Result<bool, LedgerError> {
        if self.renewed.elapsed() < RENEWED_EVERY {
            return Ok(true);
        }
        self.renewed = Instant::now();
        // Someone may have removed the file. Whether the claim stands is told by the folders.
        let _ = touch(&self.folder().claim());
        self.stands()
    }
}

impl Ledger {
    /// Claims a job, and begins an attempt at it.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn claim(&self, job: Job, claimant: &Claimant) -> Result<Claimed, LedgerError> {
        durable::create_folder(&self.folder_of(job))?;
        loop {
            let latest = self.attempts(job)?;
            if let Some(holder) = self.holder_of(job, latest, claimant)? {
                return Ok(Claimed::Others(holder));
            }
            let folder = self.job_folder(job);
            let Some(turn) = Turn::begin_after(latest, &folder)? else {
                // Another process was faster. A network file system may take a while to show its folder.
                thread::sleep(BETWEEN_LOOKS);
                continue;
            };
            let claim = Claim {
                turn,
                renewed: Instant::now(),
            };
            claim.turn.shut_out_others(&self.folder_of(job))?;
            let note = ClaimNote {
                writer: claimant.writer.clone(),
                has_lock: claimant.has_lock,
            };
            let path = claim.folder().claim();
            durable::write_soon(&path, &json_text(&path, &note)?)?;
            return Ok(Claimed::Own(claim));
        }
    }

    /// Returns the process that works on a job, at which there were `latest` attempts, or on another one of the same run,
    /// unless its claim does not stand against this one.
    ///
    /// # Errors
    /// A file cannot be read.
    fn holder_of(
        &self,
        job: Job,
        latest: u32,
        claimant: &Claimant,
    ) -> Result<Option<String>, LedgerError> {
        let own = self.holder_of_attempt(job, latest, claimant);
        match other_of_same_run(job).filter(|_| own.is_none()) {
            Some(other) => self.holder_of_latest(other, claimant),
            None => Ok(own),
        }
    }

    /// Returns the process of the latest attempt at a job, if its claim stands.
    pub(super) fn holder_of_latest(
        &self,
        job: Job,
        claimant: &Claimant,
    ) -> Result<Option<String>, LedgerError> {
        Ok(self.holder_of_attempt(job, self.attempts(job)?, claimant))
    }

    fn holder_of_attempt(&self, job: Job, number: u32, claimant: &Claimant) -> Option<String> {
        let folder = self.attempt_folder(job, number);
        if number == 0 || folder.exit().is_file() {
            return None;
        }
        // A damaged file tells as little as one that is not written yet.
        let note: Option<ClaimNote> = read_json(&folder.claim()).ok().flatten();
        let age = age(&folder.claim()).or_else(|_| age(folder.path()));
        let is_fresh = age.map_or(true, |age| age < FREE_AFTER);
        match note {
            Some(note) if is_fresh && note.stands_against(claimant) => {
                Some(note.writer.to_string())
            }
            // It is being made, or an earlier version made the attempt.
            None if is_fresh && !claimant.has_lock => Some("another process".to_owned()),
            Some(_) | None => None,
        }
    }
}

impl ClaimNote {
    /// True if a fresh claim keeps another process from the job.
    fn stands_against(&self, claimant: &Claimant) -> bool {
        let is_own = self.writer == claimant.writer;
        let is_decided_by_lock = self.has_lock && claimant.has_lock;
        let is_over = self.writer.has_ended();
        !(is_own || is_decided_by_lock || is_over || self.is_of_earlier_job(claimant))
    }

    /// True if its Slurm job has ended, or was started again and is that of the other process now.
    fn is_of_earlier_job(&self, claimant: &Claimant) -> bool {
        let Some(job) = &self.writer.slurm else {
            return false;
        };
        let new = claimant.writer.slurm.as_ref();
        let is_restarted = |new: &SlurmJob| new.id == job.id && new.restarts > job.restarts;
        claimant.ended.contains(&job.id) || new.is_some_and(is_restarted)
    }
}

impl AttemptFolder {
    /// True if the attempt was begun by a process of this machine that lives.
    pub fn is_made_here(&self) -> bool {
        let note: Option<ClaimNote> = read_json(&self.claim()).ok().flatten();
        note.is_some_and(|note| note.writer.lives_here())
    }
}

/// Returns the other job that writes into the same folder.
fn other_of_same_run(job: Job) -> Option<Job> {
    match job {
        Job::Prepare(_) | Job::Ensemble(_) => None,
        Job::Train(run) => Some(Job::Evaluate(run)),
        Job::Evaluate(run) => Some(Job::Train(run)),
    }
}

/// Returns how long ago a file was modified.
fn age(path: &Path) -> io::Result<Duration> {
    let modified = fs::metadata(path)?.modified()?;
    Ok(SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default())
}

/// Sets the time of modification to that of the file system.
fn touch(path: &Path) -> io::Result<()> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, process::Command};

    use schema::RunId;

    use super::*;
    use crate::ledger::{AttemptEnd, AttemptExit};

    fn run() -> RunId {
        "0123456789abcdef".parse().unwrap()
    }

    fn job() -> Job {
        Job::Train(run())
    }

    /// A worker of a Slurm job on a machine of its own.
    fn worker(host: &str, slurm: &str, restarts: u32) -> Claimant {
        Claimant {
            writer: Writer {
                pid: 1,
                user: "anna".to_owned(),
                host: host.to_owned(),
                system: host.to_owned(),
                slurm: Some(SlurmJob {
                    id: slurm.to_owned(),
                    restarts,
                }),
            },
            has_lock: false,
            ended: BTreeSet::new(),
        }
    }

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        (folder, ledger)
    }

    fn own(claimed: Claimed) -> Claim {
        match claimed {
            Claimed::Own(claim) => claim,
            Claimed::Others(holder) => panic!("claimed by {holder}"),
        }
    }

    fn claim(ledger: &Ledger, claimant: &Claimant) -> Option<u32> {
        match ledger.claim(job(), claimant).unwrap() {
            Claimed::Own(claim) => Some(claim.number()),
            Claimed::Others(_) => None,
        }
    }

    #[test]
    fn a_second_worker_is_told_who_works_on_the_run() {
        let (_folder, ledger) = ledger();
        let first = worker("gpu1", "15_3", 0);
        assert_eq!(claim(&ledger, &first), Some(1));
        for other in [worker("gpu2", "16", 0), worker("gpu2", "15_3", 0)] {
            for job in [job(), Job::Evaluate(run())] {
                let Claimed::Others(holder) = ledger.claim(job, &other).unwrap() else {
                    panic!("{job} has two workers");
                };
                assert_eq!(holder, "process 1 of anna on gpu1, Slurm job 15_3");
            }
        }
        assert_eq!(ledger.attempts(job()).unwrap(), 1);
    }

    #[test]
    fn an_attempt_that_has_ended_is_followed_by_that_of_anyone() {
        let (_folder, ledger) = ledger();
        assert_eq!(claim(&ledger, &worker("gpu1", "15", 0)), Some(1));
        let exit = AttemptExit {
            end: AttemptEnd::Stopped,
            code: Some(3),
            signal: None,
            computation: None,
        };
        ledger.note_exit(job(), 1, &exit).unwrap();
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), Some(2));
    }

    #[test]
    fn a_job_that_slurm_has_started_again_takes_over_what_it_had_claimed() {
        let (_folder, ledger) = ledger();
        let mut first = own(ledger.claim(job(), &worker("gpu1", "15_3", 0)).unwrap());
        assert!(first.stands().unwrap() && first.renew().unwrap());
        assert_eq!(claim(&ledger, &worker("gpu2", "15_3", 1)), Some(2));
        assert!(!first.stands().unwrap());
        assert_eq!(claim(&ledger, &worker("gpu1", "15_3", 0)), None);
    }

    #[test]
    fn the_claim_of_a_slurm_job_that_has_ended_is_free() {
        let (_folder, ledger) = ledger();
        assert_eq!(claim(&ledger, &worker("gpu1", "15_3", 0)), Some(1));
        let mut next = worker("gpu2", "16_0", 0);
        next.ended.insert("15_2".to_owned());
        assert_eq!(claim(&ledger, &next), None);
        next.ended.insert("15_3".to_owned());
        assert_eq!(claim(&ledger, &next), Some(2));
    }

    #[test]
    fn a_claim_without_a_heartbeat_is_free_after_a_while() {
        let (_folder, ledger) = ledger();
        let mut first = own(ledger.claim(job(), &worker("gpu1", "15", 0)).unwrap());
        let path = first.folder().claim();
        let file = File::options().write(true).open(&path).unwrap();
        let long_ago = SystemTime::now() - 2 * FREE_AFTER;
        file.set_modified(long_ago).unwrap();
        first.renewed = Instant::now()
            .checked_sub(2 * RENEWED_EVERY)
            .unwrap_or_else(Instant::now);
        assert!(first.renew().unwrap());
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), None);
        file.set_modified(long_ago).unwrap();
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), Some(2));
    }

    #[test]
    fn a_process_of_this_machine_that_has_ended_claims_nothing() {
        let (_folder, ledger) = ledger();
        let mut child = Command::new("true").spawn().unwrap();
        let dead = Claimant {
            writer: Writer::here(child.id()),
            ..worker("", "", 0)
        };
        child.wait().unwrap();
        assert_eq!(claim(&ledger, &dead), Some(1));
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), Some(2));
    }

    #[test]
    fn the_lock_decides_between_those_who_have_it() {
        let (_folder, ledger) = ledger();
        let locked = |host| Claimant {
            has_lock: true,
            ..worker(host, "15", 0)
        };
        assert_eq!(claim(&ledger, &locked("gpu1")), Some(1));
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), None);
        assert_eq!(claim(&ledger, &locked("gpu2")), Some(2));
        let (_folder, ledger) = self::ledger();
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), Some(1));
        assert_eq!(claim(&ledger, &locked("gpu1")), None);
    }

    #[test]
    fn an_attempt_that_names_nobody_is_left_alone_while_it_is_new() {
        let (_folder, ledger) = ledger();
        let folder = ledger.attempt_folder(job(), 1);
        fs::create_dir_all(folder.path()).unwrap();
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), None);
        fs::write(folder.claim(), "{").unwrap();
        let file = File::options().write(true).open(folder.claim()).unwrap();
        file.set_modified(SystemTime::now() - 2 * FREE_AFTER)
            .unwrap();
        assert_eq!(claim(&ledger, &worker("gpu2", "16", 0)), Some(2));
    }
}
