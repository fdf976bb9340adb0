//! Which jobs have to run, and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schema::{DataId, EnsembleId, Evaluated, Identity, Metric, Outcome, Record, RunId};

use super::{Plan, PlannedRun};
use crate::{
    config::ReportTable,
    ledger::{AttemptEnd, Job, Ledger, LedgerError, RunStage},
};

/// The freshness of a job's result.
#[derive(Clone, Debug, PartialEq)]
pub enum Freshness {
    /// Its result exists.
    Fresh,
    /// Nothing that has to run needs it.
    NotNeeded,
    /// It has to run.
    Stale(Reason),
}

/// Why a job has to run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It has neither a result nor a checkpoint.
    New,
    /// It has a checkpoint.
    Interrupted,
    /// The latest attempt failed.
    Failed(String),
    /// The record lacks metrics that the sweep reports.
    Unmeasured(Vec<Metric>),
    /// Its data set is missing.
    NoData,
    /// Its start weights are missing.
    NoWeights,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::New => f.write_str("new"),
            Reason::Interrupted => f.write_str("continues from its checkpoint"),
            Reason::Failed(message) => write!(f, "failed before: {message}"),
            Reason::Unmeasured(metrics) => {
                let names: Vec<String> = metrics.iter().map(Metric::to_string).collect();
                write!(f, "not yet measured: {}", names.join(", "))
            }
            Reason::NoData => f.write_str("the data set is missing"),
            Reason::NoWeights => f.write_str("the trained weights are missing"),
        }
    }
}

/// The freshness of each job of a plan.
pub type FreshnessOf = BTreeMap<Job, Freshness>;

/// Compares a plan with the contents of `results/`.
///
/// # Errors
/// A result is damaged.
pub fn of(plan: &Plan, ledger: &Ledger, report: &ReportTable) -> Result<FreshnessOf, LedgerError> {
    let mut freshness = FreshnessOf::new();
    extend(&mut freshness, plan, ledger, report)?;
    Ok(freshness)
}

/// Adds the jobs by which a plan has grown.
///
/// # Errors
/// A result is damaged.
pub fn extend(
    freshness: &mut FreshnessOf,
    plan: &Plan,
    ledger: &Ledger,
    report: &ReportTable,
) -> Result<(), LedgerError> {
    let begun = ledger.runs()?;
    let is_new = |job| !freshness.contains_key(&job);
    let mut new = Vec::new();
    for (&run, planned) in &plan.runs {
        if !is_new(Job::Train(run)) {
            continue;
        }
        let both = |reason: Reason| (Freshness::Stale(reason.clone()), Freshness::Stale(reason));
        let (train, evaluate) = match absent(&planned.identity) {
            Some(reason) => both(reason),
            None if begun.contains(&run) => of_run(run, planned, ledger, report)?,
            None => both(Reason::New),
        };
        new.push((Job::Train(run), train));
        new.extend(planned.member.map(|_| (Job::Evaluate(run), evaluate)));
    }
    for &id in plan
        .ensembles
        .keys()
        .filter(|&&id| is_new(Job::Ensemble(id)))
    {
        new.push((Job::Ensemble(id), of_ensemble(id, plan, ledger, report)?));
    }
    let stale = new
        .iter()
        .filter(|(_, freshness)| matches!(freshness, Freshness::Stale(_)));
    let needed: BTreeSet<DataId> = stale.filter_map(|(job, _)| data_of(*job, plan)).collect();
    for &data in plan.data.keys().filter(|&&data| is_new(Job::Prepare(data))) {
        let prepare = match (ledger.is_prepared(data), needed.contains(&data)) {
            (true, _) => Freshness::Fresh,
            (false, false) => Freshness::NotNeeded,
            (false, true) => Freshness::Stale(reason(Job::Prepare(data), false, ledger)?),
        };
        new.push((Job::Prepare(data), prepare));
    }
    freshness.extend(new);
    Ok(())
}

