//! Who works in a results folder now: an orchestrator, which holds the lock, or workers, whose claims stand.

use super::{
    Claimant, Holder, Ledger, LedgerError,
    journal::{self, LatestSession},
    lock,
};

impl Ledger {
    /// Returns what the orchestrator at work in the folder has decided so far, and its process; `None` if there is none.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn orchestrator(&self) -> Result<Option<(LatestSession, Holder)>, LedgerError> {
        // Without a lock, there is no need to look for the beginning of a long session.
        let Some(lock) = lock::that_may_be_held(self.root()) else {
            return Ok(None);
        };
        let latest = journal::latest_session(self.root())
            .map_err(LedgerError::io("read the journal of", self.root()))?;
        let open = latest.filter(|latest| !latest.is_closed());
        Ok(open.and_then(|latest| {
            let holder = lock.holder(latest.pid)?;
            Some((latest, holder))
        }))
    }

    /// Returns what each worker at work in the folder has decided so far.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn workers(&self) -> Result<Vec<LatestSession>, LedgerError> {
        let sessions = journal::open_sessions_of_workers(self.root())
            .map_err(LedgerError::io("read the journals of", self.root()))?;
        let asking = Claimant::with_lock();
        let mut at_work = Vec::new();
        for session in sessions {
            if self.has_standing_claim(&session, &asking)? {
                at_work.push(session);
            }
        }
        Ok(at_work)
    }

    fn has_standing_claim(
        &self,
        session: &LatestSession,
        asking: &Claimant,
    ) -> Result<bool, LedgerError> {
        for attempt in session.running() {
            let is_latest = self.attempts(attempt.job)? == attempt.number;
            if is_latest && self.holder_of_latest(attempt.job, asking)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
