//! `sweep status`: how far a sweep is and what failed.

use clap::Args;
use report::RunState;
use schema::Trained;

use super::{
    Exit, Target, counted,
    report::{state_of, state_of_ensemble},
    show, studies,
};
use crate::{
    ledger::{Job, Ledger, LedgerError, RunStage},
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
        let opened = self.target.open()?;
        let (plan, ledger) = (&opened.plan, &opened.ledger);
        let (mut finished, mut begun, mut lines) = (0, 0, Vec::new());
        for &run in plan.runs.keys() {
            let name = plan.name_of_run(run);
            if let Some(Trained {
                empty_steps, steps, ..
            }) = ledger.trained(run)?.filter(Trained::was_mostly_idle)
            {
                lines.push(format!(
                    "  idle      {run}  {name}: no pair counted in {empty_steps} of {steps} steps"
                ));
            }
            match state_of(run, plan, ledger)? {
                RunState::Finished(_) => finished += 1,
                RunState::Broken { how, step } => {
                    finished += 1;
                    lines.push(format!(
                        "  {:<9} {run}  {name}, {} at step {step}",
                        how.word(),
                        how.reason()
                    ));
                }
                RunState::Failed { message, .. } => {
                    lines.push(format!("  failed    {run}  {name}: {message}"));
                    lines.push(format!("            log: {}", self.log(ledger, run)?));
                }
                RunState::Missing => match ledger.state(run)? {
                    RunStage::New
                        if plan.runs[&run].member.is_none() && ledger.trained(run)?.is_some() =>
                    {
                        finished += 1
                    }
                    RunStage::New => {}
                    RunStage::Interrupted => {
                        begun += 1;
                        lines.push(format!("  begun     {run}  {name}, has a checkpoint"));
                    }
                    RunStage::Trained(_) | RunStage::Recorded(_) => {
                        begun += 1;
                        lines.push(format!("  trained   {run}  {name}, not yet measured"));
                    }
                },
            }
        }
        let mut summary = format!(
            "{finished} of {} finished, {begun} begun",
            counted(plan.runs.len(), "run")
        );
        if !plan.ensembles.is_empty() {
            let joined = ensembles(plan, ledger, &mut lines)?;
            summary.push_str(&format!(
                "; {joined} of {} measured",
                counted(plan.ensembles.len(), "ensemble")
            ));
        }
        lines.insert(0, format!("{}: {summary}", opened.sweep.name));
        lines.splice(1..1, studies::states(&opened));
        lines.splice(
            1..1,
            plan.missing
                .iter()
                .map(|missing| format!("missing: {missing}")),
        );
        let freshness = freshness::of(plan, ledger, &opened.sweep.report)?;
        let todo: usize = super::plan::tally(&freshness)
            .values()
            .map(|(todo, _)| todo)
            .sum();
        if todo > 0 {
            lines.push(format!(
                "{} left: `{}`",
                counted(todo, "job"),
                opened.sweep.command
            ));
        }
        show(&(lines.join("\n") + "\n"))
    }

    fn log(&self, ledger: &Ledger, run: schema::RunId) -> Result<String, Exit> {
        let job = if ledger.attempts(Job::Evaluate(run))? > 0 {
            Job::Evaluate(run)
        } else {
            Job::Train(run)
        };
        Ok(log(ledger, job)?)
    }
}

/// How many ensembles are measured; those that failed, or of which a run went wrong, get lines of their own.
fn ensembles(plan: &Plan, ledger: &Ledger, lines: &mut Vec<String>) -> Result<usize, LedgerError> {
    let mut measured = 0;
    for &id in plan.ensembles.keys() {
        let name = plan.name_of_ensemble(id);
        match state_of_ensemble(id, plan, ledger)? {
            RunState::Finished(_) => measured += 1,
            RunState::Broken { how, .. } => {
                lines.push(format!(
                    "  skipped   {id}  {name}, all folds: not ensembled, one of them is {}",
                    how.word()
                ));
            }
            RunState::Failed { message, .. } => {
                lines.push(format!("  failed    {id}  {name}, all folds: {message}"));
                if ledger.attempts(Job::Ensemble(id))? > 0 {
                    lines.push(format!(
                        "            log: {}",
                        log(ledger, Job::Ensemble(id))?
                    ));
                }
            }
            RunState::Missing => {}
        }
    }
    Ok(measured)
}

fn log(ledger: &Ledger, job: Job) -> Result<String, LedgerError> {
    let folder = ledger.attempt_folder(job, ledger.attempts(job)?);
    Ok(folder.log().display().to_string())
}
