//! `sweep diff`: the effect of a change of a sweep file on its runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use rayon::prelude::*;
use report::{Setting, Titles};
use schema::{Dataset, RunId, canonical_json};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, Opened, counted, folder::folder, show, show::in_toml, show_json};
use crate::{
    config::{Sweep, as_written},
    ledger::{Ledger, RunStage},
    plan::{
        Member, Plan, RowId, Study,
        difference::{self, Difference},
    },
};

/// Show which runs an edit of a sweep file affects
///
/// Compares a file with its last run, or two files, and lists the runs that are kept, changed, added and dropped, by key.
/// Runs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep diff sweeps/omniglot.toml                              edits since the last run
  sweep diff sweeps/omniglot.toml --set training.steps=100     the effect of an override
  sweep diff old.toml new.toml
  sweep diff old.toml new.toml --json | jq '.changed[] | [.key, .before, .after, .runs]'")]
pub(super) struct Diff {
    /// The sweep file, or the older of two files
    a: PathBuf,
    /// The newer of two files [default: compare A with its last run]
    b: Option<PathBuf>,
    /// Override a value of the newer sweep for this command
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
    /// Print one JSON object, with the id of each run
    #[arg(long)]
    json: bool,
}

/// The fate of all runs.
#[derive(Debug, Serialize)]
struct Fate {
    version: u32,
    before: Side,
    after: Side,
    /// Runs of both.
    kept: BTreeSet<RunId>,
    /// Repetitions of the same method, setting, seed and fold with another recipe, by key.
    changed: Vec<Change>,
    /// Runs of the newer sweep that replace no run of the older one.
    added: Vec<RunGroup>,
    /// Runs of the older sweep that no run of the newer one replaces.
    dropped: Vec<RunGroup>,
    /// Runs of the newer sweep that are finished already.
    finished: BTreeSet<RunId>,
    /// Differences of the searches for rows of both, by key.
    searches: Vec<SearchChange>,
}

#[derive(Debug, Serialize)]
struct Side {
    file: PathBuf,
    runs: usize,
}

/// One key with another value.
#[derive(Debug, Serialize)]
struct Change {
    key: String,
    before: Option<Value>,
    after: Option<Value>,
    methods: BTreeSet<String>,
    runs: Vec<(RunId, RunId)>,
}

/// One key of searches with another value or range.
#[derive(Debug, Serialize)]
struct SearchChange {
    key: String,
    before: Option<Value>,
    after: Option<Value>,
    /// The rows whose searches they are.
    rows: BTreeSet<String>,
}

/// Runs of one sweep only, by what they have in common.
#[derive(Debug, Serialize)]
struct RunGroup {
    by: String,
    runs: BTreeSet<RunId>,
}

impl Diff {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let after = self.b.as_ref().unwrap_or(&self.a);
        let after = Opened::of_results(Sweep::read(after, &self.overrides)?, &self.results)?;
        let before = match self.b {
            Some(_) => self.a.clone(),
            None => last_run(&after.ledger, &after.sweep)?,
        };
        let before = Opened::of_results(Sweep::read(&before, &[])?, &self.results)?;
        let fate = Fate::of(&before, &after)?;
        match self.json {
            true => show_json(&fate),
            false => show(&(as_text(&fate).join("\n") + "\n")),
        }
    }
}

fn last_run(ledger: &Ledger, sweep: &Sweep) -> Result<PathBuf, Exit> {
    let file = ledger.sweep(&sweep.name);
    match file.is_file() {
        true => Ok(file),
        false => Err(Exit::mistake(format!(
            "the sweep `{}` was not run in `{}` yet, so there is nothing to compare with\n\
             hint: `sweep diff OLD NEW` compares two files",
            sweep.name,
            ledger.root().display()
        ))),
    }
}

