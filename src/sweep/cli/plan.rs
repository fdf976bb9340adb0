//! `sweep plan`: what would run, what is done already, why, and the cost of the rest.

mod arrays;
mod json;
pub(super) mod origins;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use clap::Args;
use report::Setting;
use schema::{Device, Guards, ImageSize, Labels, StudyId, Transform, renamed::as_read};
use serde_json::{Value, json};

use super::{
    Exit, Opened, Target, check, counted,
    room::{free_bytes, size},
    show, show_json,
    slurm::Where,
    studies,
    width::wrapped,
};
use crate::{
    config::{Method, On, Point, Resources, Sweep, TrainingTable, as_written},
    ledger::{Job, JobKind},
    plan::{
        Plan, RowId,
        forecast::{self, Expected, Forecast},
        freshness::{self, Freshness, FreshnessOf, Reason},
        memory,
        picture::{self, Language},
    },
    run::slots::{Layout, Machine, PlaceId},
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
  sweep plan sweeps/omniglot.toml --on slurm                    the scripts and arrays for a cluster
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
    /// Plan for there, whatever `on` in [resources] says: `slurm` shows the scripts and arrays
    #[arg(long, value_name = "WHERE")]
    on: Option<Where>,
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
        let opened = self.target.open_on(self.on)?;
        let freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
        opened.tell_damage()?;
        if let Some(language) = self.language() {
            return show(&picture::of(&opened.plan, &freshness, language));
        }
        let origins = match self.origins {
            true => origins::of(&self.target, &opened)?,
            false => Vec::new(),
        };
        let data_root = &opened.sweep.data_root;
        let forecast = forecast::of(&opened.plan, &freshness, &opened.ledger, data_root)?;
        if self.json {
            return show_json(&json::Whole::of(&opened, &freshness, &forecast, origins));
        }
        let lines = self.as_text(&opened, &freshness, &forecast, &origins);
        show(&(lines.join("\n") + "\n"))
    }

    fn language(&self) -> Option<Language> {
        match (self.dot, self.mermaid) {
            (true, _) => Some(Language::Dot),
            (false, true) => Some(Language::Mermaid),
            (false, false) => None,
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
        for missing in plan.missing.iter().chain(&plan.recalled) {
            lines.push(format!("missing: {missing}"));
        }
        lines.extend(sweep.refinements.iter().cloned());
        lines.extend(sweep.fairness.paragraph().iter().map(|text| wrapped(text)));
        lines.push(String::new());
        match origins {
            [] => lines.extend(settings(opened)),
            origins => lines.extend(origins::lines(origins)),
        }
        lines.push(String::new());
        match self.runs || plan.members.len() <= MANY {
            true => lines.extend(each_run(opened, freshness)),
            false => lines.extend(summed_up(opened, freshness)),
        }
        lines.push(String::new());
        for (kind, Tally { todo, done }) in tally(freshness) {
            let verb = kind.verb();
            lines.push(format!("  {verb:<9} {todo:>4} to do, {done:>4} done"));
        }
        lines.extend(priorities(plan));
        lines.extend(resources(&sweep.resources, plan));
        match &sweep.resources.on {
            On::Here => lines.extend(costs(opened, forecast)),
            On::Slurm(table) => {
                lines.push(work(forecast));
                lines.push(disk(opened, forecast));
                lines.extend(arrays::lines(table, opened, freshness));
            }
        }
        lines
    }
}

/// Names the methods by priority, the highest first; nothing if all have the same.
fn priorities(plan: &Plan) -> Option<String> {
    let mut methods: BTreeMap<Reverse<i32>, Vec<&str>> = BTreeMap::new();
    for member in &plan.members {
        let of_level = methods.entry(Reverse(member.priority)).or_default();
        if !of_level.contains(&member.method.as_str()) {
            of_level.push(&member.method);
        }
    }
    let levels = methods.iter();
    let levels: Vec<String> = levels
        .map(|(Reverse(level), methods)| format!("{} ({level})", methods.join(", ")))
        .collect();
    (levels.len() > 1).then(|| format!("  priority  {}", levels.join(", then ")))
}

