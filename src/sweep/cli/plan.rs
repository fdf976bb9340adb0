//! `sweep plan`: what would run, what is there already, why, and what it will cost.

mod json;
mod origins;

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use report::Setting;
use schema::{Device, StudyId, canonical_json};
use serde_json::{Value, json};

use super::{Exit, Opened, Target, check, counted, doctor::free_bytes, show, show_json, studies};
use crate::{
    config::{Method, Sweep, TrainingTable, as_written},
    ledger::Job,
    plan::{
        RowId,
        forecast::{self, Forecast},
        freshness::{self, Freshness, FreshnessOf, Reason},
        picture::{self, Language},
    },
    run::slots::Slot,
};

/// Show what would run, why, and how long it takes
///
/// Lists each run with its id and the reason why it runs or is reused. Runs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep plan sweeps/omniglot.toml
  sweep plan sweeps/omniglot.toml --set training.steps=100      the effect of an override
  sweep plan sweeps/omniglot.toml --origins                     the file and line of each value
  sweep plan sweeps/omniglot.toml --dot | dot -Tsvg > plan.svg  draw the jobs
  sweep plan sweeps/omniglot.toml --json | jq '.jobs[] | select(.todo)'

Times are estimated from similar finished runs: the same recipe with another seed or fold, or the same network, \
images and batch, in proportion to the steps. Without a similar run, the time is unknown.")]
pub(super) struct PlanCommand {
    #[command(flatten)]
    target: Target,
    /// List every run, even if there are many
    #[arg(long)]
    runs: bool,
    /// Show the origin of each value: file and line, preset, --set or default
    #[arg(long)]
    origins: bool,
    /// Print one JSON object: members, recipes, jobs, their order and the forecast
    #[arg(long, group = "form")]
    json: bool,
    /// Print the graph of jobs for Graphviz
    #[arg(long, group = "form")]
    dot: bool,
    /// Print the graph of jobs for Mermaid, which code hosts draw in Markdown
    #[arg(long, group = "form")]
    mermaid: bool,
}

impl PlanCommand {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let opened = self.target.open()?;
        let freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
        if self.dot || self.mermaid {
            let language = if self.dot {
                Language::Dot
            } else {
                Language::Mermaid
            };
            return show(&picture::of(&opened.plan, &freshness, language));
        }
        let origins = if self.origins {
            origins::of(&self.target, &opened)?
        } else {
            Vec::new()
        };
        let forecast = forecast::of(
            &opened.plan,
            &freshness,
            &opened.ledger,
            &opened.sweep.data_root,
        )?;
        match self.json {
            true => show_json(&json::Whole::of(&opened, &freshness, &forecast, origins)),
            false => show(
                &(self
                    .as_text(&opened, &freshness, &forecast, &origins)
                    .join("\n")
                    + "\n"),
            ),
        }
    }

    fn as_text(
        &self,
        opened: &Opened,
        freshness: &FreshnessOf,
        forecast: &Forecast,
        origins: &[[String; 3]],
    ) -> Vec<String> {
        let Opened { sweep, plan, .. } = opened;
        let mut lines = vec![format!("{}: {}", sweep.name, check::arithmetic(sweep))];
        lines.extend(
            plan.missing
                .iter()
                .map(|missing| format!("missing: {missing}")),
        );
        lines.extend(sweep.refinements.iter().cloned());
        lines.extend(sweep.fairness.paragraph());
        lines.push(String::new());
        match origins {
            [] => lines.extend(made_of(opened)),
            origins => lines.extend(origins::lines(origins)),
        }
        lines.push(String::new());
        match self.runs || plan.members.len() <= MANY {
            true => lines.extend(each_run(opened, freshness)),
            false => lines.extend(summed_up(opened, freshness)),
        }
        lines.push(String::new());
        for (verb, (todo, there)) in tally(freshness) {
            lines.push(format!("  {verb:<9} {todo:>4} to do, {there:>4} there"));
        }
        lines.extend(costs(opened, forecast));
        lines
    }
}

/// More members than this are summed up.
const MANY: usize = 200;

