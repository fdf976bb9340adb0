//! Which jobs have to run, and why.

use std::{collections::BTreeSet, fmt};

use rayon::prelude::*;
use schema::{DataId, EnsembleId, Evaluated, Identity, Metric, Outcome, Record, RunId};
use serde::Serialize;

use super::{Plan, PlannedRun};
use crate::{
    config::ReportTable,
    ledger::{Cause, Check, Job, Ledger, LedgerError, RunStage},
    visits::PerJob,
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// It has neither a result nor a checkpoint.
    New,
    /// It has a checkpoint.
    Interrupted,
    /// The latest attempt failed.
    Failed(Cause),
    /// The record lacks metrics that the sweep reports.
    Unmeasured {
        /// These metrics.
        metrics: Vec<Metric>,
    },
    /// The scores of each query are gone or damaged.
    NoQueries,
    /// The trained network, which has to be measured, is gone or damaged.
    NoNetwork,
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
            Reason::Failed(cause) => write!(f, "failed before: {}", cause.message),
            Reason::Unmeasured { metrics } => {
                let names: Vec<String> = metrics.iter().map(Metric::to_string).collect();
                write!(f, "not yet measured: {}", names.join(", "))
            }
            Reason::NoQueries => f.write_str("the scores of its queries are gone"),
            Reason::NoNetwork => f.write_str("its network is gone"),
            Reason::NoData => f.write_str("the data set is missing"),
            Reason::NoWeights => f.write_str("the trained weights are missing"),
        }
    }
}

/// The freshness of each job of a plan.
pub type FreshnessOf = PerJob<Freshness>;

/// Compares a plan with the contents of `results/`.
///
/// # Errors
/// A result is damaged.
pub fn of(plan: &Plan, ledger: &Ledger, report: &ReportTable) -> Result<FreshnessOf, LedgerError> {
    let begun = ledger.runs()?;
    let jobs = plan.jobs().collect();
    let mut found = of_jobs(&jobs, Some(&begun), plan, ledger, report)?;
    found.par_sort_unstable_by_key(|(job, _)| *job);
    Ok(found.into_iter().collect())
}

/// Adds the jobs by which a plan has grown.
///
/// # Errors
/// A result is damaged.
pub fn extend(
    freshness: &mut FreshnessOf,
    new: &[Job],
    plan: &Plan,
    ledger: &Ledger,
    report: &ReportTable,
) -> Result<(), LedgerError> {
    let new = new.iter().copied().collect();
    freshness.extend(of_jobs(&new, None, plan, ledger, report)?);
    Ok(())
}

/// Compares one job, which had to run for a reason, with the contents of `results/`: another process may have done it.
///
/// # Errors
/// A result is damaged.
pub fn is_done_since(
    job: Job,
    was: &Reason,
    plan: &Plan,
    ledger: &Ledger,
    report: &ReportTable,
) -> Result<bool, LedgerError> {
    let now = match job {
        Job::Prepare(data) => return ledger.is_prepared(data, Check::Sizes),
        Job::Train(run) if *was == Reason::NoNetwork => return ledger.has_model(run, Check::Sizes),
        Job::Train(run) => of_run(run, &plan.runs[&run], ledger, report)?.0,
        Job::Evaluate(run) => of_run(run, &plan.runs[&run], ledger, report)?.1,
        Job::Ensemble(id) => of_ensemble(id, plan, ledger, report)?,
    };
    Ok(!matches!(now, Freshness::Stale(_)))
}

