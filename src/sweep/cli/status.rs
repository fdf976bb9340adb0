//! `sweep status`: what a sweep has reached, what runs now, and what failed.
//!
//! All numbers are gathered first, in a [`Snapshot`], which is printed as text or as JSON.

mod failures;
mod live;
mod remarks;

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
    time::Duration,
};

use clap::Args;
use failures::Failures;
pub(super) use live::Session;
use rayon::prelude::*;
use remarks::Remark;
use report::RunState;
use schema::{Breakdown, Failure, Files, RunId, Trained};
use serde::Serialize;

use super::{
    Exit, Opened, Target, clear_screen, counted,
    plan::tally,
    progress,
    report::{jobs_of, state_of, state_of_ensemble},
    show, show_json,
    slurm::Arrays,
    studies,
};
use crate::{
    config::Counts,
    ledger::{Cause, Job, Ledger, LedgerError, RunStage},
    plan::{Plan, difference, freshness},
    shell::CommandLine,
};

/// Show what a sweep has reached, what runs now, and what failed
///
/// Works at any time, also while the sweep runs. Failures are grouped by their cause. The exit code is 2 if something
/// failed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep status sweeps/omniglot.toml
  sweep status sweeps/omniglot.toml --watch            again every two seconds, while it runs
  sweep status sweeps/omniglot.toml --json | jq .jobs")]
pub(super) struct Status {
    #[command(flatten)]
    target: Target,
    /// Print again every two seconds, or every twenty while Slurm is asked, until the sweep ends
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Between two prints of `--watch`.
const PERIOD: Duration = Duration::from_secs(2);
/// The same while Slurm is asked for each.
const SLURM_PERIOD: Duration = Duration::from_secs(20);

/// The version of the JSON object. In version 1, remarks were sentences, in version 2 some of their causes.
const VERSION: u32 = 3;

/// What a sweep has reached.
#[derive(Serialize)]
struct Snapshot {
    /// The version of this object.
    version: u32,
    sweep: String,
    /// The session that works in the results folder now, be it on this sweep or on another.
    session: Option<Session>,
    /// The workers of a batch system that are at work in the results folder.
    workers: Vec<Session>,
    /// What Slurm says of the arrays of the results folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    slurm: Option<Arrays>,
    runs: Runs,
    ensembles: Count,
    /// Jobs of the whole sweep, with those that its searches may add.
    jobs: Count,
    /// Those that its searches may add.
    #[serde(skip)]
    ahead: usize,
    /// The resources of `have`, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    resources: BTreeMap<String, InUse>,
    searches: Vec<studies::Progress>,
    failures: Failures,
    /// Runs and ensembles that need a look.
    remarks: Vec<Remark>,
    /// Data sets with files that could not be read.
    #[serde(skip)]
    suspects: BTreeSet<String>,
    /// The numbers of searches in each state, in words.
    #[serde(skip)]
    search_states: Vec<String>,
}

/// How many of some things are done.
#[derive(Clone, Copy, Default, Serialize)]
struct Count {
    done: usize,
    total: usize,
}

/// How many there are of a resource, and how many the running jobs take.
#[derive(Clone, Copy, Serialize)]
struct InUse {
    used: u32,
    total: u32,
}

/// The runs of a sweep by their state.
#[derive(Default, Serialize)]
struct Runs {
    total: usize,
    finished: usize,
    begun: usize,
    /// Runs whose training broke down, by how.
    broken: BTreeMap<Breakdown, usize>,
}

impl Status {
    pub(super) fn run(&self) -> Result<(), Exit> {
        loop {
            let opened = self.target.open_results()?;
            let snapshot = Snapshot::of(&opened)?;
            if !self.watch || !snapshot.is_running() {
                let end = self.end(&opened, &snapshot);
                opened.leave();
                return end;
            }
            let screen = snapshot.lines(self, &opened).join("\n");
            clear_screen();
            show(&format!("{screen}\n\n"))?;
            thread::sleep(snapshot.period());
        }
    }

