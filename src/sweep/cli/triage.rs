//! `sweep triage`: what happened to a run, how it differs from one that works, and what to do.

use std::path::PathBuf;

use clap::Args;
use schema::{Breakdown, Failure, Outcome, RunId};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Exit, Opened,
    log_tail::last_lines,
    report::jobs_of,
    room::MAKE_ROOM,
    show, show_json,
    why::{Story, Why},
};
use crate::ledger::{self, AttemptEnd, Job, Ledger, LedgerError, RunStage};

/// Find out why a run failed, and what to do
///
/// Shows the cause, the end of the log, and how the run differs from the most similar one that has finished.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep triage 7f2c
  sweep triage 7f2c sweeps/omniglot.toml --json | jq .cause")]
pub(super) struct Triage {
    #[command(flatten)]
    of: Why,
}

/// Lines of a log that are shown.
const LINES: usize = 12;

/// What happened to a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    /// It has a result.
    Finished,
    /// It was trained, and not measured.
    Trained,
    /// Its training broke down.
    Broken {
        how: Breakdown,
        /// The step at which that was noticed.
        step: u64,
    },
    /// Its latest attempt failed.
    Failed(ledger::Cause),
    /// Its latest attempt was stopped on request.
    Stopped,
    /// Its latest attempt has no noted end.
    Lost,
    /// It was never begun.
    New,
}

/// What is known about the failure of a run.
#[derive(Serialize)]
struct Finding {
    cause: Cause,
    /// The log of the latest attempt.
    log: Option<PathBuf>,
    /// Its last lines.
    tail: Vec<String>,
}

impl Triage {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let ledger = self.of.ledger();
        let sweeps = self.of.sweeps(&ledger)?;
        let run = self.of.find(&ledger, &sweeps)?;
        let story = Story::of(run, &ledger, &sweeps)?;
        let finding = Finding::of(run, &ledger, &sweeps)?;
        match self.of.as_json {
            true => show_json(&finding.as_json(&story)),
            false => show(&(finding.as_text(&story).join("\n") + "\n")),
        }
    }
}

impl Finding {
    fn of(run: RunId, ledger: &Ledger, sweeps: &[Opened]) -> Result<Finding, LedgerError> {
        let planned = sweeps
            .iter()
            .find(|opened| opened.plan.runs.contains_key(&run));
        let jobs: Vec<Job> = match planned {
            Some(opened) => jobs_of(run, &opened.plan).collect(),
            None => vec![Job::Evaluate(run), Job::Train(run)],
        };
        let mut latest = None;
        for job in jobs {
            let number = ledger.attempts(job)?;
            if number > 0 {
                latest = Some((job, number));
                break;
            }
        }
        let log = latest.map(|(job, number)| ledger.attempt_folder(job, number).log());
        Ok(Finding {
            cause: Cause::of(run, latest, ledger)?,
            tail: log
                .as_deref()
                .map_or_else(Vec::new, |log| last_lines(log, LINES)),
            log,
        })
    }

    fn as_text(&self, story: &Story) -> Vec<String> {
        let mut lines = story.title();
        lines.push(format!("  {}", self.cause.in_words()));
        lines.push(String::new());
        if let Some(log) = self.log.as_ref().filter(|_| !self.tail.is_empty()) {
            lines.push(format!("the end of {}:", log.display()));
            lines.extend(self.tail.iter().map(|line| format!("  | {line}")));
            lines.push(String::new());
        }
        lines.extend(story.neighbor());
        lines.push(String::new());
        lines.push("what to do:".to_owned());
        lines.extend(self.cause.advice().iter().map(|line| format!("  {line}")));
        lines
    }

    fn as_json(&self, story: &Story) -> Value {
        let mut object = story.as_json();
        object["cause"] = json!(self.cause);
        object["log"] = json!(self.log);
        object["tail"] = json!(self.tail);
        object["advice"] = json!(self.cause.advice());
        object
    }
}

