//! The journal, written again from the folders of attempts: what was lost with damaged lines.
//!
//! The folders have the times at which attempts started and ended, and how. The names of slots and the frame of sessions
//! are not in them and stay lost.

use std::{collections::BTreeSet, fs, path::Path, time::UNIX_EPOCH};

use super::{
    Job, Ledger, LedgerError, Scope,
    journal::{self, Decision, JournalEntry},
};

impl Ledger {
    /// Writes the journal again: its intact entries, and those of attempts that neither it nor the journal of a worker
    /// has. Damaged lines are moved to `journal.torn`. Returns the number of entries that were added. The caller holds the [`Lock`](super::Lock).
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn rebuild_journal(&self) -> Result<usize, LedgerError> {
        let failed = |error| LedgerError::io("write the journal of", self.root())(error);
        let (_, contents) = journal::Journal::open(self.root()).map_err(failed)?;
        journal::repair_those_of_workers(self.root()).map_err(failed)?;
        let all = journal::read(self.root()).map_err(failed)?.entries;
        let known: BTreeSet<(Job, u32, bool)> = all.iter().filter_map(key).collect();
        let mut added = self.entries_of_attempts()?;
        added.retain(|entry| key(entry).is_none_or(|key| !known.contains(&key)));
        let count = added.len();
        if count > 0 {
            let mut all = contents.entries;
            all.extend(added);
            all.sort_by_key(|entry| entry.time);
            journal::replace(self.root(), all).map_err(failed)?;
        }
        Ok(count)
    }

    fn entries_of_attempts(&self) -> Result<Vec<JournalEntry>, LedgerError> {
        let Scope {
            data,
            runs,
            ensembles,
            ..
        } = self.whole_scope()?;
        let jobs = data.into_iter().map(Job::Prepare);
        let jobs = jobs.chain(
            runs.into_iter()
                .flat_map(|run| [Job::Train(run), Job::Evaluate(run)]),
        );
        let mut entries = Vec::new();
        for job in jobs.chain(ensembles.into_iter().map(Job::Ensemble)) {
            for attempt in 1..=self.attempts(job)? {
                self.add_attempt(job, attempt, &mut entries)?;
            }
        }
        Ok(entries)
    }

    fn add_attempt(
        &self,
        job: Job,
        attempt: u32,
        entries: &mut Vec<JournalEntry>,
    ) -> Result<(), LedgerError> {
        let folder = self.attempt_folder(job, attempt);
        let mut add = |time: Option<u64>, what| {
            entries.extend(time.map(|time| JournalEntry { seq: 0, time, what }));
        };
        let slot = String::new();
        add(
            written(&folder.attempt()),
            Decision::Started { job, attempt, slot },
        );
        if let Some(exit) = self.exit(job, attempt)? {
            let end = exit.end.clone();
            add(
                written(&folder.exit()),
                Decision::Ended { job, attempt, end },
            );
        }
        Ok(())
    }
}

/// Returns what an entry says of an attempt: the attempt, and whether it had ended.
fn key(entry: &JournalEntry) -> Option<(Job, u32, bool)> {
    match entry.what {
        Decision::Started { job, attempt, .. } => Some((job, attempt, false)),
        Decision::Ended { job, attempt, .. } => Some((job, attempt, true)),
        Decision::Opened { .. }
        | Decision::LeftOut { .. }
        | Decision::AwaitsOthers { .. }
        | Decision::UsesAgain { .. }
        | Decision::Selected { .. }
        | Decision::Closed => None,
    }
}

/// Returns when a file was written, in milliseconds since 1970; `None` if there is none.
fn written(path: &Path) -> Option<u64> {
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).ok()
}
