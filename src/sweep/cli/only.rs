//! `--only`: of the jobs that have to run, those of runs that failed or were lost.

use std::collections::BTreeSet;

use clap::ValueEnum;
use schema::RunId;

use super::{Opened, report::jobs_of};
use crate::{
    ledger::{Job, Ledger, LedgerError},
    plan::{
        Plan,
        freshness::{Freshness, FreshnessOf, Reason},
    },
};

/// Which runs are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Only {
    /// The latest attempt failed
    Failed,
    /// It was begun, and its end is not known
    Lost,
}

impl Only {
    /// Leaves out all jobs but those of the runs that are asked for, and returns how many.
    pub(super) fn restrict(
        only: &[Only],
        freshness: &mut FreshnessOf,
        opened: &Opened,
    ) -> Result<usize, LedgerError> {
        let (plan, ledger) = (&opened.plan, &opened.ledger);
        let mut named = BTreeSet::new();
        for (&job, freshness) in freshness.iter() {
            if is_named(job, freshness, only, ledger)? {
                named.insert(job);
            }
        }
        let is_chosen = |run: RunId| jobs_of(run, plan).any(|job| named.contains(&job));
        let chosen: BTreeSet<RunId> = plan
            .runs
            .keys()
            .copied()
            .filter(|&run| is_chosen(run))
            .collect();
        let is_done = |run: &RunId| {
            [Job::Train(*run), Job::Evaluate(*run)]
                .iter()
                .all(|job| !matches!(freshness.get(job), Some(Freshness::Stale(_))))
        };
        let done: BTreeSet<RunId> = plan.runs.keys().copied().filter(is_done).collect();
        let mut left_out = 0;
        for (&job, freshness) in freshness.iter_mut() {
            let is_stale = matches!(freshness, Freshness::Stale(_));
            if is_stale && !named.contains(&job) && !is_kept(job, &chosen, &done, plan) {
                *freshness = Freshness::NotNeeded;
                left_out += 1;
            }
        }
        Ok(left_out)
    }
}

/// True if a job itself is of a kind that is asked for.
fn is_named(
    job: Job,
    freshness: &Freshness,
    only: &[Only],
    ledger: &Ledger,
) -> Result<bool, LedgerError> {
    let kind = match freshness {
        Freshness::Stale(Reason::Failed(_)) => Only::Failed,
        Freshness::Stale(Reason::Interrupted) => Only::Lost,
        Freshness::Stale(Reason::New) if ledger.attempts(job)? > 0 => Only::Lost,
        Freshness::Stale(_) | Freshness::Fresh | Freshness::NotNeeded => return Ok(false),
    };
    Ok(only.contains(&kind))
}

/// True if a job leads to the result of a chosen run, or puts such results together.
fn is_kept(job: Job, chosen: &BTreeSet<RunId>, done: &BTreeSet<RunId>, plan: &Plan) -> bool {
    match job {
        Job::Prepare(data) => chosen.iter().any(|run| plan.runs[run].data == data),
        Job::Train(run) | Job::Evaluate(run) => chosen.contains(&run),
        Job::Ensemble(id) => {
            let runs = &plan.ensembles[&id].runs;
            let will_be_done = |run| chosen.contains(run) || done.contains(run);
            runs.iter().any(|run| chosen.contains(run)) && runs.iter().all(will_be_done)
        }
    }
}