impl Cause {
    fn of(run: RunId, latest: Option<(Job, u32)>, ledger: &Ledger) -> Result<Cause, LedgerError> {
        if let RunStage::Recorded(record) = ledger.state(run)? {
            return Ok(match record.outcome {
                Outcome::Finished(_) => Cause::Finished,
                Outcome::Broken { how, step } => Cause::Broken { how, step },
            });
        }
        let Some((job, number)) = latest else {
            return Ok(Cause::New);
        };
        let Some(exit) = ledger.exit(job, number)? else {
            return Ok(Cause::Lost);
        };
        let is_finished = exit.end == AttemptEnd::Finished;
        Ok(match exit.cause() {
            Some(cause) => Cause::Failed(cause),
            None if is_finished => Cause::Trained,
            None => Cause::Stopped,
        })
    }

    fn in_words(&self) -> String {
        match self {
            Cause::Finished => "finished: nothing is wrong with it".to_owned(),
            Cause::Trained => "trained, and not yet measured".to_owned(),
            Cause::Broken { how, step } => {
                format!("{} at step {step}: {}", how.word(), how.reason())
            }
            Cause::Failed(cause) => format!("failed: {}", cause.message),
            Cause::Stopped => "stopped on request".to_owned(),
            Cause::Lost => "its latest attempt runs now, or was lost with the sweep".to_owned(),
            Cause::New => "not begun".to_owned(),
        }
    }

    /// Returns what to do, the most likely first.
    fn advice(&self) -> Vec<&'static str> {
        match self {
            Cause::Finished => vec!["nothing"],
            Cause::Trained | Cause::Stopped | Cause::Lost | Cause::New => {
                vec!["`sweep run FILE` goes on with it"]
            }
            Cause::Broken { how, .. } => of_breakdown(*how),
            Cause::Failed(cause) => of_failure(cause.class),
        }
    }
}

fn of_breakdown(how: Breakdown) -> Vec<&'static str> {
    match how {
        Breakdown::Diverged => vec![
            "lower the learning rate, or let it rise at first: `warm_up` in [training]",
            "bound the gradients: `clip` in [training]",
            "it is a result of the method with these settings: the table shows it as diverged",
        ],
        Breakdown::Collapsed => vec![
            "lower the learning rate, or choose easier pairs: another miner, or none",
            "it is a result of the method with these settings: the table shows it as collapsed",
        ],
        Breakdown::Dead => vec![
            "raise the margin, or choose a miner that finds more pairs: `sweep show miners`",
            "it is a result of the method with these settings: the table shows it as dead",
        ],
    }
}

fn of_failure(class: Failure) -> Vec<&'static str> {
    match class {
        Failure::Data => vec!["`sweep data check NAME` names all images that cannot be read"],
        Failure::OtherCounts => vec![
            "compare the files with the download page of the data set",
            "`sweep data add .. --allow-other-counts` uses them all the same, and tables say so",
        ],
        Failure::Disk => vec![MAKE_ROOM, "`sweep run FILE` resumes once there is some"],
        Failure::Recipe => vec!["change the setting that the message names"],
        Failure::Device => vec!["`sweep doctor` checks the GPU, its driver and libtorch"],
        Failure::Memory => vec![
            "compute a batch in parts: `chunk` in [training] gives the same result",
            "look for other programs on the GPU: `sweep doctor` shows what is in use",
        ],
        Failure::HostMemory => vec![
            "run fewer jobs at once: `--set resources.slots=1`",
            "look for other programs: `sweep doctor` shows the available memory",
        ],
        Failure::Crashed | Failure::Internal => vec![
            "read the log above; `sweep run FILE --only failed` tries again",
            "if it fails at the same step again, report it with the log",
        ],
        Failure::Hung => vec![
            "`hang_minutes` in [resources] is how long a trainer may be silent",
            "`sweep doctor` checks the device",
        ],
        Failure::NotStarted => vec!["`sweep doctor` checks whether the trainer starts"],
    }
}
