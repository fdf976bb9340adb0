//! The attempts at jobs, and how they ended.
//!
//! Each attempt has a numbered folder in that of its job, and `exit.json` there once it has ended. A frozen ledger knows
//! the attempts of a job as long as none was added or removed; that one has finished does not change, so that only the
//! ends of others are looked at.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use durable::Turn;
use schema::{Attempt, Computation, Failure};
use serde::{Deserialize, Serialize};

use super::{
    AttemptFolder, Job, Ledger, LedgerError, cache::Cacheable, json_text, sealed_text, subject,
};

/// The attempts at a job.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    /// The number of the last one; 0 if there is none.
    latest: u32,
    /// The ends of those that finished, by their numbers.
    finished: BTreeMap<u32, Arc<AttemptExit>>,
}

/// The end of an attempt and of its process: `exit.json` in the attempt's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExit {
    /// How the attempt ended.
    pub end: AttemptEnd,
    /// The exit code of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The programs and the machine; earlier versions did not note them.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shared")]
    pub computation: Option<Arc<Computation>>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It finished, and its result was published.
    Finished,
    /// It stopped on request, after writing a checkpoint.
    Stopped,
    /// It was given up: another process has claimed the job, or had done it before.
    Superseded,
    /// It failed.
    Failed {
        /// The class of the failure.
        class: Failure,
        /// One sentence for the user.
        #[serde(deserialize_with = "schema::visible::deserialize")]
        message: String,
    },
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// The class of the failure.
    pub class: Failure,
    /// The exit code of the process.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// One sentence for the user.
    pub message: String,
}

/// Shared values are written as they are.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Arc<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Arc<T>>, D::Error> {
        Ok(Option::<T>::deserialize(from)?.map(Arc::new))
    }
}

impl AttemptExit {
    /// Returns why the attempt failed, if it did.
    pub fn cause(&self) -> Option<Cause> {
        match &self.end {
            AttemptEnd::Failed { class, message } => Some(Cause {
                class: *class,
                code: self.code,
                signal: self.signal,
                message: message.clone(),
            }),
            AttemptEnd::Finished | AttemptEnd::Stopped | AttemptEnd::Superseded => None,
        }
    }
}

impl Cacheable for Attempts {
    fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        let finished: Vec<(u32, &AttemptExit)> = self
            .finished
            .iter()
            .map(|(&number, exit)| (number, &**exit))
            .collect();
        serde_json::to_vec(&(self.latest, finished))
    }

    fn of(bytes: &[u8]) -> Option<Attempts> {
        let (latest, finished): (u32, Vec<(u32, AttemptExit)>) =
            serde_json::from_slice(bytes).ok()?;
        let finished = finished
            .into_iter()
            .map(|(number, exit)| (number, Arc::new(exit)));
        Some(Attempts {
            latest,
            finished: finished.collect(),
        })
    }
}

impl Cacheable for AttemptExit {
    fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    fn of(bytes: &[u8]) -> Option<AttemptExit> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Ledger {
    /// Returns how the latest attempt at a job ended; `None` if there is none, or the orchestrator
    /// died before it.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn last_exit(&self, job: Job) -> Result<Option<Arc<AttemptExit>>, LedgerError> {
        let attempts = self.attempts_at(job)?;
        match attempts.latest {
            0 => Ok(None),
            number => self.exit_among(&attempts, job, number),
        }
    }