impl Fate {
    fn of(before: &Opened, after: &Opened) -> Result<Fate, Exit> {
        let old: BTreeSet<RunId> = before.plan.runs.keys().copied().collect();
        let new: BTreeSet<RunId> = after.plan.runs.keys().copied().collect();
        let pairs = pairs(&before.plan, &after.plan);
        let replaced: BTreeSet<RunId> = pairs.iter().map(|(old, _)| *old).collect();
        let replacing: BTreeSet<RunId> = pairs.iter().map(|(_, new)| *new).collect();
        let only = |runs: &BTreeSet<RunId>,
                    others: &BTreeSet<RunId>,
                    paired: &BTreeSet<RunId>|
         -> BTreeSet<RunId> {
            runs.difference(others)
                .filter(|run| !paired.contains(run))
                .copied()
                .collect()
        };
        Ok(Fate {
            version: 1,
            before: Side {
                file: before.sweep.file.clone(),
                runs: old.len(),
            },
            after: Side {
                file: after.sweep.file.clone(),
                runs: new.len(),
            },
            kept: old.intersection(&new).copied().collect(),
            changed: changes(&pairs, &before.plan, &after.plan),
            added: groups(&only(&new, &old, &replacing), &after.plan, &before.plan),
            dropped: groups(&only(&old, &new, &replaced), &before.plan, &after.plan),
            finished: finished(&after.plan, &after.ledger)?,
            searches: searches(before, after),
        })
    }
}

/// A repetition, whatever its recipe.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RowRepetition {
    row: RowId,
    seed: u64,
    fold: Option<u32>,
}

/// The data sets of the older plan with those that replace them in the newer one.
struct Counterparts<'p>(Vec<(&'p Dataset, &'p Dataset)>);

impl<'p> Counterparts<'p> {
    /// A data set of both plans stays; others of the same name replace each other in their order.
    fn of(before: &'p Plan, after: &'p Plan) -> Counterparts<'p> {
        let old = datasets(before);
        let new = datasets(after);
        let mut replacements: Vec<&Dataset> = new.clone();
        replacements.retain(|dataset| !old.contains(dataset));
        let mut pairs = Vec::with_capacity(old.len());
        for dataset in old {
            if new.contains(&dataset) {
                pairs.push((dataset, dataset));
                continue;
            }
            let name = dataset.name();
            let replacement = replacements.iter().position(|other| other.name() == name);
            if let Some(position) = replacement {
                pairs.push((dataset, replacements.remove(position)));
            }
        }
        Counterparts(pairs)
    }

    /// The row of the newer plan that a member of the older one belongs to.
    fn row(&self, member: &Member) -> Option<RowId> {
        let mut pairs = self.0.iter();
        let (_, dataset) = pairs.find(|(old, _)| **old == member.dataset)?;
        Some(RowId::new(dataset, &member.method, &member.settings))
    }
}

/// The data sets of a plan, each once, in the order of its members.
fn datasets(plan: &Plan) -> Vec<&Dataset> {
    let mut datasets: Vec<&Dataset> = Vec::new();
    for member in &plan.members {
        if !datasets.contains(&&member.dataset) {
            datasets.push(&member.dataset);
        }
    }
    datasets
}

fn repetition(row: RowId, member: &Member) -> RowRepetition {
    RowRepetition {
        row,
        seed: member.seed,
        fold: member.fold.map(|fold| fold.index),
    }
}

/// Runs that replace others; none of them is in both plans.
fn pairs(before: &Plan, after: &Plan) -> BTreeSet<(RunId, RunId)> {
    let counterparts = Counterparts::of(before, after);
    let mut replaced = BTreeMap::new();
    for member in members_without(before, after) {
        if let Some(row) = counterparts.row(member) {
            replaced.insert(repetition(row, member), member.run);
        }
    }
    let mut pairs = BTreeSet::new();
    for member in members_without(after, before) {
        if let Some(&old) = replaced.get(&repetition(member.row(), member)) {
            pairs.insert((old, member.run));
        }
    }
    pairs
}

