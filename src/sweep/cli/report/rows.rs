//! The rows of a report: what became of each run of the plan.

use std::collections::{BTreeMap, BTreeSet};

use report::{Row, RunState, Together};
use schema::{EnsembleId, Outcome, RunId};

use crate::{
    cli::counted,
    config::Sweep,
    ledger::{End, Job, Ledger, LedgerError, RunState as OnDisk},
    plan::{Member, Plan},
};

/// A row for each member of the plan and, if there are folds, for each cell and seed whose folds are measured together.
pub(super) fn rows(sweep: &Sweep, plan: &Plan, ledger: &Ledger) -> Result<Vec<Row>, LedgerError> {
    let methods = sweep
        .points
        .iter()
        .flat_map(|point| &point.methods)
        .map(|method| &method.table);
    let baselines: BTreeSet<&str> = methods
        .filter(|table| table.baseline.is_some())
        .map(|table| table.name.as_str())
        .collect();
    let row = |member: &Member, state| Row {
        dataset: member.dataset.clone(),
        method: member.method.clone(),
        is_baseline: baselines.contains(member.method.as_str()),
        settings: member.settings.clone(),
        seed: member.seed,
        fold: member.fold,
        together: member.fold.map(|_| Together::Separated),
        run: member.run,
        state,
    };
    let concatenated = |member: &Member, state| Row {
        fold: None,
        together: Some(Together::Concatenated),
        ..row(member, state)
    };
    let mut rows = Vec::with_capacity(plan.members.len());
    for member in &plan.members {
        rows.push(row(member, state_of(member.run, plan, ledger)?));
    }
    let mut joined: BTreeSet<usize> = BTreeSet::new();
    for (&id, ensemble) in &plan.ensembles {
        let state = state_of_ensemble(id, plan, ledger)?;
        joined.extend(&ensemble.members);
        rows.extend(
            ensemble
                .members
                .iter()
                .map(|&place| concatenated(&plan.members[place], state.clone())),
        );
    }
    // What no fold changes is the same alone and joined with itself.
    let is_first = |member: &Member| member.fold.is_some_and(|fold| fold.index == 0);
    for (place, member) in plan.members.iter().enumerate() {
        if is_first(member) && !joined.contains(&place) {
            rows.push(concatenated(member, state_of(member.run, plan, ledger)?));
        }
    }
    Ok(rows)
}

/// What is known of an ensemble; without a result, the worst of its runs.
pub(in crate::cli) fn state_of_ensemble(
    id: EnsembleId,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<RunState, LedgerError> {
    if let Some(record) = ledger.ensemble_record(id)? {
        return Ok(RunState::Finished(record.evaluated));
    }
    if let Some(End::Failed { class, message }) =
        ledger.last_exit(Job::Ensemble(id))?.map(|exit| exit.end)
    {
        return Ok(RunState::Failed { class, message });
    }
    let runs = &plan.ensembles[&id].runs;
    let states: Vec<RunState> = runs
        .iter()
        .map(|&run| state_of(run, plan, ledger))
        .collect::<Result<_, _>>()?;
    let (broken, rest): (Vec<_>, Vec<_>) = states
        .into_iter()
        .partition(|state| matches!(state, RunState::Broken { .. }));
    let failed = rest
        .into_iter()
        .find(|state| matches!(state, RunState::Failed { .. }));
    Ok(broken
        .into_iter()
        .next()
        .or(failed)
        .unwrap_or(RunState::Missing))
}

/// A warning for each method whose miner or margins left nothing to learn from in most steps.
pub(super) fn idle(rows: &[Row], ledger: &Ledger) -> Result<Vec<String>, LedgerError> {
    let mut runs: BTreeMap<&str, BTreeSet<RunId>> = BTreeMap::new();
    for row in rows {
        if ledger
            .trained(row.run)?
            .is_some_and(|trained| trained.was_mostly_idle())
        {
            runs.entry(&row.method).or_default().insert(row.run);
        }
    }
    let warning = |(method, runs): (&str, BTreeSet<RunId>)| {
        format!(
            "Warning: {method} learnt nothing in most steps of {}: no pair counted.",
            counted(runs.len(), "run")
        )
    };
    Ok(runs.into_iter().map(warning).collect())
}

/// What is known of a run: its result, or why there is none.
pub(in crate::cli) fn state_of(
    run: RunId,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<RunState, LedgerError> {
    if let OnDisk::Recorded(record) = ledger.state(run)? {
        return Ok(match record.outcome {
            Outcome::Finished(evaluated) => RunState::Finished(evaluated),
            Outcome::Broken { how, step } => RunState::Broken { how, step },
        });
    }
    let prepare = plan
        .runs
        .get(&run)
        .map(|planned| Job::Prepare(planned.data));
    for job in [Some(Job::Evaluate(run)), Some(Job::Train(run)), prepare]
        .into_iter()
        .flatten()
    {
        if let Some(End::Failed { class, message }) = ledger.last_exit(job)?.map(|exit| exit.end) {
            return Ok(RunState::Failed { class, message });
        }
    }
    Ok(RunState::Missing)
}
