//! What the page of a sweep shows beside its tables: failures, durations, settings and the environment.

use std::collections::BTreeMap;

use rayon::prelude::*;
use report::{FailedJob, Provenance, Search, SearchTrial, SearchedRange, SettingOrigin, Timing};

use crate::{
    cli::{Exit, Opened, Target, counted, log_tail::last_lines, plan::origins},
    ledger::{AttemptEnd, Job, JobKind, Ledger, LedgerError},
    plan::{Plan, Study, in_words},
    search::{Dimension, TrialOutcome, TrialPoint, number_of_best},
};

/// The last lines of a log that are shown.
const LAST: usize = 30;

/// The jobs whose last attempt failed.
pub(super) fn failures(plan: &Plan, ledger: &Ledger) -> Result<Vec<FailedJob>, LedgerError> {
    let jobs: Vec<Job> = plan.jobs().collect();
    let failures = jobs.into_par_iter();
    failures
        .filter_map(|job| failure(job, plan, ledger).transpose())
        .collect()
}

fn failure(job: Job, plan: &Plan, ledger: &Ledger) -> Result<Option<FailedJob>, LedgerError> {
    let Some(exit) = ledger.last_exit(job)? else {
        return Ok(None);
    };
    let AttemptEnd::Failed { message, .. } = &exit.end else {
        return Ok(None);
    };
    let log = ledger.attempt_folder(job, ledger.attempts(job)?).log();
    Ok(Some(FailedJob {
        title: plan.name_of_job(job),
        message: message.clone(),
        log: last_lines(&log, LAST).join("\n"),
    }))
}

/// How long the jobs of each kind took for each method: the attempts that finished.
pub(super) fn timings(plan: &Plan, ledger: &Ledger) -> Result<Vec<Timing>, LedgerError> {
    let jobs: Vec<Job> = plan.jobs().collect();
    let finished = jobs.into_par_iter().map(|job| finished(job, ledger));
    let finished = finished.collect::<Result<Vec<_>, LedgerError>>()?;
    let methods = plan.methods_of_members();
    let mut timings: BTreeMap<Work, Timing> = BTreeMap::new();
    for (job, milliseconds) in finished.into_iter().flatten() {
        let method = member_of(job, plan).map(|member| methods[member]);
        let timing = timings.entry(Work::new(job, method));
        let timing = timing.or_insert_with(|| Timing {
            title: title(job, method, plan),
            jobs: 0,
            seconds: 0.0,
        });
        timing.jobs += 1;
        timing.seconds += milliseconds as f64 / 1e3;
    }
    Ok(timings.into_values().collect())
}

/// Returns the milliseconds of the attempts at a job that finished, where they are known.
fn finished(job: Job, ledger: &Ledger) -> Result<Vec<(Job, u64)>, LedgerError> {
    let exits = ledger.exits(job)?;
    let finished = exits.iter().filter(|exit| exit.end == AttemptEnd::Finished);
    let known = finished.filter_map(|exit| exit.computation.as_ref());
    Ok(known.map(|attempt| (job, attempt.milliseconds)).collect())
}

/// Work whose times are summed: the jobs of one kind for a method on a data set, or a job for all methods.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Shared(Job),
    /// Of a method, by the position of its first member.
    OfMethod(JobKind, usize),
}

impl Work {
    fn new(job: Job, method: Option<usize>) -> Work {
        match method {
            Some(method) => Work::OfMethod(job.kind(), method),
            None => Work::Shared(job),
        }
    }
}

fn title(job: Job, method: Option<usize>, plan: &Plan) -> String {
    match method {
        Some(first) => {
            let name = plan.name_of_method(&plan.members[first]);
            format!("{} {name}", job.verb())
        }
        None => plan.name_of_job(job),
    }
}

/// Returns the position of a member of the method that a job belongs to; nothing if it belongs to all.
fn member_of(job: Job, plan: &Plan) -> Option<usize> {
    match job {
        Job::Train(run) | Job::Evaluate(run) => {
            let member = plan.runs.get(&run).and_then(|planned| planned.member);
            member.or_else(|| Some(plan.trial_of(run)?.0.members.start))
        }
        Job::Ensemble(id) => plan.ensembles.get(&id)?.members.first().copied(),
        Job::Prepare(_) => None,
    }
}

/// The searches with the trials that finished.
pub(super) fn searches(opened: &Opened) -> Vec<Search> {
    let studies = opened.plan.studies.iter();
    studies.map(|study| search(study, opened)).collect()
}

fn search(study: &Study, opened: &Opened) -> Search {
    let mut trials = Vec::new();
    for (number, trial) in (1..).zip(&study.trials) {
        if let TrialOutcome::Finished { mean, .. } = trial.outcome {
            let values = trial.point.iter();
            let values = values.filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
            trials.push(SearchTrial {
                number,
                score: mean,
                values: values.collect(),
            });
        }
    }
    Search {
        title: opened.plan.name_of_study(study),
        metric: opened.sweep.points[study.point].training.selecting(),
        trials,
        importances: importances(study),
        best: number_of_best(study.finished().len()),
        ranges: ranges(study),
    }
}

fn importances(study: &Study) -> Vec<(String, f64)> {
    let importances = study.importance().unwrap_or_default();
    let shares = importances.into_iter();
    shares
        .map(|importance| (importance.name, importance.share))
        .collect()
}

/// Where the values of the trials that finished are between their bounds.
fn ranges(study: &Study) -> Vec<SearchedRange> {
    let at_bounds = study.at_bounds();
    let finished = study.finished();
    let of_dimension = |dimension: &Dimension| {
        let place = |point: &TrialPoint| dimension.between_bounds(point.get(&dimension.name)?);
        Some(SearchedRange {
            key: dimension.name.clone(),
            bounds: dimension.bounds()?.map(|bound| bound.to_string()),
            trials: finished
                .iter()
                .filter_map(|(point, _)| place(point))
                .collect(),
            selected: study.selected().and_then(|trial| place(&trial.point)),
            is_at_bound: at_bounds.iter().any(|at| at.name == dimension.name),
        })
    };
    let space = study.search().space();
    space.dimensions.iter().filter_map(of_dimension).collect()
}

/// The settings, each with where it comes from.
pub(super) fn settings(target: &Target, opened: &Opened) -> Result<Vec<SettingOrigin>, Exit> {
    let mut settings = Vec::new();
    for [key, value, from] in origins::of(target, opened)? {
        settings.push(SettingOrigin {
            is_default: from == origins::DEFAULT,
            key,
            value,
            from,
        });
    }
    Ok(settings)
}

/// Where and with what the sweep was run.
pub(super) fn environment(opened: &Opened, provenance: &Provenance) -> Vec<(String, String)> {
    let plan = &opened.plan;
    let mut lines = vec![
        ("sweep".to_owned(), crate::VERSION.to_owned()),
        ("computed on".to_owned(), in_words(&plan.numerics)),
        ("runs".to_owned(), counted(plan.runs.len(), "run")),
    ];
    for (device, runs) in provenance.devices() {
        lines.push((device.to_owned(), counted(runs, "run")));
    }
    for (id, data) in &plan.data {
        let title = plan.titles.title(&data.dataset);
        lines.push((
            title.to_owned(),
            format!("data {id}, content {}", data.fingerprint),
        ));
    }
    lines
}