/// Says of each countable resource how many there are, and how many a job of each method takes.
fn resources(resources: &Resources, plan: &Plan) -> Vec<String> {
    let line = |(name, number)| {
        let mut takers: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for member in &plan.members {
            let needed = member.needs.of(name).unwrap_or(0);
            let methods = takers.entry(needed).or_default();
            if !methods.contains(&member.method.as_str()) {
                methods.push(&member.method);
            }
        }
        takers.remove(&0);
        let takers: Vec<String> = takers
            .iter()
            .map(|(needed, methods)| format!("{needed} for a job of {}", methods.join(", ")))
            .collect();
        match takers.is_empty() {
            true => format!("  resource  {number} {name}, which no method needs"),
            false => format!("  resource  {number} {name}: {}", takers.join("; ")),
        }
    };
    resources.have.iter().map(line).collect()
}

/// The time of all jobs one after another.
fn work(forecast: &Forecast) -> String {
    match forecast.todo() - forecast.unknown() {
        0 => "  time      unknown: no job like these has finished here yet".to_owned(),
        _ => format!("  time      {} of work", duration(forecast.seconds())),
    }
}

/// More members than this are grouped by method.
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
            Todo::Nothing => "done".to_owned(),
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

/// Time, GPU hours and disk space, and what the estimates are based on.
fn costs(opened: &Opened, forecast: &Forecast) -> Vec<String> {
    let layout = match opened.layout() {
        Ok(layout) => layout,
        Err(error) => return vec![format!("  cannot run here: {error}")],
    };
    let mut lines = vec![format!("  in {}", slot_names(&layout))];
    if forecast.todo() + forecast.ahead == 0 {
        return lines;
    }
    lines.extend(time(forecast, &layout));
    for (kind, expected) in &forecast.kinds {
        let verb = kind.verb();
        let bases = bases(expected, forecast);
        if expected.todo > 0 && !bases.is_empty() {
            lines.push(format!("{MARGIN}{verb:<9} {}", bases.join("; ")));
        }
    }
    if forecast.ahead > 0 {
        let ahead = counted(forecast.ahead, "training");
        lines.push(format!(
            "{MARGIN}searches will add up to {ahead}, each estimated by the mean of the others"
        ));
    }
    lines.push(disk(opened, forecast));
    lines.extend(main_memory(opened, &layout));
    lines
}

/// The indentation of details below a cost.
const MARGIN: &str = "              ";

fn time(forecast: &Forecast, layout: &Layout) -> Vec<String> {
    let unknown = forecast.unknown();
    if unknown == forecast.todo() {
        return vec!["  time      unknown: no job like these has finished here yet".to_owned()];
    }
    let seconds = forecast.seconds();
    let slots = layout.for_runs().count();
    let wall = (seconds / slots as f64).max(forecast.longest);
    let rest = match unknown {
        0 => String::new(),
        unknown => format!(", and {} without an estimate", counted(unknown, "job")),
    };
    let mut lines = vec![format!(
        "  time      about {}, for {} of work{rest}",
        duration(wall),
        duration(seconds)
    )];
    if layout.device() == Device::Cuda {
        let gpus: BTreeSet<PlaceId> = layout.for_runs().map(|slot| slot.place).collect();
        let hours = wall / 3600.0 * gpus.len() as f64;
        lines.push(format!("  GPU hours about {hours:.1}"));
    }
    lines
}

/// What the estimates of one kind of jobs are based on.
fn bases(expected: &Expected, forecast: &Forecast) -> Vec<String> {
    let mut bases = Vec::new();
    for (basis, count) in &expected.known {
        bases.push(format!("{count} {}", basis.words()));
    }
    let unknown = expected.unknown();
    if unknown > 0 && unknown < forecast.todo() {
        bases.push(format!("{unknown} unknown"));
    }
    bases
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

/// Returns what a run takes of the main memory; nothing on GPUs, unless the file says it.
fn main_memory(opened: &Opened, layout: &Layout) -> Option<String> {
    match opened.sweep.resources.needs.ram {
        Some(ram) => Some(needed_memory(ram.bytes(), &opened.machine)),
        None if layout.device() == Device::Cpu => {
            Some(estimated_memory(opened, layout.slots.len()))
        }
        None => None,
    }
}

/// Returns what a run needs by the file, and how many runs have that.
fn needed_memory(bytes: u64, machine: &Machine) -> String {
    let line = format!(
        "  memory    {} for each run (resources.needs)",
        size(bytes as f64)
    );
    let available = machine.memory.map(|available| size(available as f64));
    match (machine.room(bytes), available) {
        (Some(0), Some(available)) => {
            format!("{line}, but {available} are available: one runs at a time")
        }
        (Some(room), Some(available)) => {
            let runs = counted(room as usize, "run");
            format!("{line}; {available} are available, for {runs} at a time")
        }
        _ => line,
    }
}

/// Returns what a run takes, roughly, and whether all slots have enough.
fn estimated_memory(opened: &Opened, slots: usize) -> String {
    let of_run = memory::of(&opened.plan);
    let training = match of_run.training {
        0 => String::new(),
        bytes => format!("{} in training, ", size(bytes as f64)),
    };
    let measuring = size(of_run.evaluation as f64);
    let run = format!("  memory    about {training}{measuring} in measuring, for each slot");
    let Some(available) = opened.machine.memory else {
        return run;
    };
    let needed = of_run.peak() * slots as u64;
    let verdict = match needed > available {
        true => format!(
            ", but {} need {}",
            counted(slots, "slot"),
            size(needed as f64)
        ),
        false => String::new(),
    };
    format!("{run}; {} are available{verdict}", size(available as f64))
}

/// `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`.
pub(super) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match (seconds, minutes) {
        (..90.0, _) => format!("{seconds:.0} s"),
        (_, ..60) => format!("{minutes} min"),
        (_, ..1440) => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes % 1440 / 60),
    }
}

