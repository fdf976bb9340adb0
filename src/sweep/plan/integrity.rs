//! Reads the files that results and jobs rely on, and has the ledger note those that are damaged.
//!
//! Planning compares sizes only. `sweep run` reads contents before it relies on them, and so does a report.

use std::collections::BTreeSet;

use rayon::prelude::*;
use schema::{DataId, EnsembleId, RunId};

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
        ledger.has_identity(run)?;
    }
    if plan.runs[&run].member.is_some() {
        ledger.has_queries(run, check)?;
    }
    Ok(())
}

/// The prepared images and the networks that stale jobs will read and that are checked.
#[derive(Debug, Default)]
pub struct Inputs {
    data: BTreeSet<DataId>,
    networks: BTreeSet<RunId>,
}

impl Inputs {
    /// Checks what stale jobs will read, each file once, however often the stale jobs change.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn check(
        &mut self,
        plan: &Plan,
        freshness: &FreshnessOf,
        ledger: &Ledger,
    ) -> Result<(), LedgerError> {
        let mut read = Inputs::default();
        for (&job, freshness) in freshness {
            match freshness {
                Freshness::Stale(_) => read.add(job, plan),
                Freshness::Fresh | Freshness::NotNeeded => {}
            }
        }
        let data: Vec<DataId> = read.data.difference(&self.data).copied().collect();
        let networks: Vec<RunId> = read.networks.difference(&self.networks).copied().collect();
        for &data in &data {
            ledger.is_prepared(data, Check::Contents)?;
        }
        let network = |&run: &RunId| ledger.has_model(run, Check::Contents).map(drop);
        networks.par_iter().try_for_each(network)?;
        self.data.extend(data);
        self.networks.extend(networks);
        Ok(())
    }

    fn add(&mut self, job: Job, plan: &Plan) {
        self.data.extend(plan.data_of(job));
        match job {
            Job::Prepare(_) | Job::Train(_) => {}
            Job::Evaluate(run) => {
                self.networks.insert(run);
            }
            Job::Ensemble(ensemble) => self.networks.extend(&plan.ensembles[&ensemble].runs),
        }
    }
}

/// Writes the identity of each run that has begun and lost it.
///
/// # Errors
/// A file cannot be written.
pub fn restore_identities(plan: &Plan, ledger: &Ledger) -> Result<(), LedgerError> {
    let begun = ledger.runs()?;
    let begun = plan.runs.par_iter().filter(|(run, _)| begun.contains(run));
    begun.try_for_each(|(&run, planned)| match ledger.has_identity(run)? {
        true => Ok(()),
        false => ledger.describe_run(&planned.identity()),
    })
}