/// What a plan shows of a member's run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Todo<'p> {
    Train(&'p Reason),
    Evaluate(&'p Reason),
    Nothing,
    /// Its study has not selected anything yet.
    Selection(StudyId),
}

impl<'p> Todo<'p> {
    fn of(position: usize, opened: &Opened, freshness: &'p FreshnessOf) -> Todo<'p> {
        let run = opened.plan.members[position].run;
        if !opened.plan.runs.contains_key(&run)
            && let Some(study) = opened.plan.study_of(position)
        {
            return Todo::Selection(study.id);
        }
        if let Some(Freshness::Stale(reason)) = freshness.get(&Job::Train(run)) {
            return Todo::Train(reason);
        }
        if let Some(Freshness::Stale(reason)) = freshness.get(&Job::Evaluate(run)) {
            return Todo::Evaluate(reason);
        }
        Todo::Nothing
    }

    fn text(self, opened: &Opened) -> String {
        match self {
            Todo::Train(reason) => format!("train: {reason}"),
            Todo::Evaluate(reason) => format!("evaluate: {reason}"),
            Todo::Nothing => "there".to_owned(),
            Todo::Selection(study) => studies::waiting(opened, study),
        }
    }
}

fn each_run(opened: &Opened, freshness: &FreshnessOf) -> Vec<String> {
    let plan = &opened.plan;
    let names: Vec<String> = plan
        .members
        .iter()
        .map(|member| plan.name_of_member(member))
        .collect();
    let width = widest(&names);
    let mut lines = Vec::with_capacity(names.len());
    for (position, name) in names.iter().enumerate() {
        let run = plan.members[position].run;
        let todo = Todo::of(position, opened, freshness).text(opened);
        lines.push(format!("  {run}  {name:width$}  {todo}"));
    }
    lines
}

fn widest(names: &[String]) -> usize {
    let widths = names.iter().map(|name| name.chars().count());
    widths.max().unwrap_or(0)
}

/// Members of one method on one data set that have the same to do.
struct Group<'p> {
    todo: Todo<'p>,
    /// The position of the first.
    first: usize,
    count: usize,
}

/// The number of members of each method by what they have to do, with one of them.
fn summed_up(opened: &Opened, freshness: &FreshnessOf) -> Vec<String> {
    let plan = &opened.plan;
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut positions: BTreeMap<(RowId, Todo<'_>), usize> = BTreeMap::new();
    for (position, member) in plan.members.iter().enumerate() {
        let todo = Todo::of(position, opened, freshness);
        let key = (member.method_on_data(), todo);
        let group = *positions.entry(key).or_insert_with(|| {
            groups.push(Group {
                todo,
                first: position,
                count: 0,
            });
            groups.len() - 1
        });
        groups[group].count += 1;
    }
    let names: Vec<String> = groups
        .iter()
        .map(|group| plan.name_of_method(&plan.members[group.first]))
        .collect();
    let width = widest(&names);
    let mut lines = Vec::with_capacity(groups.len() + 1);
    for (group, name) in groups.iter().zip(&names) {
        let Group { todo, count, first } = group;
        let todo = todo.text(opened);
        let run = plan.members[*first].run;
        lines.push(format!(
            "  {name:width$}  {count:>7} {todo} (such as {run})"
        ));
    }
    lines.push("  (--runs lists each)".to_owned());
    lines
}

/// Time, GPU-hours and room on disk, and how they are known.
fn costs(opened: &Opened, forecast: &Forecast) -> Vec<String> {
    let Opened { sweep, machine, .. } = opened;
    let slots = match machine.slots(&sweep.resources) {
        Ok(slots) => slots,
        Err(error) => return vec![format!("  cannot run here: {error}")],
    };
    let mut lines = vec![format!("  in {}", slot_names(&slots))];
    let (todo, unknown) = (
        forecast
            .verbs
            .values()
            .map(|expected| expected.todo)
            .sum::<usize>(),
        forecast.unknown(),
    );
    if todo + forecast.ahead == 0 {
        return lines;
    }
    let seconds = forecast.seconds();
    if unknown == todo {
        lines.push("  time      unknown: nothing like these jobs has finished here yet".to_owned());
    } else {
        let wall = (seconds / slots.len() as f64).max(forecast.longest);
        let rest = match unknown {
            0 => String::new(),
            unknown => format!(", and {} that nothing is known of", counted(unknown, "job")),
        };
        lines.push(format!(
            "  time      about {}, for {} of work{rest}",
            duration(wall),
            duration(seconds)
        ));
        if slots.iter().any(|slot| slot.device == Device::Cuda) {
            let hours = seconds / 3600.0 / f64::from(sweep.resources.runs_per_gpu);
            lines.push(format!("  GPU hours about {hours:.1}"));
        }
    }
    for (verb, expected) in forecast
        .verbs
        .iter()
        .filter(|(_, expected)| expected.todo > 0)
    {
        let known = expected
            .known
            .iter()
            .map(|(basis, count)| format!("{count} {}", basis.words()));
        let unknown = Some(expected.unknown()).filter(|&count| count > 0 && unknown < todo);
        let parts: Vec<String> = known
            .chain(unknown.map(|count| format!("{count} unknown")))
            .collect();
        if !parts.is_empty() {
            lines.push(format!("              {verb:<9} {}", parts.join("; ")));
        }
    }
    if forecast.ahead > 0 {
        let ahead = counted(forecast.ahead, "training");
        lines.push(format!("              searches will add up to {ahead}, counted as long as the others on average"));
    }
    lines.push(disk(opened, forecast));
    lines
}

fn disk(opened: &Opened, forecast: &Forecast) -> String {
    let free = free_bytes(opened.ledger.root())
        .map_or(String::new(), |free| format!("; {} are free", size(free)));
    match (forecast.bytes, forecast.unsized_jobs) {
        (0, 1..) => format!("  disk      unknown{free}"),
        (bytes, 0) => format!("  disk      about {}{free}", size(bytes as f64)),
        (bytes, unknown) => {
            format!(
                "  disk      about {}, and {} of unknown size{free}",
                size(bytes as f64),
                counted(unknown, "job")
            )
        }
    }
}

/// `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (seconds, minutes) {
        (..90.0, _) => format!("{seconds:.0} s"),
        (_, ..60) => format!("{minutes} min"),
        (_, ..1440) => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

fn size(bytes: f64) -> String {
    match bytes {
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// Of more combinations of axis values than this, only the first is shown in full.
const FEW: usize = 8;

/// What the methods share, then what tells them apart: each once, however many seeds and folds there are.
fn made_of(opened: &Opened) -> Vec<String> {
    let mut lines = Vec::new();
    let points = &opened.sweep.points;
    for point in points.iter().take(if points.len() > FEW { 1 } else { FEW }) {
        let settings: Vec<String> = point.settings.iter().map(Setting::to_string).collect();
        let searched = point
            .methods
            .iter()
            .find(|method| method.search.is_some())
            .or(point.methods.first());
        let training = searched.map_or(Value::Null, |method| as_written(method, &point.training).1);
        let shared = [
            (
                "data",
                canonical_json(&json!({ "dataset": point.dataset, "images": point.images })),
            ),
            ("transform", canonical_json(&point.transform)),
            ("model", canonical_json(&point.model)),
            ("steps", canonical_json(&training["steps"])),
            ("sampler", canonical_json(&training["sampler"])),
            ("optimizer", canonical_json(&training["optimizer"])),
        ];
        lines.push(
            format!("  all methods {}", settings.join(", "))
                .trim_end()
                .to_owned(),
        );
        lines.extend(shared.map(|(name, value)| format!("    {name:<9} {value}")));
        let of_losses = Some(&training["loss_optimizer"]).filter(|optimizer| !optimizer.is_null());
        lines.extend(
            of_losses.map(|optimizer| format!("    of losses {}", canonical_json(optimizer))),
        );
    }
    if points.len() > FEW {
        lines.push(format!(
            "  and {} other settings: {}",
            points.len() - 1,
            opened.sweep.axes.join(" x ")
        ));
    }
    for (method, training) in first_of_each(&opened.sweep) {
        lines.push(format!("  {}", method.table.name));
        let written = as_written(method, training).0;
        let settings = written.as_object().into_iter().flatten();
        let given = settings.filter(|(key, value)| *key != "name" && !value.is_null());
        lines.extend(given.map(|(key, value)| {
            format!("    {} {}", key.replace('_', " "), canonical_json(value))
        }));
    }
    lines
}

/// Each method where it first appears, with the training around it.
fn first_of_each(sweep: &Sweep) -> Vec<(&Method, &TrainingTable)> {
    let mut seen = BTreeSet::new();
    let methods = sweep
        .points
        .iter()
        .flat_map(|point| point.methods.iter().map(|method| (method, &point.training)));
    methods
        .filter(|(method, _)| seen.insert(&method.table.name))
        .collect()
}

/// `2 slots (cpu 0, cpu 1)`.
pub(super) fn slot_names(slots: &[Slot]) -> String {
    let names: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
    format!("{} ({})", counted(slots.len(), "slot"), names.join(", "))
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