/// The members of a plan whose runs the other does not have.
fn members_without<'p>(plan: &'p Plan, other: &'p Plan) -> impl Iterator<Item = &'p Member> {
    plan.members.iter().filter(|member| {
        plan.runs.contains_key(&member.run) && !other.runs.contains_key(&member.run)
    })
}

fn changes(pairs: &BTreeSet<(RunId, RunId)>, before: &Plan, after: &Plan) -> Vec<Change> {
    let stored = |plan: &Plan, run: &RunId| difference::stored(&plan.runs[run].identity());
    let pairs: Vec<&(RunId, RunId)> = pairs.iter().collect();
    let compared: Vec<Vec<Difference>> = pairs
        .par_iter()
        .map(|(old, new)| difference::between(&stored(before, old), &stored(after, new)))
        .collect();
    let mut changes: BTreeMap<_, Change> = BTreeMap::new();
    for (&&(old, new), differences) in pairs.iter().zip(compared) {
        for Difference {
            component,
            key,
            left,
            right,
        } in differences
        {
            let values = canonical_json(&(&left, &right));
            let change = changes
                .entry((component, key.clone(), values))
                .or_insert_with(|| Change {
                    key,
                    before: left,
                    after: right,
                    methods: BTreeSet::new(),
                    runs: Vec::new(),
                });
            change.runs.push((old, new));
            change
                .methods
                .extend(after.member_of(new).map(|member| member.method.clone()));
        }
    }
    changes.into_values().collect()
}

/// In what the searches for the same rows differ, ranges included.
fn searches(before: &Opened, after: &Opened) -> Vec<SearchChange> {
    let counterparts = Counterparts::of(&before.plan, &after.plan);
    let mut old: BTreeMap<(RowId, usize), Value> = BTreeMap::new();
    for study in &before.plan.studies {
        let member = &before.plan.members[study.members.start];
        if let Some(row) = counterparts.row(member) {
            old.insert(
                (row, study.repeat.unwrap_or(0)),
                described(study, &before.sweep),
            );
        }
    }
    let mut found: BTreeMap<(String, String), SearchChange> = BTreeMap::new();
    for study in &after.plan.studies {
        let row = after.plan.members[study.members.start].row();
        let key = (row, study.repeat.unwrap_or(0));
        let Some(then) = old.get(&key) else { continue };
        let now = described(study, &after.sweep);
        for Difference {
            key, left, right, ..
        } in difference::between(then, &now)
        {
            let values = canonical_json(&(&left, &right));
            let searched = found
                .entry((key.clone(), values))
                .or_insert_with(|| SearchChange {
                    key,
                    before: left,
                    after: right,
                    rows: BTreeSet::new(),
                });
            searched.rows.insert(after.plan.name_of_study(study));
        }
    }
    found.into_values().collect()
}

/// All that a search depends on, with the keys of the file; those of the method come first.
fn described(study: &Study, sweep: &Sweep) -> Value {
    let method = study.method(sweep);
    let training = &sweep.points[study.point].training;
    let (mut described, training) = as_written(method, training);
    described["training"] = training;
    described["search"] = json!(study.search().settings());
    described
}

/// Runs by the first of their traits that no member of the other plan has.
fn groups(runs: &BTreeSet<RunId>, of: &Plan, other: &Plan) -> Vec<RunGroup> {
    let known: BTreeSet<Trait> = other.members.iter().flat_map(traits).collect();
    let titles = Titles::of(datasets(of).into_iter().chain(datasets(other)));
    let mut groups: Vec<RunGroup> = Vec::new();
    let mut positions: BTreeMap<GroupKey, usize> = BTreeMap::new();
    // In the order of the table; those of searches, which are not in it, last.
    let in_table = of.members.iter().map(|member| member.run);
    let in_table = in_table.filter(|run| runs.contains(run));
    for run in in_table.chain(runs.iter().copied()) {
        let key = group_of(run, of, &known);
        let group = *positions.entry(key.clone()).or_insert_with(|| {
            let dataset = of.member_of(run).map(|member| &member.dataset);
            groups.push(RunGroup {
                by: key.text(dataset.map(|dataset| titles.title(dataset))),
                runs: BTreeSet::new(),
            });
            groups.len() - 1
        });
        groups[group].runs.insert(run);
    }
    groups
}

