//! What killed processes left under `results/` and among data sets and weights: removed before a sweep continues.

use std::path::Path;

use durable::remove_leftovers;
use rayon::prelude::*;
use schema::RunId;

use crate::{
    ledger::{Check, Job, Ledger, LedgerError, weights},
    plan::{
        Plan,
        freshness::{Freshness, FreshnessOf},
    },
};

/// Removes half-written files, and what is not needed any more once a training is published.
///
/// # Errors
/// A file cannot be read or removed.
pub fn remove(plan: &Plan, freshness: &FreshnessOf, ledger: &Ledger) -> Result<(), LedgerError> {
    remove_above(ledger)?;
    for (&job, freshness) in freshness {
        if let Freshness::Stale(_) = freshness {
            remove_of(job, ledger)?;
        }
    }
    let runs = plan.runs.par_iter();
    runs.try_for_each(|(&run, _)| finish_publishing(run, plan, ledger))
}

/// Removes half-written files that belong to no job.
///
/// # Errors
/// A file cannot be removed.
pub fn remove_above(ledger: &Ledger) -> Result<(), LedgerError> {
    let root = ledger.root();
    for folder in [root.to_owned(), root.join("studies"), root.join("sweeps")] {
        remove_leftovers(&folder)?;
    }
    Ok(())
}

/// Removes what killed processes left in the folders of data sets and of weights. Those of someone else may be
/// read-only; they are left as they are.
pub fn remove_inputs(data: &Path, weights: &Path) {
    let _ = remove_leftovers(data);
    let _ = weights::remove_leftovers(weights);
}

/// Removes the half-written files of a job and of its last attempt.
fn remove_of(job: Job, ledger: &Ledger) -> Result<(), LedgerError> {
    let attempt = ledger.attempt_folder(job, ledger.attempts(job)?);
    remove_leftovers(attempt.path())?;
    Ok(remove_leftovers(&ledger.folder_of(job))?)
}

/// Removes the checkpoint of a published training, and the network of a trial: a kill can fall in between.
fn finish_publishing(run: RunId, plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
    if !ledger.run(run).checkpoint().is_file() {
        return Ok(());
    }
    if ledger.trained(run)?.is_none() {
        return Ok(());
    }
    let is_trial = plan.runs[&run].member.is_none();
    if is_trial {
        ledger.remove_network(run)?;
        ledger.remove_checkpoint(run)
    } else if ledger.has_model(run, Check::Sizes)? {
        ledger.remove_checkpoint(run)
    } else {
        Ok(())
    }
}