    /// Prints the snapshot, and returns whether something failed.
    fn end(&self, opened: &Opened, snapshot: &Snapshot) -> Result<(), Exit> {
        // The snapshot has looked at all results.
        opened.tell_found_damage();
        match self.json {
            true => show_json(snapshot)?,
            false => show(&(snapshot.lines(self, opened).join("\n") + "\n"))?,
        }
        opened.require_ids()?;
        match snapshot.failures.jobs() {
            0 => Ok(()),
            failed => Err(Exit::RunsFailed(format!(
                "{} failed",
                counted(failed, "job")
            ))),
        }
    }
}

impl Snapshot {
    fn of(opened: &Opened) -> Result<Snapshot, Exit> {
        let (plan, ledger) = (&opened.plan, &opened.ledger);
        // Before its results: what a session that has ended by now has published is seen.
        let session = Session::of(plan, ledger)?;
        let workers = Session::of_workers(plan, ledger)?;
        let freshness = freshness::of(plan, ledger, &opened.sweep.report)?;
        let known = tally(&freshness);
        let done = known.values().map(|tally| tally.done).sum();
        let todo: usize = known.values().map(|tally| tally.todo).sum();
        let ahead = progress::jobs_ahead(plan);
        let resources = resources_in_use(session.as_ref(), opened);
        let mut snapshot = Snapshot {
            version: VERSION,
            sweep: opened.sweep.name.clone(),
            session,
            workers,
            slurm: Arrays::of(ledger)?,
            runs: Runs {
                total: plan.runs.len(),
                ..Runs::default()
            },
            ensembles: Count {
                done: 0,
                total: plan.ensembles.len(),
            },
            jobs: Count {
                done,
                total: done + todo + ahead,
            },
            ahead,
            resources,
            searches: studies::progress(opened),
            failures: Failures::default(),
            remarks: Vec::new(),
            suspects: BTreeSet::new(),
            search_states: studies::states(opened),
        };
        snapshot.add_runs(plan, ledger)?;
        snapshot.add_ensembles(plan, ledger)?;
        if snapshot.runs.finished == 0 && !snapshot.is_running() {
            let cause = difference::cause_of_absence(plan, ledger)?;
            let remark = cause.map(|differs| Remark::NothingFound { differs });
            snapshot.remarks.extend(remark);
        }
        Ok(snapshot)
    }

    fn lines(&self, status: &Status, opened: &Opened) -> Vec<String> {
        let mut lines = vec![format!("{}: {}", self.sweep, self.summary())];
        lines.extend(
            self.session
                .iter()
                .chain(&self.workers)
                .flat_map(|session| session.of_sweep(&self.sweep)),
        );
        lines.extend(self.resources_line());
        if let Some(arrays) = &self.slurm {
            lines.push(format!("  slurm     {}", arrays.line()));
            lines.extend(
                arrays
                    .remedies()
                    .map(|remedy| format!("  warning   {remedy}")),
            );
        }
        lines.extend(self.search_states.iter().cloned());
        lines.extend(self.searches.iter().filter_map(studies::Progress::line));
        lines.extend(self.remarks.iter().map(Remark::line));
        lines.extend(self.failures.lines());
        for data in &self.suspects {
            let check = CommandLine::new("sweep data check").word(data);
            let check = check.folder("--root", "data", &opened.sweep.data_root);
            lines.push(format!(
                "hint: `{check}` names all images that cannot be read"
            ));
        }
        lines.extend(self.next(status));
        lines
    }

    /// `4 of 9 runs finished, 2 begun; 12 of 33 jobs done`
    fn summary(&self) -> String {
        let Runs {
            total,
            finished,
            begun,
            broken,
        } = &self.runs;
        let mut summary = format!("{finished} of {} finished", counted(*total, "run"));
        for (how, count) in broken {
            summary.push_str(&format!(", {count} {}", how.word()));
        }
        summary.push_str(&format!(", {begun} begun"));
        if self.ensembles.total > 0 {
            let all = counted(self.ensembles.total, "ensemble");
            summary.push_str(&format!("; {} of {all} measured", self.ensembles.done));
        }
        let jobs = progress::jobs_with(self.ahead, self.jobs.total);
        summary.push_str(&format!("; {} of {jobs} done", self.jobs.done));
        summary
    }

    /// `  in use    license 2 of 2, nfs 1 of 4`, while jobs run.
    fn resources_line(&self) -> Option<String> {
        if self.orchestrator().is_none() || self.resources.is_empty() {
            return None;
        }
        let each = self.resources.iter();
        let each = each.map(|(name, InUse { used, total })| format!("{name} {used} of {total}"));
        let each: Vec<String> = each.collect();
        Some(format!("  in use    {}", each.join(", ")))
    }

    /// Returns the time until the next print.
    fn period(&self) -> Duration {
        match self.slurm {
            Some(_) => SLURM_PERIOD,
            None => PERIOD,
        }
    }

    /// True if a session works on this sweep now.
    fn is_running(&self) -> bool {
        let mut workers = self.workers.iter();
        self.has_orchestrator() || workers.any(|session| session.is_of(&self.sweep))
    }

    /// Returns the session that works on this sweep now, apart from workers.
    fn orchestrator(&self) -> Option<&Session> {
        let session = self.session.as_ref();
        session.filter(|session| session.is_of(&self.sweep))
    }

    /// True if an orchestrator works on this sweep now, which can be stopped.
    fn has_orchestrator(&self) -> bool {
        self.orchestrator().is_some() || self.slurm.as_ref().is_some_and(Arrays::any)
    }

    /// Returns what to do to get the rest of the sweep.
    fn next(&self, status: &Status) -> Option<String> {
        let left = self.jobs.total - self.jobs.done;
        if left == 0 {
            return None;
        }
        let left = progress::jobs_with(self.ahead, left);
        match self.is_running() {
            true if self.has_orchestrator() => Some(format!(
                "{left} left; `{}` stops it",
                status.target.command("stop")
            )),
            true => Some(format!("{left} left")),
            false => Some(format!("{left} left: `{}`", status.target.command("run"))),
        }
    }