/// What the runs of a group have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    Trait(Trait),
    Trials,
    Combinations,
}

/// One thing by which repetitions differ.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Trait {
    /// The canonical value of the data set.
    Dataset(String),
    Method(String),
    Setting(Setting),
    Folds(u32),
    Seed(u64),
}

fn group_of(run: RunId, of: &Plan, known: &BTreeSet<Trait>) -> GroupKey {
    if let Some(member) = of.member_of(run) {
        let mut traits = traits(member).into_iter();
        return match traits.find(|own| !known.contains(own)) {
            Some(own) => GroupKey::Trait(own),
            None => GroupKey::Combinations,
        };
    }
    match of.runs.contains_key(&run) {
        true => GroupKey::Trials,
        false => GroupKey::Combinations,
    }
}

fn traits(member: &Member) -> Vec<Trait> {
    let mut traits = vec![
        Trait::Dataset(canonical_json(&member.dataset)),
        Trait::Method(member.method.clone()),
    ];
    traits.extend(member.settings.iter().cloned().map(Trait::Setting));
    traits.extend(member.fold.map(|fold| Trait::Folds(fold.of)));
    traits.push(Trait::Seed(member.seed));
    traits
}

impl GroupKey {
    /// The group in words; `title` is that of its data set.
    fn text(&self, title: Option<&str>) -> String {
        match self {
            GroupKey::Trait(Trait::Dataset(value)) => {
                format!("data set {}", title.unwrap_or(value))
            }
            GroupKey::Trait(Trait::Method(method)) => format!("method {method}"),
            GroupKey::Trait(Trait::Setting(setting)) => setting.to_string(),
            GroupKey::Trait(Trait::Folds(folds)) => format!("{folds} folds"),
            GroupKey::Trait(Trait::Seed(seed)) => format!("seed {seed}"),
            GroupKey::Trials => "trials of searches".to_owned(),
            GroupKey::Combinations => "other combinations".to_owned(),
        }
    }
}

fn finished(plan: &Plan, ledger: &Ledger) -> Result<BTreeSet<RunId>, Exit> {
    let begun: Vec<RunId> = ledger
        .runs()?
        .iter()
        .copied()
        .filter(|run| plan.runs.contains_key(run))
        .collect();
    let states: Vec<_> = begun
        .par_iter()
        .map(|&run| Ok((run, ledger.state(run)?)))
        .collect::<Result<_, Exit>>()?;
    Ok(states
        .into_iter()
        .filter(|(_, state)| matches!(state, RunStage::Recorded(_)))
        .map(|(run, _)| run)
        .collect())
}

/// A key with more values than this is summed up.
const FEW: usize = 6;
/// More methods than this are counted, not named.
const FEW_METHODS: usize = 3;

fn as_text(fate: &Fate) -> Vec<String> {
    let Fate {
        before,
        after,
        changed,
        added,
        dropped,
        ..
    } = fate;
    let replacing = runs_of(changed);
    let added_runs: BTreeSet<RunId> = added
        .iter()
        .flat_map(|group| &group.runs)
        .copied()
        .collect();
    let dropped_runs: usize = dropped.iter().map(|group| group.runs.len()).sum();
    let mut lines = vec![
        format!("{}: {}", before.file.display(), counted(before.runs, "run")),
        format!("{}: {}", after.file.display(), counted(after.runs, "run")),
        String::new(),
        fate.line("kept", &fate.kept),
        fate.line("changed", &replacing),
    ];
    lines.extend(change_lines(changed, replacing.len()));
    lines.push(fate.line("added", &added_runs));
    lines.extend(group_lines(added));
    lines.push(format!("  dropped  {dropped_runs:>6}"));
    lines.extend(group_lines(dropped));
    if !fate.searches.is_empty() {
        lines.push("  searches".to_owned());
        lines.extend(fate.searches.iter().map(search_line));
    }
    lines
}

