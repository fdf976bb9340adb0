//! `sweep stop`: asks the process that works on a sweep to stop, as Ctrl-C in its terminal does.
//!
//! The signal is TERM, because shells start background jobs with INT ignored. What was submitted to Slurm is ended through
//! Slurm, from any machine.

use std::{thread, time::Duration};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::{Exit, Target, counted, tell};
use crate::{
    batch::{
        slurm::{
            SlurmError,
            client::{self, Ending},
        },
        standing::open_submissions,
        submission::SubmissionFolder,
    },
    ledger::Ledger,
};

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

/// Between two questions to Slurm.
const SLURM_PERIOD: Duration = Duration::from_secs(5);

impl Stop {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let name = self.target.read()?.name;
        let ledger = Ledger::new(&self.target.results);
        let open = open_submissions(&ledger).map_err(Exit::stuck)?;
        if !open.is_empty() {
            return self.stop_slurm(&name, open, &ledger);
        }
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
        self.tell_stopped();
        Ok(())
    }

    fn tell_stopped(&self) {
        tell(&format!(
            "stopped; `{}` resumes",
            self.target.command("run")
        ));
    }

    /// Ends what was submitted to Slurm, and waits for its end. Whoever watches over it leaves.
    fn stop_slurm(
        &self,
        sweep: &str,
        mut open: Vec<SubmissionFolder>,
        ledger: &Ledger,
    ) -> Result<(), Exit> {
        // What was being submitted meanwhile is ended, too.
        while !open.is_empty() {
            tell(&format!(
                "{sweep}: asking Slurm to end {}",
                counted(open.len(), "array")
            ));
            self.end_all(&open)?;
            open = open_submissions(ledger).map_err(Exit::stuck)?;
        }
        self.tell_stopped();
        Ok(())
    }

    fn end_all(&self, open: &[SubmissionFolder]) -> Result<(), Exit> {
        let names: Vec<String> = open.iter().map(SubmissionFolder::name).collect();
        let ending = match self.now {
            true => Ending::Now,
            false => Ending::WithCheckpoints,
        };
        for folder in open {
            folder.ask_to_stop()?;
        }
        loop {
            // It fails for elements that end by themselves in the meantime; what is left is told next.
            let _ = client::cancel(&names, ending);
            if !any_lives(&names).map_err(not_stopped)? {
                break;
            }
            thread::sleep(SLURM_PERIOD);
        }
        for folder in open {
            folder.close()?;
        }
        Ok(())
    }
}

/// Returns the exit for a Slurm that does not end what it has.
fn not_stopped(error: SlurmError) -> Exit {
    match error {
        SlurmError::Missing { .. } => Exit::mistake(error),
        SlurmError::Away { .. } | SlurmError::Failed { .. } => Exit::stuck(format!(
            "{error}; nothing more is submitted, but what Slurm has may go on: stop it again later"
        )),
    }
}

/// True if Slurm has an element of these arrays that has not ended.
fn any_lives(names: &[String]) -> Result<bool, SlurmError> {
    let elements = client::elements(names)?;
    Ok(elements.iter().any(|element| element.state.is_live()))
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