    /// Returns how an attempt at a job ended; `None` if it is running, or the orchestrator died
    /// before it.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn exit(&self, job: Job, attempt: u32) -> Result<Option<Arc<AttemptExit>>, LedgerError> {
        match self.attempts.is_frozen() {
            true => self.exit_among(&*self.attempts_at(job)?, job, attempt),
            false => self.exit_in(job, attempt),
        }
    }

    /// Returns how one of these attempts at a job ended.
    fn exit_among(
        &self,
        attempts: &Attempts,
        job: Job,
        attempt: u32,
    ) -> Result<Option<Arc<AttemptExit>>, LedgerError> {
        match attempts.finished.get(&attempt) {
            Some(exit) => Ok(Some(Arc::clone(exit))),
            None => self.exit_in(job, attempt),
        }
    }

    /// Returns how an attempt ended by the file in its folder.
    fn exit_in(&self, job: Job, attempt: u32) -> Result<Option<Arc<AttemptExit>>, LedgerError> {
        let path = || self.attempt_folder(job, attempt).exit();
        self.exits.get((job, attempt), path, |path| {
            let subject = subject::exit(job, attempt);
            self.read_with_metadata(path, |bytes| self.unsealed(path, &subject, bytes))
        })
    }

    /// Returns how the attempts at a job ended, in order; those that run or died with the orchestrator are left out.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn exits(&self, job: Job) -> Result<Vec<Arc<AttemptExit>>, LedgerError> {
        let attempts = self.attempts_at(job)?;
        let mut exits = Vec::new();
        for attempt in 1..=attempts.latest {
            exits.extend(self.exit_among(&attempts, job, attempt)?);
        }
        Ok(exits)
    }

    /// Returns the program and the machine of each attempt at a job, in order, where they are known.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn computations(&self, job: Job) -> Result<Vec<Arc<Computation>>, LedgerError> {
        let exits = self.exits(job)?;
        let computations = exits.iter().filter_map(|exit| exit.computation.clone());
        Ok(computations.collect())
    }

    /// Notes how an attempt at a job ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_exit(&self, job: Job, attempt: u32, exit: &AttemptExit) -> Result<(), LedgerError> {
        let path = self.attempt_folder(job, attempt).exit();
        let text = sealed_text(&path, &subject::exit(job, attempt), exit)?;
        Ok(durable::write_soon(&path, text.as_bytes())?)
    }

    /// Returns the number of attempts at a job so far.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn attempts(&self, job: Job) -> Result<u32, LedgerError> {
        Ok(self.attempts_at(job)?.latest)
    }

    /// Returns the attempts at a job, with the ends of those that a frozen ledger knows to have finished.
    fn attempts_at(&self, job: Job) -> Result<Arc<Attempts>, LedgerError> {
        let folder = || self.job_folder(job);
        if !self.attempts.is_frozen() {
            // On a network, the times of a folder may be known later than its entries.
            let latest = latest_in(&folder())?;
            return Ok(Arc::new(Attempts {
                latest,
                ..Attempts::default()
            }));
        }
        let found = self.attempts.get(job, folder, |folder| {
            let before = fs::metadata(folder).ok();
            Ok::<_, LedgerError>((before, Some(self.attempts_in(folder, job)?)))
        });
        Ok(found?.unwrap_or_default())
    }

    fn attempts_in(&self, folder: &Path, job: Job) -> Result<Attempts, LedgerError> {
        let latest = latest_in(folder)?;
        let mut finished = BTreeMap::new();
        for number in 1..=latest {
            let path = self.attempt_folder(job, number).exit();
            let exit: Option<AttemptExit> = self.read_sealed(&path, &subject::exit(job, number))?;
            let has_finished = |exit: &AttemptExit| exit.end == AttemptEnd::Finished;
            finished.extend(
                exit.filter(has_finished)
                    .map(|exit| (number, Arc::new(exit))),
            );
        }
        Ok(Attempts { latest, finished })
    }

    /// Returns the folder of one attempt, numbered from 1.
    pub fn attempt_folder(&self, job: Job, number: u32) -> AttemptFolder {
        AttemptFolder::at(self.job_folder(job).join(format!("{number:04}")))
    }

    /// Writes the request of an attempt. A power cut may lose it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn request(&self, folder: &AttemptFolder, attempt: &Attempt) -> Result<(), LedgerError> {
        let path = folder.attempt();
        Ok(durable::write_soon(&path, &json_text(&path, attempt)?)?)
    }

    /// Returns the folder with the attempts at a job.
    pub(super) fn job_folder(&self, job: Job) -> PathBuf {
        self.folder_of(job).join(job.verb())
    }
}

/// Returns the number of the last attempt in the folder of a job; 0 if there is none.
fn latest_in(folder: &Path) -> Result<u32, LedgerError> {
    Turn::latest(folder).map_err(LedgerError::io("list", folder))
}