impl Fate {
    /// The number of runs, and of those that are finished.
    fn line(&self, fate: &str, runs: &BTreeSet<RunId>) -> String {
        let line = format!("  {fate:<7}  {:>6}", runs.len());
        match runs.intersection(&self.finished).count() {
            0 => line,
            finished => format!("{line}, {finished} of them finished already"),
        }
    }
}

/// The runs of the newer sweep that these changes concern.
fn runs_of<'c>(changes: impl IntoIterator<Item = &'c Change>) -> BTreeSet<RunId> {
    let pairs = changes.into_iter().flat_map(|change| &change.runs);
    pairs.map(|(_, new)| *new).collect()
}

fn search_line(searched: &SearchChange) -> String {
    let SearchChange {
        key,
        before,
        after,
        rows,
    } = searched;
    let rows = match rows.len() {
        1..=FEW_METHODS => rows.iter().cloned().collect::<Vec<_>>().join("; "),
        more => format!("{more} rows"),
    };
    format!(
        "             {key}: {} -> {}  ({rows})",
        in_words(before.as_ref()),
        in_words(after.as_ref())
    )
}

fn change_lines(changes: &[Change], all: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for of_key in changes.chunk_by(|a, b| a.key == b.key) {
        if of_key.len() > FEW {
            let first = arrow(&of_key[0]);
            let values = format!("{} different changes, such as {first}", of_key.len());
            lines.push(change_line(&values, of_key, all));
            continue;
        }
        for change in of_key {
            let change = std::slice::from_ref(change);
            lines.push(change_line(&arrow(&change[0]), change, all));
        }
    }
    lines
}

/// A line on changes of one key.
fn change_line(values: &str, changes: &[Change], all: usize) -> String {
    let key = &changes[0].key;
    let runs = runs_of(changes);
    let methods: BTreeSet<&str> = changes
        .iter()
        .flat_map(|change| &change.methods)
        .map(String::as_str)
        .collect();
    let whose = match methods.len() {
        _ if runs.len() == all => String::new(),
        0 => String::new(),
        1..=FEW_METHODS => {
            let methods: Vec<&str> = methods.into_iter().collect();
            format!(" of {}", methods.join("; "))
        }
        more => format!(" of {more} methods"),
    };
    let runs = counted(runs.len(), "run");
    format!("             {key}: {values}  ({runs}{whose})")
}

fn arrow(change: &Change) -> String {
    format!(
        "{} -> {}",
        in_words(change.before.as_ref()),
        in_words(change.after.as_ref())
    )
}

fn group_lines(groups: &[RunGroup]) -> Vec<String> {
    let line = |group: &RunGroup| {
        format!(
            "             {}  ({})",
            group.by,
            counted(group.runs.len(), "run")
        )
    };
    let mut lines: Vec<String> = groups.iter().take(2 * FEW).map(line).collect();
    if let Some(rest) = groups.get(2 * FEW..).filter(|rest| !rest.is_empty()) {
        let runs = rest.iter().map(|group| group.runs.len()).sum();
        lines.push(format!(
            "             {} others  ({})",
            rest.len(),
            counted(runs, "run")
        ));
    }
    lines
}

/// A value as a sweep file has it; hashes cut to what a person compares.
pub(super) fn in_words(value: Option<&Value>) -> String {
    match value {
        None => "not set".to_owned(),
        Some(Value::String(hash)) if is_hash(hash) => format!("{}...", &hash[..12]),
        Some(Value::Object(choice)) if choice.len() == 1 => choice
            .iter()
            .map(|(name, settings)| match settings {
                Value::Object(settings) if settings.is_empty() => name.clone(),
                settings => format!("{name} = {}", in_toml(settings)),
            })
            .collect(),
        Some(value) => in_toml(value),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
