//! `sweep report --watch`: the report is written again and again, while a sweep runs.

use std::{thread, time::Duration};

use super::{PAGE, Report};
use crate::{
    cli::{Exit, Opened, plan::tally, status::Session, tell},
    plan::freshness,
};

/// The time between two reports.
const PAUSE: Duration = Duration::from_secs(10);

impl Report {
    /// Writes the report again and again, until there is nothing left to run or the sweep that worked on it has ended.
    pub(super) fn keep_writing(&self, mut opened: Opened) -> Result<(), Exit> {
        let folder = self.destination.folder_of(&opened);
        tell(&format!(
            "writing {} every {} s; Ctrl-C ends",
            folder.join(PAGE).display(),
            PAUSE.as_secs()
        ));
        let mut has_run = false;
        while is_anything_left(&opened)? {
            let runs = is_running(&opened)?;
            if has_run && !runs {
                break;
            }
            has_run = runs;
            let report = self
                .destination
                .report(&self.target, &opened, Some(PAUSE))?;
            report.write()?;
            thread::sleep(PAUSE);
            opened = Opened::of_results(opened.sweep, opened.ledger.root())?;
        }
        // What was published while the session was looked for.
        opened = Opened::of_results(opened.sweep, opened.ledger.root())?;
        let report = self.destination.report(&self.target, &opened, None)?;
        report.write()?;
        report.print()
    }
}

/// True if anything is left to run.
fn is_anything_left(opened: &Opened) -> Result<bool, Exit> {
    let freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
    Ok(tally(&freshness).values().any(|tally| tally.todo > 0))
}

/// True if a session works on the sweep now: `sweep run`, or a worker of a batch system.
fn is_running(opened: &Opened) -> Result<bool, Exit> {
    let (plan, ledger) = (&opened.plan, &opened.ledger);
    let mut sessions = Session::of_workers(plan, ledger)?;
    sessions.extend(Session::of(plan, ledger)?);
    Ok(sessions
        .iter()
        .any(|session| session.is_of(&opened.sweep.name)))
}
