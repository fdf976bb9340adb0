//! `sweep report`: the table, from whatever results are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use clap::Args;
use report::{Caption, Row, RunState, Table, Together};
use schema::{Cut, Dataset, EnsembleId, Labels, Outcome, RunId};
use serde::Serialize;
use serde_json::Value;

use super::{Exit, Opened, Target, check::arithmetic, colour_on_stdout, counted, show, tell};
use crate::{
    ledger::{End, Job, Ledger, LedgerError, RunState as OnDisk, atomic, fingerprint::registration},
    plan::Plan,
    spec::{MethodTable, Point, Sweep},
};

/// Makes the table from the results that are there, and prints it.
#[derive(Debug, Args)]
pub(super) struct Report {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    destination: Destination,
}

/// Where tables go.
#[derive(Debug, Args)]
pub(super) struct Destination {
    /// Where tables are written, in a folder with the sweep's name
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    reports: PathBuf,
}

impl Report {
    pub(super) fn run(&self) -> Result<(), Exit> {
        self.destination.write_and_print(&self.target.open()?)
    }
}

impl Destination {
    pub(super) fn folder(&self) -> &Path {
        &self.reports
    }

    /// Writes `table.md` and `table.csv`, and prints the table.
    pub(super) fn write_and_print(&self, opened: &Opened) -> Result<(), Exit> {
        let table = table(opened)?;
        let folder = self.reports.join(&opened.sweep.name);
        write(&folder.join("table.md"), &table.markdown())?;
        write(&folder.join("table.csv"), &table.csv().map_err(Exit::stuck)?)?;
        show(&table.terminal(colour_on_stdout()))?;
        tell(&format!("\nwritten to {}", folder.join("table.{md,csv}").display()));
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), Exit> {
    let written = atomic::write(path, text.as_bytes());
    written.map_err(|error| Exit::stuck(format!("failed to write `{}`: {error}", path.display())))
}

fn table(opened: &Opened) -> Result<Table, Exit> {
    let Opened { sweep, ledger, plan, .. } = opened;
    let mut rows = Vec::with_capacity(plan.members.len());
    for member in &plan.members {
        rows.push(Row {
            dataset: member.dataset.clone(),
            method: member.method.clone(),
            settings: member.settings.clone(),
            seed: member.seed,
            fold: member.fold,
            together: member.fold.map(|_| Together::Separated),
            run: member.run,
            state: state_of(member.run, plan, ledger)?,
        });
    }
    rows.extend(concatenated(plan, ledger)?);
    let lines = [facts(sweep, &rows), idle(&rows, ledger)?].concat();
    let caption = Caption { sweep: sweep.name.clone(), command: sweep.command.clone(), lines };
    let dataset =
        |title: &str| sweep.points.iter().map(|point| &point.dataset).find(|dataset| dataset.title() == title);
    let metrics = |title: &str| dataset(title).map(|dataset| sweep.report.metrics(dataset)).unwrap_or_default();
    report::table(&rows, metrics, &caption).map_err(Exit::stuck)
}

/// A row for each cell and seed whose networks of all folds are measured as one.
fn concatenated(plan: &Plan, ledger: &Ledger) -> Result<Vec<Row>, LedgerError> {
    let mut rows = Vec::new();
    for (&id, ensemble) in &plan.ensembles {
        let state = state_of_ensemble(id, plan, ledger)?;
        for member in ensemble.members.iter().map(|&place| &plan.members[place]) {
            rows.push(Row {
                dataset: member.dataset.to_owned(),
                method: member.method.clone(),
                settings: member.settings.clone(),
                seed: member.seed,
                fold: None,
                together: Some(Together::Concatenated),
                run: member.run,
                state: state.clone(),
            });
        }
    }
    Ok(rows)
}

/// What is known of an ensemble; without a result, the worst of its runs.
fn state_of_ensemble(id: EnsembleId, plan: &Plan, ledger: &Ledger) -> Result<RunState, LedgerError> {
    if let Some(record) = ledger.ensemble_record(id)? {
        return Ok(RunState::Finished(record.evaluated));
    }
    if let Some(End::Failed { class, message }) = ledger.last_exit(Job::Ensemble(id))?.map(|exit| exit.end) {
        return Ok(RunState::Failed { class, message });
    }
    let runs = &plan.ensembles[&id].runs;
    let states: Vec<RunState> = runs.iter().map(|&run| state_of(run, plan, ledger)).collect::<Result<_, _>>()?;
    let (broken, rest): (Vec<_>, Vec<_>) =
        states.into_iter().partition(|state| matches!(state, RunState::Broken { .. }));
    let failed = rest.into_iter().find(|state| matches!(state, RunState::Failed { .. }));
    Ok(broken.into_iter().next().or(failed).unwrap_or(RunState::Missing))
}

/// A warning for each method whose miner or margins left nothing to learn from in most steps.
fn idle(rows: &[Row], ledger: &Ledger) -> Result<Vec<String>, LedgerError> {
    let mut runs: BTreeMap<&str, BTreeSet<RunId>> = BTreeMap::new();
    for row in rows {
        if ledger.trained(row.run)?.is_some_and(|trained| trained.was_mostly_idle()) {
            runs.entry(&row.method).or_default().insert(row.run);
        }
    }
    let warning = |(method, runs): (&str, BTreeSet<RunId>)| {
        format!("Warning: {method} learnt nothing in most steps of {}: no pair counted.", counted(runs.len(), "run"))
    };
    Ok(runs.into_iter().map(warning).collect())
}

/// What is known of a run: its result, or why there is none.
pub(super) fn state_of(run: RunId, plan: &Plan, ledger: &Ledger) -> Result<RunState, LedgerError> {
    if let OnDisk::Recorded(record) = ledger.state(run)? {
        return Ok(match record.outcome {
            Outcome::Finished(evaluated) => RunState::Finished(evaluated),
            Outcome::Broken { how, step } => RunState::Broken { how, step },
        });
    }
    let prepare = plan.runs.get(&run).map(|planned| Job::Prepare(planned.data));
    for job in [Some(Job::Evaluate(run)), Some(Job::Train(run)), prepare].into_iter().flatten() {
        if let Some(End::Failed { class, message }) = ledger.last_exit(job)?.map(|exit| exit.end) {
            return Ok(RunState::Failed { class, message });
        }
    }
    Ok(RunState::Missing)
}

/// What all trained methods have in common.
fn conditions(point: &Point) -> String {
    let training = &point.training;
    let width = point.model.embedding.map_or_else(|| "no embedding layer".to_owned(), |width| format!("{width}-d"));
    let [backbone, sampler, optimizer] =
        [in_words(&point.model.backbone), in_words(&training.sampler), in_words(&training.optimizer)];
    let of_losses = training.loss_optimizer.iter();
    let of_losses: String =
        of_losses.map(|optimizer| format!("; parameters of losses: {}", in_words(optimizer))).collect();
    format!("Trained: {backbone}, {width}; {} steps; {sampler}; {optimizer}{of_losses}.", training.steps)
}

/// What sets a method apart from the others beside its loss.
fn exception(method: &MethodTable) -> Option<String> {
    let sampler = method.sampler.as_ref().map(in_words);
    let optimizer = method.loss_optimizer.as_ref().map(|of_loss| format!("its parameters: {}", in_words(of_loss)));
    let own: Vec<String> = sampler.into_iter().chain(optimizer).collect();
    (!own.is_empty()).then(|| format!("{} differs: {}.", method.name, own.join("; ")))
}

/// A setting as the file has it, without its punctuation: `adam (lr 0.001, weight_decay 0)`.
fn in_words(setting: &impl Serialize) -> String {
    match serde_json::to_value(setting) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(variant)) => {
            let variants = variant.iter().map(|(name, fields)| {
                let fields: Vec<String> =
                    fields.as_object().into_iter().flatten().map(|(key, value)| format!("{key} {value}")).collect();
                format!("{name} ({})", fields.join(", "))
            });
            variants.collect::<Vec<_>>().join(", ")
        }
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// What a reader has to know to trust the numbers, or not to.
fn facts(sweep: &Sweep, rows: &[Row]) -> Vec<String> {
    let mut lines = vec![format!("{}.", arithmetic(sweep))];
    for point in &sweep.points {
        let measured = rows.iter().find_map(|row| match &row.state {
            RunState::Finished(evaluated) if row.dataset == point.dataset.title() => Some(evaluated),
            _ => None,
        });
        if let Some(measured) = measured {
            lines.push(format!(
                "{}: measured on {} classes never trained on, {} images at {} px, each a query against all the others.",
                point.dataset.title(),
                measured.classes,
                measured.images,
                point.transform.test_side(&point.images)
            ));
        }
        if point.methods.iter().any(|method| method.table.loss.is_some()) {
            lines.push(conditions(point));
            lines.extend(point.methods.iter().filter_map(|method| exception(&method.table)));
        }
        if matches!(point.dataset, Dataset::Glyphs(_)) {
            lines.push("Glyphs are synthetic: drawn by the program, they say nothing about photographs.".to_owned());
        }
        if let Some(found) =
            registration(&point.dataset, &sweep.data_root).filter(|found| !found.differences.is_empty())
        {
            let differences =
                found.differences.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.push(format!(
                "{} is not as published ({}): its numbers compare with no published ones.",
                point.dataset.title(),
                differences.collect::<Vec<_>>().join("; ")
            ));
        }
        if point.training.labels == Labels::Shuffled {
            lines.push("Control experiment: trained on shuffled labels.".to_owned());
        }
    }
    lines.push(match sweep.folds.first() {
        Some(Some(fold)) => format!(
            "Weights were chosen by validation MAP@R on {} class-disjoint folds{}; test classes chose nothing.",
            fold.of,
            match fold.cut {
                Cut::Even => "",
                Cut::RealityCheck => " as the Reality Check cuts them (classes left over are validated on in no fold)",
            }
        ),
        _ => "The weights of the last step are measured; nothing was chosen on any split.".to_owned(),
    });
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}
