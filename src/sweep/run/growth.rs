//! The growth of a plan while it is carried out: results of trials lead to further trials, and to the repetitions of
//! the best.

use schema::{RunId, StudyId};

use crate::{
    config::Sweep,
    ledger::{Ledger, LedgerError, journal::Decision},
    plan::{
        Plan, Study, StudyState,
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

impl Growth {
    /// True if the plan is as before.
    pub fn is_nothing(&self) -> bool {
        !self.has_new_jobs && self.over.is_empty()
    }

    /// Returns the studies that are over now, each with what the journal is to say.
    pub fn selected<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = (&'p Study, Decision)> {
        let studies = plan.studies.iter();
        let over = studies.filter(|study| self.over.contains(&study.id));
        over.map(|study| {
            let decision = Decision::Selected {
                study: study.id,
                trial: study.number_of_selected(),
            };
            (study, decision)
        })
    }
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
    if !growth.is_nothing() {
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