/// The data set of a job.
fn data_of(job: Job, plan: &Plan) -> Option<DataId> {
    let of_run = |run: &RunId| plan.runs.get(run).map(|planned| planned.data);
    match job {
        Job::Prepare(data) => Some(data),
        Job::Train(run) | Job::Evaluate(run) => of_run(&run),
        Job::Ensemble(id) => plan
            .ensembles
            .get(&id)
            .and_then(|ensemble| of_run(ensemble.runs.first()?)),
    }
}

/// The missing input without which the id of a run is not final.
fn absent(identity: &Identity) -> Option<Reason> {
    let weights = identity.recipe.model.backbone.weights();
    match identity.data.is_missing() {
        true => Some(Reason::NoData),
        false => weights
            .filter(|weights| weights.is_missing())
            .map(|_| Reason::NoWeights),
    }
}

fn of_run(
    run: RunId,
    planned: &PlannedRun,
    ledger: &Ledger,
    report: &ReportTable,
) -> Result<(Freshness, Freshness), LedgerError> {
    use Freshness::{Fresh, NotNeeded, Stale};
    let metrics = &report.metrics(&planned.identity.recipe.dataset);
    let (train, evaluate) = (Job::Train(run), Job::Evaluate(run));
    if planned.member.is_none() && ledger.trained(run)?.is_some() {
        // A trial is only validated.
        return Ok((Fresh, NotNeeded));
    }
    Ok(match ledger.state(run)? {
        RunStage::Recorded(record) => match unmeasured(&record, metrics) {
            missing if missing.is_empty() => (Fresh, Fresh),
            missing if ledger.has_model(run) => (Fresh, Stale(Reason::Unmeasured(missing))),
            missing => (
                Stale(reason(train, false, ledger)?),
                Stale(Reason::Unmeasured(missing)),
            ),
        },
        RunStage::Trained(_) => (Fresh, Stale(reason(evaluate, false, ledger)?)),
        RunStage::Interrupted => (Stale(reason(train, true, ledger)?), Stale(Reason::New)),
        RunStage::New => (Stale(reason(train, false, ledger)?), Stale(Reason::New)),
    })
}

/// There is no ensemble of runs whose training diverged or collapsed.
fn of_ensemble(
    id: EnsembleId,
    plan: &Plan,
    ledger: &Ledger,
    report: &ReportTable,
) -> Result<Freshness, LedgerError> {
    let runs = &plan.ensembles[&id].runs;
    for &run in runs {
        if let RunStage::Recorded(Record {
            outcome: Outcome::Broken { .. },
            ..
        }) = ledger.state(run)?
        {
            return Ok(Freshness::NotNeeded);
        }
    }
    let metrics = report.metrics(&plan.runs[&runs[0]].identity.recipe.dataset);
    Ok(match ledger.ensemble_record(id)? {
        None => Freshness::Stale(reason(Job::Ensemble(id), false, ledger)?),
        Some(record) => match absent_of(&record.evaluated, &metrics) {
            missing if missing.is_empty() => Freshness::Fresh,
            missing => Freshness::Stale(Reason::Unmeasured(missing)),
        },
    })
}

fn absent_of(evaluated: &Evaluated, metrics: &[Metric]) -> Vec<Metric> {
    metrics
        .iter()
        .copied()
        .filter(|metric| !evaluated.scores.contains_key(metric))
        .collect()
}

fn unmeasured(record: &Record, metrics: &[Metric]) -> Vec<Metric> {
    match &record.outcome {
        Outcome::Finished(evaluated) => absent_of(evaluated, metrics),
        Outcome::Broken { .. } => Vec::new(),
    }
}

fn reason(job: Job, has_checkpoint: bool, ledger: &Ledger) -> Result<Reason, LedgerError> {
    let failure = ledger.last_exit(job)?.and_then(|exit| match exit.end {
        AttemptEnd::Failed { message, .. } => Some(message),
        AttemptEnd::Finished | AttemptEnd::Stopped => None,
    });
    Ok(match failure {
        Some(message) => Reason::Failed(message),
        None if has_checkpoint => Reason::Interrupted,
        None => Reason::New,
    })
}
