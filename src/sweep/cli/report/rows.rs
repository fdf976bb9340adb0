//! The rows of a report: the outcome of each run of the plan.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use report::{Row, RunState, Together};
use schema::{EmbeddingHead, EnsembleId, Outcome, RunId};

use crate::{
    cli::counted,
    config::Sweep,
    ledger::{AttemptEnd, Job, Ledger, LedgerError, RunStage},
    plan::{Member, Plan},
};

/// A row for each member of the plan and, if there are folds, one for each cell and seed whose folds are
/// concatenated. Networks on label maps are one row, that of their ensemble.
pub(in crate::cli) fn rows(
    sweep: &Sweep,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<Vec<Row>, LedgerError> {
    let baselines = baselines(sweep);
    let alone = plan.members.par_iter().filter(|it| it.map.is_none());
    let alone = alone.map(|member| {
        let state = state_of(member.run, plan, ledger)?;
        Ok(separated(member, plan, &baselines, state))
    });
    let mut rows: Vec<Row> = alone.collect::<Result<_, LedgerError>>()?;
    let mut ensembled: BTreeSet<usize> = BTreeSet::new();
    for (&id, ensemble) in &plan.ensembles {
        let state = state_of_ensemble(id, plan, ledger)?;
        for &position in &ensemble.members {
            let member = &plan.members[position];
            let row = match member.map {
                Some(_) => separated(member, plan, &baselines, state.clone()),
                None => concatenated(member, plan, &baselines, state.clone()),
            };
            rows.push(Row {
                ensemble: Some(id),
                ..row
            });
            ensembled.insert(position);
        }
    }
    // A run that is the same in every fold has the same result alone and concatenated with itself.
    for (position, member) in plan.members.iter().enumerate() {
        let is_first = member.fold.is_some_and(|fold| fold.index == 0);
        if is_first && !ensembled.contains(&position) {
            let state = state_of(member.run, plan, ledger)?;
            rows.push(concatenated(member, plan, &baselines, state));
        }
    }
    Ok(rows)
}

/// The names of the methods that are not trained.
fn baselines(sweep: &Sweep) -> BTreeSet<&str> {
    sweep
        .points
        .iter()
        .flat_map(|point| &point.methods)
        .map(|method| &method.table)
        .filter(|table| table.baseline.is_some())
        .map(|table| table.name.as_str())
        .collect()
}

fn separated(member: &Member, plan: &Plan, baselines: &BTreeSet<&str>, state: RunState) -> Row {
    Row {
        dataset: member.dataset.clone(),
        method: member.method.clone(),
        is_baseline: baselines.contains(member.method.as_str()),
        heads: heads(member.run, plan),
        settings: member.settings.clone(),
        repeat: member.repeat,
        seed: member.seed,
        fold: member.fold,
        together: member
            .fold
            .filter(|fold| !fold.is_single())
            .map(|_| Together::Separated),
        run: member.run,
        ensemble: None,
        state,
    }
}

fn concatenated(member: &Member, plan: &Plan, baselines: &BTreeSet<&str>, state: RunState) -> Row {
    Row {
        fold: None,
        together: Some(Together::Concatenated),
        ..separated(member, plan, baselines, state)
    }
}

/// What the heads of a run's network are called; none for a network with one.
fn heads(run: RunId, plan: &Plan) -> Vec<String> {
    let planned = plan.runs.get(&run);
    let heads = planned.map_or(&[][..], |planned| &planned.unseeded.recipe.model.heads);
    heads.iter().enumerate().map(head_in_words).collect()
}

/// `head 2, 21-d on block3`.
fn head_in_words((position, head): (usize, &EmbeddingHead)) -> String {
    let tap = head.tap.as_ref();
    let tap = tap.map_or_else(String::new, |tap| format!(" on {tap}"));
    format!("head {}, {}-d{tap}", position + 1, head.width)
}

/// The outcome of an ensemble; without a result, the worst of its runs.
pub(in crate::cli) fn state_of_ensemble(
    id: EnsembleId,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<RunState, LedgerError> {
    if let Some(record) = ledger.ensemble_record(id)? {
        return Ok(RunState::Finished(record.evaluated));
    }
    if let Some(failed) = failure_of(Job::Ensemble(id), ledger)? {
        return Ok(failed);
    }
    let runs = &plan.ensembles[&id].runs;
    let states: Vec<RunState> = runs
        .iter()
        .map(|&run| state_of(run, plan, ledger))
        .collect::<Result<_, _>>()?;
    let broken = |state: &&RunState| matches!(state, RunState::Broken { .. });
    let failed = |state: &&RunState| matches!(state, RunState::Failed { .. });
    let worst = states.iter().find(broken);
    let worst = worst.or_else(|| states.iter().find(failed));
    Ok(worst.cloned().unwrap_or(RunState::Missing))
}

/// A warning for each method whose miner or margins left no pair in most steps.
pub(super) fn idle(rows: &[Row], ledger: &Ledger) -> Result<Vec<String>, LedgerError> {
    let idle = rows
        .par_iter()
        .filter_map(|row| match ledger.was_mostly_idle(row.run) {
            Ok(is_idle) => is_idle.then_some(Ok(row)),
            Err(error) => Some(Err(error)),
        });
    let mut runs: BTreeMap<&str, BTreeSet<RunId>> = BTreeMap::new();
    for row in idle.collect::<Result<Vec<_>, LedgerError>>()? {
        runs.entry(&row.method).or_default().insert(row.run);
    }
    let warning = |(method, runs): (&str, BTreeSet<RunId>)| {
        format!(
            "Warning: {method} learned nothing in most steps of {}: no pair counted.",
            counted(runs.len(), "run")
        )
    };
    Ok(runs.into_iter().map(warning).collect())
}

/// The jobs that lead to the result of a run, the last first.
pub(in crate::cli) fn jobs_of(run: RunId, plan: &Plan) -> impl Iterator<Item = Job> {
    let planned = plan.runs.get(&run);
    let prepare = planned.map(|planned| Job::Prepare(planned.data));
    [Job::Evaluate(run), Job::Train(run)]
        .into_iter()
        .chain(prepare)
}

/// The outcome of a run: its result, or the reason why there is none.
pub(in crate::cli) fn state_of(
    run: RunId,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<RunState, LedgerError> {
    if let RunStage::Recorded(record) = ledger.state(run)? {
        return Ok(match record.outcome {
            Outcome::Finished(evaluated) => RunState::Finished(evaluated),
            Outcome::Broken { how, step } => RunState::Broken { how, step },
        });
    }
    for job in jobs_of(run, plan) {
        if let Some(failed) = failure_of(job, ledger)? {
            return Ok(failed);
        }
    }
    Ok(RunState::Missing)
}

/// The failure of a job; nothing if the place where it ran is to blame, which is mended by running it
/// again.
fn failure_of(job: Job, ledger: &Ledger) -> Result<Option<RunState>, LedgerError> {
    let end = ledger.last_exit(job)?.map(|exit| exit.end.clone());
    Ok(match end {
        Some(AttemptEnd::Failed { class, message }) if !class.is_of_place() => {
            Some(RunState::Failed { class, message })
        }
        _ => None,
    })
}
