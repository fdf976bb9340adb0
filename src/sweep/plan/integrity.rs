//! Reads the files that results and jobs rely on, and has the ledger note those that are damaged.
//!
//! Planning compares sizes only. `sweep run` reads contents before it relies on them, and so does a report.

use rayon::prelude::*;
use schema::{EnsembleId, RunId};

use super::{
    Plan,
    freshness::{Freshness, FreshnessOf},
};
use crate::ledger::{Check, Job, Ledger, LedgerError};

/// Checks what a report is made of: trainings, and the scores of each query of all members and ensembles. With
/// [`Check::Contents`], also the identities of runs.
///
/// # Errors
/// A file cannot be read.
pub fn of_results(plan: &Plan, ledger: &Ledger, check: Check) -> Result<(), LedgerError> {
    let runs: Vec<RunId> = plan.runs.keys().copied().collect();
    runs.par_iter()
        .try_for_each(|&run| of_run(run, plan, ledger, check))?;
    let ensembles: Vec<EnsembleId> = plan.ensembles.keys().copied().collect();
    let of_ensemble = |&ensemble: &EnsembleId| {
        let has_queries = ledger.has_ensemble_queries(ensemble, check);
        has_queries.map(drop)
    };
    ensembles.par_iter().try_for_each(of_ensemble)
}

fn of_run(run: RunId, plan: &Plan, ledger: &Ledger, check: Check) -> Result<(), LedgerError> {
    ledger.trained(run)?;
    if check == Check::Contents {
        ledger.identity(run)?;
    }
    if plan.runs[&run].member.is_some() {
        ledger.has_queries(run, check)?;
    }
    Ok(())
}

/// Checks the prepared images and the networks that stale jobs will read.
///
/// # Errors
/// A file cannot be read.
pub fn of_inputs(plan: &Plan, freshness: &FreshnessOf, ledger: &Ledger) -> Result<(), LedgerError> {
    let is_stale = |job: Job| matches!(freshness.get(&job), Some(Freshness::Stale(_)));
    if freshness.keys().any(|&job| is_stale(job)) {
        for &data in plan.data.keys() {
            ledger.is_prepared(data, Check::Contents)?;
        }
    }
    let measured = plan.runs.keys().copied();
    let measured = measured.filter(|&run| is_stale(Job::Evaluate(run)));
    let ensembles = plan.ensembles.iter();
    let ensembles = ensembles.filter(|&(&id, _)| is_stale(Job::Ensemble(id)));
    let together = ensembles.flat_map(|(_, ensemble)| ensemble.runs.iter().copied());
    let mut networks: Vec<RunId> = measured.chain(together).collect();
    networks.sort();
    networks.dedup();
    let network = |&run: &RunId| ledger.has_model(run, Check::Contents).map(drop);
    networks.par_iter().try_for_each(network)
}

/// Writes the identity of each run that has begun and lost it.
///
/// # Errors
/// A file cannot be written.
pub fn restore_identities(plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
    let begun = ledger.runs()?;
    for (run, planned) in plan.runs.iter().filter(|(run, _)| begun.contains(run)) {
        if !ledger.run(*run).identity().is_file() {
            ledger.describe_run(&planned.identity)?;
        }
    }
    Ok(())
}
