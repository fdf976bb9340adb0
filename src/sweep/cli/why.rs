//! `sweep why`: the state of one run, and its differences from the nearest finished run.

use std::{fs, path::PathBuf, sync::Arc};

use clap::Args;
use schema::{Outcome, RunId};
use serde_json::{Value, json};

use super::{
    Exit, Opened, diff::in_words, folder::folder, run_ids::the_only, show, show_json,
    slurm::waiting_for, tell,
};
use crate::{
    config::Sweep,
    ledger::{AttemptEnd, AttemptExit, Job, Ledger, RunStage},
    plan::{
        difference::{self, Difference},
        freshness::{self, Freshness, Reason},
    },
};

/// Explain why a run has to run, or is reused
///
/// Lists the attempts at the run, and how it differs from the most similar finished run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep why 7f2c                                a run of any earlier sweep, by the start of its id
  sweep why 7f2c sweeps/omniglot.toml           a run of this file; `sweep plan` lists the ids
  sweep why 7f2c --json | jq '.differences[0]'

Two runs differ by a setting, the content of the data set, the held-out fold, the seed, the kind of device, or the \
version of the program's formats. Equal runs are the same run, in whatever sweep and method they occur.")]
pub(super) struct Why {
    /// Id of a run or its beginning, or the folder of a run
    run: String,
    /// Sweep file with the run [default: all earlier sweeps]
    file: Option<PathBuf>,
    /// Override a value for this command
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
    /// Print one JSON object
    #[arg(long = "json")]
    pub(super) as_json: bool,
}

/// An attempt at a job of the run, and how it ended, if that is known.
type Tried = (Job, u32, Option<AttemptExit>);

/// Everything known about a run.
pub(super) struct Story {
    run: RunId,
    /// Its name, and the file of its sweep.
    member: Option<(String, PathBuf)>,
    state: RunStage,
    /// Why it has to run, according to the plan.
    stale: Option<Reason>,
    attempts: Vec<Tried>,
    /// The element of Slurm that has it.
    element: Option<String>,
    nearest: Option<(RunId, Vec<Difference>)>,
}

impl Why {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let ledger = self.ledger();
        let sweeps = self.sweeps(&ledger)?;
        let run = self.find(&ledger, &sweeps)?;
        let story = Story::of(run, &ledger, &sweeps)?;
        for damage in ledger.damage() {
            tell(&format!("warning: {damage}; it is not used"));
        }
        match self.as_json {
            true => show_json(&story.as_json()),
            false => show(&(story.as_text(&ledger).join("\n") + "\n")),
        }
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::new(&self.results)
    }

    /// The sweep of the file, or all that were run before and can still be read.
    pub(super) fn sweeps(&self, ledger: &Ledger) -> Result<Vec<Opened>, Exit> {
        if let Some(file) = &self.file {
            return Ok(vec![Opened::of_results(
                Sweep::read(file, &self.overrides)?,
                &self.results,
            )?]);
        }
        let folder = ledger.root().join("sweeps");
        let files = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<PathBuf> = files
            .filter(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "toml")
            })
            .collect();
        files.sort();
        let open =
            |file: &PathBuf| Opened::of_results(Sweep::read(file, &[]).ok()?, &self.results).ok();
        Ok(files.iter().filter_map(open).collect())
    }

    /// The only run whose id has this prefix.
    pub(super) fn find(&self, ledger: &Ledger, sweeps: &[Opened]) -> Result<RunId, Exit> {
        let begun = ledger.runs()?;
        let planned = sweeps.iter().flat_map(|opened| opened.plan.runs.keys());
        let found = the_only(&self.run, begun.iter().chain(planned).copied())?;
        found.ok_or_else(|| {
            Exit::mistake(format!(
                "no run has an id that begins with `{}`, neither in `{}` nor in {}\n\
                 hint: `sweep plan FILE` lists the ids of a sweep's runs; name FILE after the id to look there",
                self.run,
                ledger.root().display(),
                match &self.file {
                    Some(file) => format!("`{}`", file.display()),
                    None => "the sweeps that were run there".to_owned(),
                }
            ))
        })
    }
}

impl Story {
    pub(super) fn of(run: RunId, ledger: &Ledger, sweeps: &[Opened]) -> Result<Story, Exit> {
        let of = sweeps
            .iter()
            .find(|opened| opened.plan.runs.contains_key(&run));
        let planned = of.map(|opened| difference::stored(&opened.plan.runs[&run].identity()));
        let identity = match planned {
            Some(identity) => Some(identity),
            None => ledger.identity(run)?,
        };
        let stale = match of {
            Some(opened) => stale(run, opened)?,
            None => None,
        };
        Ok(Story {
            run,
            member: of.map(|opened| (opened.plan.name_of_run(run), opened.sweep.file.clone())),
            state: ledger.state(run)?,
            stale,
            attempts: attempts(run, ledger)?,
            element: element(run, ledger)?,
            nearest: identity
                .map(|identity| difference::nearest(run, &identity, ledger))
                .transpose()?
                .flatten(),
        })
    }

