//! `sweep stop`: asks the process that works on a sweep to stop, as Ctrl-C in its terminal does.
//!
//! The signal is TERM, because shells start background jobs with INT ignored.

use std::{thread, time::Duration};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::{Exit, Target, tell};
use crate::ledger::Ledger;

/// Stop a running sweep
///
/// The trainers write checkpoints and end, and the same `sweep run` resumes. The command returns when the process has
/// ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep stop sweeps/omniglot.toml
  sweep stop sweeps/omniglot.toml --now   without waiting for checkpoints")]
pub(super) struct Stop {
    #[command(flatten)]
    target: Target,
    /// Kill the trainers; what was done since their last checkpoints is lost
    #[arg(long)]
    now: bool,
}

/// Between two looks at the process.
const PERIOD: Duration = Duration::from_millis(200);

impl Stop {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let name = self.target.read()?.name;
        let ledger = Ledger::new(&self.target.results);
        let pid = running(&ledger, &name)?;
        let asked = if self.now { 2 } else { 1 };
        for _ in 0..asked {
            kill_process(pid, Signal::TERM).map_err(Exit::stuck)?;
            // Two signals at once count as one.
            thread::sleep(PERIOD);
        }
        tell(&format!(
            "{name}: asked process {} to stop",
            pid.as_raw_nonzero()
        ));
        while running(&ledger, &name).is_ok_and(|other| other == pid) {
            thread::sleep(PERIOD);
        }
        tell(&format!(
            "stopped; `{}` resumes",
            self.target.command("run")
        ));
        Ok(())
    }
}

/// Returns the process of this machine that works on a sweep.
///
/// # Errors
/// There is none, or it is elsewhere, or it works on another sweep.
fn running(ledger: &Ledger, sweep: &str) -> Result<Pid, Exit> {
    let folder = format!("`{}`", ledger.root().display());
    let none = || Exit::mistake(format!("no `sweep run` works in {folder}"));
    let (latest, holder) = ledger.orchestrator()?.ok_or_else(none)?;
    if latest.sweep != sweep {
        return Err(Exit::mistake(format!(
            "{} works in {folder}, but on the sweep `{}`",
            holder.name, latest.sweep
        )));
    }
    let pid = i32::try_from(latest.pid).ok().and_then(Pid::from_raw);
    pid.filter(|_| holder.is_here).ok_or_else(|| {
        Exit::mistake(format!(
            "{} works on the sweep: stop it there, as that user",
            holder.name
        ))
    })
}
