//! `sweep plan`: what would run, what is there already, and why.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use schema::{RunId, canonical_json};
use serde_json::{Value, json};

use super::{Exit, Opened, Target, check, counted, show, studies};
use crate::{
    ledger::Job,
    plan::{
        Member, Plan,
        freshness::{self, Freshness, FreshnessOf},
    },
    run::slots::Slot,
    spec::{Method, Sweep, TrainingTable, as_written},
};

/// Shows what would run and what is reused, each run with its name and the reason. Runs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep plan sweeps/omniglot.toml
  sweep plan sweeps/omniglot.toml --set training.steps=100      what would a change run anew?
  sweep plan sweeps/omniglot.toml --json | jq '.jobs[] | select(.todo)'")]
pub(super) struct PlanCommand {
    #[command(flatten)]
    target: Target,
    /// Print everything as one JSON object: members, recipes, jobs and their order
    #[arg(long)]
    json: bool,
}

impl PlanCommand {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let opened = self.target.open()?;
        let freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
        match self.json {
            true => show(&format!("{:#}\n", as_json(&opened, &freshness))),
            false => show(&(as_text(&opened, &freshness).join("\n") + "\n")),
        }
    }
}

fn as_text(opened: &Opened, freshness: &FreshnessOf) -> Vec<String> {
    let Opened { sweep, plan, machine, .. } = opened;
    let mut lines = vec![format!("{}: {}", sweep.name, check::arithmetic(sweep))];
    lines.extend(plan.missing.iter().map(|missing| format!("missing: {missing}")));
    lines.extend(sweep.refinements.iter().cloned());
    lines.extend(sweep.fairness.paragraph());
    lines.push(String::new());
    lines.extend(made_of(opened));
    lines.push(String::new());
    let names: Vec<String> = plan.members.iter().map(describe).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (place, (member, name)) in plan.members.iter().zip(names).enumerate() {
        let standing = match plan.runs.contains_key(&member.run) {
            true => standing(member.run, freshness),
            false => studies::waiting(opened, place),
        };
        lines.push(format!("  {}  {name:width$}  {standing}", member.run));
    }
    lines.push(String::new());
    for (verb, (todo, there)) in tally(freshness) {
        lines.push(format!("  {verb:<9} {todo:>4} to do, {there:>4} there"));
    }
    lines.push(match machine.slots(&sweep.resources) {
        Ok(slots) => format!("  in {}", slot_names(&slots)),
        Err(error) => format!("  cannot run here: {error}"),
    });
    lines
}

/// What the methods share, then what tells them apart: each once, however many seeds and folds there are.
fn made_of(opened: &Opened) -> Vec<String> {
    let mut lines = Vec::new();
    for point in &opened.sweep.points {
        let settings: Vec<String> = point.settings.iter().map(|(axis, value)| format!("{axis} = {value}")).collect();
        let searched = point.methods.iter().find(|method| method.search.is_some()).or(point.methods.first());
        let training = searched.map_or(Value::Null, |method| as_written(method, &point.training).1);
        let shared = [
            ("data", canonical_json(&json!({ "dataset": point.dataset, "images": point.images }))),
            ("transform", canonical_json(&point.transform)),
            ("model", canonical_json(&point.model)),
            ("steps", canonical_json(&training["steps"])),
            ("sampler", canonical_json(&training["sampler"])),
            ("optimizer", canonical_json(&training["optimizer"])),
        ];
        lines.push(format!("  all methods {}", settings.join(", ")).trim_end().to_owned());
        lines.extend(shared.map(|(name, value)| format!("    {name:<9} {value}")));
        let of_losses = Some(&training["loss_optimizer"]).filter(|optimizer| !optimizer.is_null());
        lines.extend(of_losses.map(|optimizer| format!("    of losses {}", canonical_json(optimizer))));
    }
    for (method, training) in first_of_each(&opened.sweep) {
        lines.push(format!("  {}", method.table.name));
        let written = as_written(method, training).0;
        let parts = PARTS.iter().filter(|part| !written[**part].is_null());
        lines.extend(parts.map(|part| format!("    {} {}", part.replace('_', " "), canonical_json(&written[*part]))));
    }
    lines
}

/// What sets a method apart, by key.
const PARTS: [&str; 9] =
    ["baseline", "loss", "distance", "reduction", "regularizer", "miner", "memory", "sampler", "loss_optimizer"];