/// Of more points than this, only the first is shown, and the values of the axes.
const FEW: usize = 8;

/// The settings that all methods share, then those of each method, once for all seeds and folds.
fn settings(opened: &Opened) -> Vec<String> {
    let points = &opened.sweep.points;
    let mut lines = Vec::new();
    if points.len() > FEW {
        let each = points.iter();
        let axes = AxisValues::of(each.map(|point| (&point.settings[..], || shared(point))));
        let mut titles: Vec<&str> = Vec::new();
        for point in points {
            let title = opened.plan.titles.title(&point.dataset);
            if !titles.contains(&title) {
                titles.push(title);
            }
        }
        let titles = titles.join(", ");
        lines.push(format!("  all methods on {titles}{}", axes.in_words()));
        lines.extend(of_point(&points[0], axes));
    } else {
        for point in points {
            let values: Vec<String> = point.settings.iter().map(Setting::to_string).collect();
            let heading = format!("  all methods {}", values.join(", "));
            lines.push(heading.trim_end().to_owned());
            lines.extend(of_point(point, AxisValues::default()));
        }
    }
    for (method, training) in first_of_each(&opened.sweep) {
        lines.extend(of_method(method, training, &opened.sweep));
    }
    lines
}

/// The values of each axis as a sweep file has them, in the order in which they appear.
#[derive(Default)]
struct AxisValues<'s>(BTreeMap<&'s str, Vec<Value>>);

impl<'s> AxisValues<'s> {
    /// Collects them from combinations: the values of each as they read for people, and its settings. Settings are
    /// asked for only where a value is new.
    fn of(
        combinations: impl Iterator<Item = (&'s [Setting], impl FnOnce() -> Value)>,
    ) -> AxisValues<'s> {
        let mut axes: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for (names, written) in combinations {
            let new: Vec<&Setting> = names.iter().filter(|name| seen.insert(*name)).collect();
            if new.is_empty() {
                continue;
            }
            let written = written();
            for Setting { axis, .. } in new {
                let values = axes.entry(axis).or_default();
                values.extend(written.pointer(&pointer(axis)).cloned());
            }
        }
        AxisValues(axes)
    }

    /// Replaces the value of each axis by the list of all its values.
    fn put(self, settings: &mut Value) {
        for (axis, values) in self.0 {
            if let Some(value) = settings.pointer_mut(&pointer(axis)) {
                *value = Value::Array(values);
            }
        }
    }

    fn in_words(&self) -> String {
        let axes: Vec<&str> = self.0.keys().copied().collect();
        match axes.as_slice() {
            [] => String::new(),
            axes => format!(", with all values of {}", axes.join(" x ")),
        }
    }
}

/// Where the value of an axis stands in settings as JSON.
fn pointer(axis: &str) -> String {
    format!("/{}", axis.replace('.', "/"))
}

/// The settings that all methods share, with the keys of a sweep file.
fn shared(point: &Point) -> Value {
    let searched = point.methods.iter().find(|method| method.search.is_some());
    let training = match searched.or(point.methods.first()) {
        Some(method) => as_written(method, &point.training).1,
        None => json!(point.training),
    };
    let (size_key, size) = match point.images.size {
        ImageSize::Square(side) => ("image_size", side),
        ImageSize::ShortSide(side) => ("resize", side),
    };
    let mut settings = json!({
        "data": {
            "dataset": as_read(&point.dataset),
            size_key: size,
            "color": as_read(&point.images.color),
            "bounding_boxes": point.images.bounding_boxes,
            "background": as_read(&point.images.background),
            "classes": point.training_images.classes,
            "images_per_class": point.training_images.images_per_class,
            "label_noise": point.training_images.label_noise,
        },
        "transform": as_read(&point.transform),
        "model": as_read(&point.model),
        "training": as_read(&training),
    });
    if !point.trains() {
        settings["training"] = Value::Null;
    }
    settings
}

