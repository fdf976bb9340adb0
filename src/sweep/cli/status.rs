//! `sweep status`: the progress and the failures of a sweep.

use std::collections::BTreeSet;

use clap::Args;
use report::RunState;
use schema::{Failure, Files, RunId, Trained};

use super::{
    Exit, Target, counted, flag,
    plan::tally,
    report::{jobs_of, state_of, state_of_ensemble},
    show, studies,
};
use crate::{
    ledger::{AttemptEnd, Job, Ledger, LedgerError, RunStage},
    plan::{Plan, freshness},
};

/// Show progress and failures
///
/// Works at any time, also while the sweep runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sweep status sweeps/omniglot.toml")]
pub(super) struct Status {
    #[command(flatten)]
    target: Target,
}

impl Status {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let opened = self.target.open_results()?;
        let (plan, ledger) = (&opened.plan, &opened.ledger);
        let mut status = StatusCounts::default();
        for &run in plan.runs.keys() {
            status.add_run(run, plan, ledger)?;
        }
        let runs = counted(plan.runs.len(), "run");
        let StatusCounts {
            finished, begun, ..
        } = status;
        let mut summary = format!("{finished} of {runs} finished, {begun} begun");
        if !plan.ensembles.is_empty() {
            let measured = status.add_ensembles(plan, ledger)?;
            let all = counted(plan.ensembles.len(), "ensemble");
            summary.push_str(&format!("; {measured} of {all} measured"));
        }
        let mut lines = vec![format!("{}: {summary}", opened.sweep.name)];
        lines.extend(studies::states(&opened));
        lines.extend(status.lines);
        for data in &status.suspects {
            let root = flag("root", "data", &opened.sweep.data_root);
            lines.push(format!(
                "hint: `sweep data check {data}{root}` names all images that cannot be read"
            ));
        }
        let freshness = freshness::of(plan, ledger, &opened.sweep.report)?;
        let tallies = tally(&freshness);
        let todo: usize = tallies.values().map(|tally| tally.todo).sum();
        if todo > 0 {
            let jobs = counted(todo, "job");
            lines.push(format!("{jobs} left: `{}`", self.target.command("run")));
        }
        opened.tell_damage()?;
        show(&(lines.join("\n") + "\n"))?;
        opened.require_ids()?;
        match status.failed {
            0 => Ok(()),
            failed => Err(Exit::RunsFailed(format!(
                "{} failed",
                counted(failed, "job")
            ))),
        }
    }
}

/// The state of all runs.
#[derive(Default)]
struct StatusCounts {
    finished: usize,
    begun: usize,
    /// Runs and ensembles with a failed attempt.
    failed: usize,
    /// The data sets that runs failed to read.
    suspects: BTreeSet<String>,
    /// On runs that failed, or that have begun.
    lines: Vec<String>,
}

/// The name of a run's data set, if it has files that can be checked.
fn suspect(run: RunId, plan: &Plan) -> Option<String> {
    let data = &plan.data.get(&plan.runs.get(&run)?.data)?;
    let has_files = data.dataset.files() != Files::Drawn;
    has_files.then(|| data.dataset.folder().to_owned())
}

impl StatusCounts {
    fn add_run(&mut self, run: RunId, plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
        let trained = ledger.trained(run)?;
        if let Some(idle) = trained.as_ref().filter(|trained| trained.was_mostly_idle()) {
            let Trained {
                empty_steps, steps, ..
            } = idle;
            let what = format!(": no pair counted in {empty_steps} of {steps} steps");
            self.line("idle", run, plan, &what);
        }
        match state_of(run, plan, ledger)? {
            RunState::Finished(_) => self.finished += 1,
            RunState::Broken { how, step } => {
                self.finished += 1;
                let what = format!(", {} at step {step}", how.reason());
                self.line(how.word(), run, plan, &what);
            }
            RunState::Failed { class, message } => {
                self.failed += 1;
                if class == Failure::Data {
                    self.suspects.extend(suspect(run, plan));
                }
                self.line("failed", run, plan, &format!(": {message}"));
                let job = failed_job(run, plan, ledger)?;
                self.lines
                    .extend(job.map(|job| log_line(ledger, job)).transpose()?);
            }
            RunState::Missing => match ledger.state(run)? {
                // A trial is only validated.
                RunStage::New if plan.runs[&run].member.is_none() && trained.is_some() => {
                    self.finished += 1;
                }
                RunStage::New => {}
                RunStage::Interrupted => {
                    self.begun += 1;
                    self.line("begun", run, plan, ", has a checkpoint");
                }
                RunStage::Trained(_) | RunStage::Recorded(_) => {
                    self.begun += 1;
                    self.line("trained", run, plan, ", not yet measured");
                }
            },
        }
        Ok(())
    }

    /// Counts the measured ensembles, and adds lines on those that failed or whose runs failed.
    fn add_ensembles(&mut self, plan: &Plan, ledger: &Ledger) -> Result<usize, LedgerError> {
        let mut measured = 0;
        for &id in plan.ensembles.keys() {
            let name = plan.name_of_ensemble(id);
            match state_of_ensemble(id, plan, ledger)? {
                RunState::Finished(_) => measured += 1,
                RunState::Broken { how, .. } => {
                    let how = how.word();
                    self.lines.push(format!(
                        "  skipped   {id}  {name}, all folds: not ensembled, one of them is {how}"
                    ));
                }
                RunState::Failed { message, .. } => {
                    self.lines
                        .push(format!("  failed    {id}  {name}, all folds: {message}"));
                    if ledger.attempts(Job::Ensemble(id))? > 0 {
                        self.failed += 1;
                        self.lines.push(log_line(ledger, Job::Ensemble(id))?);
                    }
                }
                RunState::Missing => {}
            }
        }
        Ok(measured)
    }

    fn line(&mut self, word: &str, run: RunId, plan: &Plan, what: &str) {
        let name = plan.name_of_run(run);
        self.lines.push(format!("  {word:<9} {run}  {name}{what}"));
    }
}

/// The job of a run whose latest attempt failed.
fn failed_job(run: RunId, plan: &Plan, ledger: &Ledger) -> Result<Option<Job>, LedgerError> {
    for job in jobs_of(run, plan) {
        let end = ledger.last_exit(job)?.map(|exit| exit.end);
        if matches!(end, Some(AttemptEnd::Failed { .. })) {
            return Ok(Some(job));
        }
    }
    Ok(None)
}

fn log_line(ledger: &Ledger, job: Job) -> Result<String, LedgerError> {
    let folder = ledger.attempt_folder(job, ledger.attempts(job)?);
    Ok(format!("            log: {}", folder.log().display()))
}