/// Compares jobs with the contents of `results/`. `begun` lists the runs that have a folder there. Absent: each folder is
/// looked up.
fn of_jobs(
    jobs: &BTreeSet<Job>,
    begun: Option<&BTreeSet<RunId>>,
    plan: &Plan,
    ledger: &Ledger,
    report: &ReportTable,
) -> Result<Vec<(Job, Freshness)>, LedgerError> {
    let of_each = |&run: &RunId| {
        let planned = &plan.runs[&run];
        let both = |reason: Reason| (Freshness::Stale(reason.clone()), Freshness::Stale(reason));
        let (train, evaluate) = match absent(&planned.unseeded) {
            Some(reason) => both(reason),
            None if begun.is_none_or(|begun| begun.contains(&run)) => {
                of_run(run, planned, ledger, report)?
            }
            None => both(Reason::New),
        };
        let both = [(Job::Train(run), train), (Job::Evaluate(run), evaluate)];
        Ok(both.map(|of_job| Some(of_job).filter(|(job, _)| jobs.contains(job))))
    };
    let runs: BTreeSet<RunId> = jobs.iter().filter_map(|job| job.run()).collect();
    let of_runs: Vec<[Option<(Job, Freshness)>; 2]> = runs
        .par_iter()
        .map(of_each)
        .collect::<Result<_, LedgerError>>()?;
    let mut found: Vec<(Job, Freshness)> = of_runs.into_iter().flatten().flatten().collect();
    let mut without_network = BTreeSet::new();
    for &job in jobs {
        let Job::Ensemble(id) = job else { continue };
        let ensemble = of_ensemble(id, plan, ledger, report)?;
        if let Freshness::Stale(_) = ensemble {
            without_network.extend(networks_missing(id, plan, ledger)?);
        }
        found.push((job, ensemble));
    }
    for (job, freshness) in &mut found {
        if let Job::Train(run) = job
            && without_network.contains(run)
            && *freshness == Freshness::Fresh
        {
            *freshness = Freshness::Stale(Reason::NoNetwork);
        }
    }
    let stale = found
        .iter()
        .filter(|(_, freshness)| matches!(freshness, Freshness::Stale(_)));
    let needed: BTreeSet<DataId> = stale.filter_map(|(job, _)| data_of(*job, plan)).collect();
    for &job in jobs {
        let Job::Prepare(data) = job else { continue };
        let is_prepared = ledger.is_prepared(data, Check::Sizes)?;
        let prepare = match (is_prepared, needed.contains(&data)) {
            (true, _) => Freshness::Fresh,
            (false, false) => Freshness::NotNeeded,
            (false, true) => Freshness::Stale(reason(job, false, ledger)?),
        };
        found.push((job, prepare));
    }
    Ok(found)
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
    let metrics = &report.metrics(&planned.unseeded.recipe.dataset);
    let (train, evaluate) = (Job::Train(run), Job::Evaluate(run));
    if planned.member.is_none() && ledger.trained(run)?.is_some() {
        // A trial is only validated.
        return Ok((Fresh, NotNeeded));
    }
    Ok(match ledger.state(run)? {
        RunStage::Recorded(record) => match remeasured(run, &record, metrics, ledger)? {
            None => (Fresh, Fresh),
            Some(reason) if ledger.has_model(run, Check::Sizes)? => (Fresh, Stale(reason)),
            Some(reason) => (Stale(Reason::NoNetwork), Stale(reason)),
        },
        RunStage::Trained(_) => (Fresh, Stale(reason(evaluate, false, ledger)?)),
        RunStage::Interrupted => (Stale(reason(train, true, ledger)?), Stale(Reason::New)),
        RunStage::New => (Stale(reason(train, false, ledger)?), Stale(Reason::New)),
    })
}

/// Why a run that has a result is measured again, if it is.
fn remeasured(
    run: RunId,
    record: &Record,
    metrics: &[Metric],
    ledger: &Ledger,
) -> Result<Option<Reason>, LedgerError> {
    let missing = unmeasured(record, metrics);
    if !missing.is_empty() {
        return Ok(Some(Reason::Unmeasured { metrics: missing }));
    }
    let has_queries = ledger.has_queries(run, Check::Sizes)?;
    Ok((!has_queries).then_some(Reason::NoQueries))
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
    let metrics = report.metrics(&plan.runs[&runs[0]].unseeded.recipe.dataset);
    let Some(record) = ledger.ensemble_record(id)? else {
        return Ok(Freshness::Stale(reason(Job::Ensemble(id), false, ledger)?));
    };
    let missing = absent_of(&record.evaluated, &metrics);
    if !missing.is_empty() {
        return Ok(Freshness::Stale(Reason::Unmeasured { metrics: missing }));
    }
    Ok(match ledger.has_ensemble_queries(id, Check::Sizes)? {
        true => Freshness::Fresh,
        false => Freshness::Stale(Reason::NoQueries),
    })
}

/// Returns the runs of an ensemble that were measured and whose network is gone.
fn networks_missing(
    id: EnsembleId,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<Vec<RunId>, LedgerError> {
    let mut missing = Vec::new();
    for &run in &plan.ensembles[&id].runs {
        if !ledger.has_model(run, Check::Sizes)? {
            missing.push(run);
        }
    }
    Ok(missing)
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
    let failure = ledger.last_exit(job)?.and_then(|exit| exit.cause());
    Ok(match failure {
        Some(cause) => Reason::Failed(cause),
        None if has_checkpoint => Reason::Interrupted,
        None => Reason::New,
    })
}
