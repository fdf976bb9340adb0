//! The growth of a plan while it is carried out: results of trials lead to further trials, and to the repetitions of
//! the best.

use schema::{RunId, StudyId};

use crate::{
    config::Sweep,
    ledger::{Ledger, LedgerError},
    plan::{
        Plan, StudyState,
        freshness::{self, FreshnessOf},
    },
};

/// What the end of a training changed.
#[derive(Debug, Default)]
pub struct Growth {
    /// The studies that are over now.
    pub over: Vec<StudyId>,
    /// True if the plan has new jobs.
    pub has_new_jobs: bool,
}

/// Continues the studies that have a run among their trials.
///
/// # Errors
/// A result cannot be read.
pub fn grow(
    plan: &mut Plan,
    freshness: &mut FreshnessOf,
    sweep: &Sweep,
    ledger: &Ledger,
    run: RunId,
) -> Result<Growth, LedgerError> {
    let is_of_trial = plan
        .runs
        .get(&run)
        .is_some_and(|planned| planned.member.is_none());
    if !is_of_trial {
        return Ok(Growth::default());
    }
    let open: Vec<StudyId> = plan.open_studies_of(run).map(|study| study.id).collect();
    let new = plan.grow(sweep, ledger, Some(run))?;
    let studies = plan.studies.iter();
    let over = studies.filter(|study| study.state != StudyState::Open && open.contains(&study.id));
    let growth = Growth {
        over: over.map(|study| study.id).collect(),
        has_new_jobs: !new.is_empty(),
    };
    if growth.has_new_jobs || !growth.over.is_empty() {
        freshness::extend(freshness, plan, ledger, &sweep.report)?;
    }
    Ok(growth)
}

/// Keeps the points that the studies have chosen, in the ledger.
///
/// # Errors
/// A file cannot be written.
pub fn keep_studies(plan: &mut Plan, ledger: &Ledger) -> Result<(), LedgerError> {
    let grown = plan.studies.iter_mut();
    for study in grown.filter(|study| study.kept < study.trials.len()) {
        let trials = study.trials.iter();
        let points: Vec<_> = trials.map(|trial| trial.point.clone()).collect();
        ledger.keep_points(study.id, &points)?;
        study.kept = points.len();
    }
    Ok(())
}