/// The same line by line, without those at their defaults.
fn of_point(point: &Point, axes: AxisValues<'_>) -> Vec<String> {
    let defaults = json!({
        "data": { "bounding_boxes": false, "label_noise": 0.0 },
        "transform": as_read(&Transform::default()),
        "training": { "guards": Guards::default(), "labels": Labels::default() },
    });
    let mut settings = shared(point);
    axes.put(&mut settings);
    let mut lines = Vec::new();
    for (table, keys) in settings.as_object().into_iter().flatten() {
        let keys = keys.as_object().into_iter().flatten();
        let given =
            keys.filter(|(key, value)| !value.is_null() && defaults[table][*key] != **value);
        lines.extend(given.map(|(key, value)| line(&format!("{table}.{key}"), value)));
    }
    lines
}

/// The settings of a method, with the keys of a sweep file.
fn own(method: &Method, training: &TrainingTable) -> Value {
    as_read(&as_written(method, training).0)
}

/// The same line by line, its loss or baseline first.
fn of_method(method: &Method, training: &TrainingTable, sweep: &Sweep) -> Vec<String> {
    let name = &method.table.name;
    let each = sweep.points.iter().flat_map(|point| {
        let methods = point.methods.iter();
        methods.map(|method| (method, &point.training))
    });
    let same = each.filter(|(other, _)| other.table.name == *name);
    let axes = AxisValues::of(
        same.map(|(method, training)| (&method.settings[..], move || own(method, training))),
    );
    let mut lines = vec![format!("  {name}{}", axes.in_words())];
    let mut settings = own(method, training);
    axes.put(&mut settings);
    let mut parts: Vec<(&String, &Value)> = settings.as_object().into_iter().flatten().collect();
    parts.retain(|(key, value)| *key != "name" && !value.is_null());
    parts.sort_by_key(|(key, _)| !["baseline", "loss"].contains(&key.as_str()));
    lines.extend(parts.iter().map(|(key, value)| line(key, value)));
    lines
}

/// A setting as it stands in a sweep file: `loss.triplet = { margin = 0.2 }`.
fn line(key: &str, value: &Value) -> String {
    let only = value.as_object().filter(|fields| fields.len() == 1);
    match only.and_then(|fields| fields.iter().next()) {
        Some((name, settings @ Value::Object(_))) => line(&format!("{key}.{name}"), settings),
        _ => format!("    {key} = {}", show::in_toml(value)),
    }
}

/// Each method where it first appears, with the training settings around it.
fn first_of_each(sweep: &Sweep) -> Vec<(&Method, &TrainingTable)> {
    let mut seen = BTreeSet::new();
    let mut methods = Vec::new();
    for point in &sweep.points {
        for method in &point.methods {
            if seen.insert(&method.table.name) {
                methods.push((method, &point.training));
            }
        }
    }
    methods
}

/// `2 slots (cpu 0, cpu 1)`, or `2 GPUs (gpu 0, gpu 1) that runs share as they fit`.
pub(super) fn slot_names(layout: &Layout) -> String {
    let packed = layout.places.iter().filter(|place| place.packs);
    let packed: Vec<&str> = packed.map(|place| place.name.as_str()).collect();
    if !packed.is_empty() {
        let gpus = counted(packed.len(), "GPU");
        return format!("{gpus} ({}) that runs share as they fit", packed.join(", "));
    }
    let names: Vec<&str> = layout.for_runs().map(|slot| slot.name.as_str()).collect();
    format!("{} ({})", counted(names.len(), "slot"), names.join(", "))
}

/// How many jobs have to run, and how many do not.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) todo: usize,
    pub(super) done: usize,
}

/// The tally of each kind of jobs.
pub(super) fn tally(freshness: &FreshnessOf) -> BTreeMap<JobKind, Tally> {
    let mut tallies: BTreeMap<JobKind, Tally> = BTreeMap::new();
    for (job, freshness) in freshness {
        let tally = tallies.entry(job.kind()).or_default();
        match freshness {
            Freshness::Stale(_) => tally.todo += 1,
            Freshness::Fresh | Freshness::NotNeeded => tally.done += 1,
        }
    }
    tallies
}