    fn as_text(&self, ledger: &Ledger) -> Vec<String> {
        let mut lines = self.title();
        lines.push(format!("  {}", self.standing()));
        lines.extend(self.element.iter().map(|element| format!("  in {element}")));
        lines.push(String::new());
        match self.attempts[..] {
            [] => lines.push("attempts: none".to_owned()),
            _ => lines.push("attempts:".to_owned()),
        }
        for (job, number, ended) in &self.attempts {
            lines.push(format!(
                "  {} {number}: {}",
                job.verb(),
                told(ended.as_ref())
            ));
            if let Some(AttemptExit {
                end: AttemptEnd::Failed { .. },
                ..
            }) = ended
            {
                lines.push(format!(
                    "    log: {}",
                    ledger.attempt_folder(*job, *number).log().display()
                ));
            }
        }
        lines.push(String::new());
        lines.extend(self.neighbor());
        lines
    }

    /// Returns the id and the name of the run, and the file of its sweep.
    pub(super) fn title(&self) -> Vec<String> {
        match &self.member {
            Some((name, file)) => vec![
                format!("{}  {name}", self.run),
                format!("  of {}", file.display()),
            ],
            None => vec![
                self.run.to_string(),
                "  of no sweep that was run here: name its file to know more".to_owned(),
            ],
        }
    }

    /// Whether it has to run, and why.
    fn standing(&self) -> String {
        match (&self.state, &self.stale) {
            (_, Some(reason)) => format!("has to run: {reason}"),
            (RunStage::Recorded(record), None) => match &record.outcome {
                Outcome::Finished(_) => "finished: its result is reused".to_owned(),
                Outcome::Broken { how, step } => {
                    format!(
                        "{} at step {step}, which is its result and reused: {}",
                        how.word(),
                        how.reason()
                    )
                }
            },
            (RunStage::Trained(_), None) => "trained, not measured".to_owned(),
            (RunStage::Interrupted, None) => {
                "interrupted: has a checkpoint to continue from".to_owned()
            }
            (RunStage::New, None) => "has no result".to_owned(),
        }
    }

    /// Returns how it differs from the most similar finished run.
    pub(super) fn neighbor(&self) -> Vec<String> {
        let Some((other, differences)) = &self.nearest else {
            return vec!["no other run is finished, so there is none to compare with".to_owned()];
        };
        let Some(first) = differences.first() else {
            return vec![format!("the finished run {other} has the same identity")];
        };
        let mut lines = vec![format!(
            "the nearest other finished run, {other}, has another {}:",
            first.component
        )];
        lines.extend(differences.iter().map(|found| {
            let (there, here) = (
                in_words(found.left.as_ref()),
                in_words(found.right.as_ref()),
            );
            format!("  {}: {there} there, {here} here", found.key)
        }));
        lines
    }

    pub(super) fn as_json(&self) -> Value {
        let attempts = self.attempts.iter().map(
            |(job, number, ended)| json!({ "job": job.verb(), "number": number, "ended": ended }),
        );
        json!({
            "version": 1,
            "run": self.run,
            "member": self.member.as_ref().map(|(name, _)| name),
            "file": self.member.as_ref().map(|(_, file)| file),
            "standing": self.standing(),
            "todo": self.stale.is_some(),
            "reason": self.stale,
            "slurm": self.element,
            "attempts": attempts.collect::<Vec<_>>(),
            "nearest": self.nearest.as_ref().map(|(run, _)| run),
            "differences": self.nearest.as_ref().map(|(_, differences)| differences),
        })
    }
}

/// Why it has to run, if it has to.
fn stale(run: RunId, opened: &Opened) -> Result<Option<Reason>, Exit> {
    let freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
    let reason = |job| match freshness.get(&job) {
        Some(Freshness::Stale(reason)) => Some(reason.clone()),
        Some(Freshness::Fresh | Freshness::NotNeeded) | None => None,
    };
    Ok(reason(Job::Train(run)).or_else(|| reason(Job::Evaluate(run))))
}

/// What Slurm says of the element that has a job of the run.
fn element(run: RunId, ledger: &Ledger) -> Result<Option<String>, Exit> {
    match waiting_for(Job::Train(run), ledger)? {
        Some(element) => Ok(Some(element)),
        None => waiting_for(Job::Evaluate(run), ledger),
    }
}

fn attempts(run: RunId, ledger: &Ledger) -> Result<Vec<Tried>, Exit> {
    let mut tried = Vec::new();
    for job in [Job::Train(run), Job::Evaluate(run)] {
        for number in 1..=ledger.attempts(job)? {
            let ended = ledger.exit(job, number)?;
            tried.push((job, number, ended.map(Arc::unwrap_or_clone)));
        }
    }
    Ok(tried)
}

fn told(ended: Option<&AttemptExit>) -> String {
    match ended {
        None => "runs now, or was lost: no end is noted".to_owned(),
        Some(AttemptExit {
            end: AttemptEnd::Finished,
            ..
        }) => "finished".to_owned(),
        Some(AttemptExit {
            end: AttemptEnd::Stopped,
            ..
        }) => "stopped on request, with a checkpoint".to_owned(),
        Some(AttemptExit {
            end: AttemptEnd::Superseded,
            ..
        }) => "given up: another process had claimed the job, or done it before".to_owned(),
        Some(AttemptExit {
            end: AttemptEnd::Failed { message, .. },
            ..
        }) => format!("failed: {message}"),
    }
}