    /// Counts all runs, and adds those that need a look; most only count.
    fn add_runs(&mut self, plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
        let looked = |(&run, _)| Ok((run, is_plainly_finished(run, ledger)?));
        let looked = plan.runs.par_iter().map(looked);
        for (run, is_plain) in looked.collect::<Result<Vec<_>, LedgerError>>()? {
            match is_plain {
                true => self.runs.finished += 1,
                false => self.add_run(run, plan, ledger)?,
            }
        }
        Ok(())
    }

    fn add_run(&mut self, run: RunId, plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
        let trained = ledger.trained(run)?;
        if let Some(idle) = trained.as_ref().filter(|trained| trained.was_mostly_idle()) {
            let &Trained {
                empty_steps, steps, ..
            } = idle;
            self.remarks.push(Remark::Idle {
                run,
                name: plan.name_of_run(run),
                empty_steps,
                steps,
            });
        }
        match state_of(run, plan, ledger)? {
            RunState::Finished(_) => self.runs.finished += 1,
            RunState::Broken { how, step } => {
                *self.runs.broken.entry(how).or_default() += 1;
                self.remarks.push(Remark::Broken {
                    run,
                    name: plan.name_of_run(run),
                    how,
                    step,
                });
            }
            RunState::Failed { class, .. } => {
                if class == Failure::Data {
                    self.suspects.extend(suspect(run, plan));
                }
                if let Some((job, cause)) = failed_job(run, plan, ledger)? {
                    let name = plan.name_of_run(run);
                    self.failures
                        .add(run.to_string(), name, job, cause, ledger)?;
                }
            }
            RunState::Missing => match ledger.state(run)? {
                // A trial is only validated.
                RunStage::New if plan.runs[&run].member.is_none() && trained.is_some() => {
                    self.runs.finished += 1;
                }
                RunStage::New => {}
                RunStage::Interrupted => {
                    self.runs.begun += 1;
                    let name = plan.name_of_run(run);
                    self.waiting(run, Remark::Begun { run, name });
                }
                RunStage::Trained(_) | RunStage::Recorded(_) => {
                    self.runs.begun += 1;
                    let name = plan.name_of_run(run);
                    self.waiting(run, Remark::Trained { run, name });
                }
            },
        }
        Ok(())
    }

    /// Counts the measured ensembles, and adds those that failed or whose runs failed.
    fn add_ensembles(&mut self, plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
        for &id in plan.ensembles.keys() {
            let name = plan.name_of_ensemble(id);
            match state_of_ensemble(id, plan, ledger)? {
                RunState::Finished(_) => self.ensembles.done += 1,
                RunState::Broken { how, .. } => {
                    self.remarks.push(Remark::Skipped {
                        ensemble: id,
                        name,
                        how,
                    });
                }
                RunState::Failed { class, message } => {
                    let job = Job::Ensemble(id);
                    match ledger.last_exit(job)?.and_then(|exit| exit.cause()) {
                        Some(cause) => {
                            let name = format!("{name}, all folds");
                            self.failures
                                .add(id.to_string(), name, job, cause, ledger)?;
                        }
                        None => self.remarks.push(Remark::Waits {
                            ensemble: id,
                            name,
                            class,
                            message,
                        }),
                    }
                }
                RunState::Missing => {}
            }
        }
        Ok(())
    }

    /// Adds a remark on a run that is waiting for a session; what runs now has a line of its own.
    fn waiting(&mut self, run: RunId, remark: Remark) {
        let mut sessions = self.session.iter().chain(&self.workers);
        if !sessions.any(|session| session.works_on(run)) {
            self.remarks.push(remark);
        }
    }
}

/// Returns the resources of a sweep, and what the jobs take that run now.
fn resources_in_use(session: Option<&Session>, opened: &Opened) -> BTreeMap<String, InUse> {
    let running = session.filter(|session| session.is_of(&opened.sweep.name));
    let jobs = running.into_iter().flat_map(Session::jobs);
    let needs: Vec<Counts> = jobs.map(|job| opened.plan.needs_of(job)).collect();
    let used = |name: &str| needs.iter().filter_map(|needs| needs.of(name)).sum();
    let have = opened.sweep.resources.have.iter();
    have.map(|(name, total)| {
        let used = used(name);
        (name.to_owned(), InUse { used, total })
    })
    .collect()
}

/// True if there is nothing to tell of a run but that it has finished.
fn is_plainly_finished(run: RunId, ledger: &Ledger) -> Result<bool, LedgerError> {
    Ok(ledger.has_scores(run)? && !ledger.was_mostly_idle(run)?)
}

/// The name of a run's data set, if it has files that can be checked.
fn suspect(run: RunId, plan: &Plan) -> Option<String> {
    let data = &plan.data.get(&plan.runs.get(&run)?.data)?;
    let has_files = data.dataset.files() != Files::Drawn;
    has_files.then(|| data.dataset.folder().to_owned())
}

/// The job of a run whose latest attempt failed, and why.
fn failed_job(
    run: RunId,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<Option<(Job, Cause)>, LedgerError> {
    for job in jobs_of(run, plan) {
        if let Some(cause) = ledger.last_exit(job)?.and_then(|exit| exit.cause()) {
            return Ok(Some((job, cause)));
        }
    }
    Ok(None)
}