/// Each method where it first appears, with the training around it.
fn first_of_each(sweep: &Sweep) -> Vec<(&Method, &TrainingTable)> {
    let mut seen = BTreeSet::new();
    let methods = sweep.points.iter().flat_map(|point| point.methods.iter().map(|method| (method, &point.training)));
    methods.filter(|(method, _)| seen.insert(&method.table.name)).collect()
}

/// `2 slots (cpu 0, cpu 1)`.
pub(super) fn slot_names(slots: &[Slot]) -> String {
    let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
    format!("{} ({})", counted(slots.len(), "slot"), names.join(", "))
}

/// `Triplet, seed 1, fold 2 of 4, model.embedding = 64`.
pub(super) fn describe(member: &Member) -> String {
    let mut parts = vec![member.method.clone()];
    parts.extend(member.settings.iter().map(|(axis, value)| format!("{axis} = {value}")));
    parts.push(format!("seed {}", member.seed));
    parts.extend(member.fold.map(|fold| format!("fold {} of {}", fold.index + 1, fold.of)));
    format!("{}: {}", member.dataset, parts.join(", "))
}

/// The first repetition of a cell whose result a run is, or the trial that it is of.
pub(super) fn describe_run(run: RunId, plan: &Plan) -> String {
    if let Some(member) = plan.member_of(run) {
        return describe(member);
    }
    let Some((study, trial)) = plan.trial_of(run) else { return run.to_string() };
    let fold = study.trials[trial].runs.iter().position(|of_fold| *of_fold == run).unwrap_or(0);
    let member = &plan.members[study.members.start + fold];
    let seed = format!("seed {}", member.seed);
    describe(member).replacen(&seed, &format!("trial {}", trial + 1), 1)
}

fn standing(run: RunId, freshness: &FreshnessOf) -> String {
    match (freshness.get(&Job::Train(run)), freshness.get(&Job::Evaluate(run))) {
        (Some(Freshness::Stale(reason)), _) => format!("train: {reason}"),
        (_, Some(Freshness::Stale(reason))) => format!("evaluate: {reason}"),
        _ => "there".to_owned(),
    }
}

/// For each verb how many jobs are to do and how many are not.
pub(super) fn tally(freshness: &FreshnessOf) -> BTreeMap<&'static str, (usize, usize)> {
    let mut tally = BTreeMap::new();
    for (job, freshness) in freshness {
        let (stale, reused): &mut (usize, usize) = tally.entry(job.verb()).or_default();
        match freshness {
            Freshness::Stale(_) => *stale += 1,
            Freshness::Fresh | Freshness::NotNeeded => *reused += 1,
        }
    }
    tally
}

fn as_json(opened: &Opened, freshness: &FreshnessOf) -> serde_json::Value {
    let Opened { sweep, plan, .. } = opened;
    let members: Vec<_> = plan
        .members
        .iter()
        .map(|member| {
            json!({
                "method": member.method, "dataset": member.dataset, "settings": member.settings,
                "seed": member.seed, "fold": member.fold, "run": member.run,
            })
        })
        .collect();
    let runs: BTreeMap<String, serde_json::Value> = plan
        .runs
        .iter()
        .map(|(run, planned)| (run.to_string(), json!({ "data": planned.data, "made_of": planned.identity })))
        .collect();
    let jobs: Vec<_> = freshness
        .iter()
        .map(|(job, freshness)| {
            let (todo, reason) = match freshness {
                Freshness::Stale(reason) => (true, reason.to_string()),
                Freshness::Fresh => (false, "its result is there".to_owned()),
                Freshness::NotNeeded => (false, "nothing needs it".to_owned()),
            };
            json!({ "job": job, "todo": todo, "reason": reason })
        })
        .collect();
    let after: Vec<_> = plan
        .graph
        .edge_indices()
        .filter_map(|edge| plan.graph.edge_endpoints(edge))
        .map(|(before, after)| json!([plan.graph[before].to_string(), plan.graph[after].to_string()]))
        .collect();
    // Through the canonical text, so that the same plan is printed the same everywhere.
    let plan = json!({
        "version": 1, "sweep": sweep.name, "missing": plan.missing, "members": members, "runs": runs,
        "jobs": jobs, "order": after,
    });
    serde_json::from_str(&canonical_json(&plan)).unwrap_or(plan)
}
