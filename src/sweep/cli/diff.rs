//! `sweep diff`: what a change of a sweep file means for its runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use rayon::prelude::*;
use schema::RunId;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, Opened, counted, show, show::in_toml, show_json, studies};
use crate::{
    config::{Sweep, as_written},
    ledger::{Ledger, RunState},
    plan::{
        Member, Plan, Study,
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
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// Print one JSON object, with the id of each run
    #[arg(long)]
    json: bool,
}

/// What becomes of the runs.
#[derive(Debug, Serialize)]
struct Fate {
    version: u32,
    before: Side,
    after: Side,
    /// Runs of both.
    kept: BTreeSet<RunId>,
    /// Repetitions of the same method, setting, seed and fold with another recipe, by key.
    changed: Vec<Change>,
    /// Runs of the newer sweep that stand for nothing in the older one.
    added: Vec<Group>,
    /// Runs of the older sweep that nothing in the newer one stands for.
    dropped: Vec<Group>,
    /// Runs of the newer sweep that are finished already.
    finished: BTreeSet<RunId>,
    /// What rows of both search otherwise, by key.
    searches: Vec<Searched>,
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
struct Searched {
    key: String,
    before: Option<Value>,
    after: Option<Value>,
    /// The rows whose searches they are.
    rows: BTreeSet<String>,
}

/// Runs that are only in one of the two, by what sets them apart.
#[derive(Debug, Serialize)]
struct Group {
    by: String,
    runs: BTreeSet<RunId>,
}

impl Diff {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let after = self.b.as_ref().unwrap_or(&self.a);
        let after = Opened::new(Sweep::read(after, &self.overrides)?, &self.results)?;
        let before = match self.b {
            Some(_) => self.a.clone(),
            None => last_run(&after.ledger, &after.sweep)?,
        };
        let before = Opened::new(Sweep::read(&before, &[])?, &self.results)?;
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

/// What a repetition is called, whatever its recipe.
type Label<'p> = (&'p str, &'p str, &'p [(String, String)], u64, Option<u32>);

fn label(member: &Member) -> Label<'_> {
    let Member {
        dataset,
        method,
        settings,
        seed,
        fold,
        ..
    } = member;
    (
        dataset,
        method,
        settings,
        *seed,
        fold.map(|fold| fold.index),
    )
}

/// Runs that have taken the place of others, of which neither is in both plans.
fn pairs(before: &Plan, after: &Plan) -> BTreeSet<(RunId, RunId)> {
    let lost = |member: &&Member| {
        !after.runs.contains_key(&member.run) && before.runs.contains_key(&member.run)
    };
    let old: BTreeMap<Label<'_>, RunId> = before
        .members
        .iter()
        .filter(lost)
        .map(|member| (label(member), member.run))
        .collect();
    let won = |member: &&Member| {
        !before.runs.contains_key(&member.run) && after.runs.contains_key(&member.run)
    };
    let pair = |member: &Member| Some((*old.get(&label(member))?, member.run));
    after.members.iter().filter(won).filter_map(pair).collect()
}

fn changes(pairs: &BTreeSet<(RunId, RunId)>, before: &Plan, after: &Plan) -> Vec<Change> {
    let stored = |plan: &Plan, run: &RunId| difference::stored(&plan.runs[run].identity);
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
            let place = (
                component,
                key.clone(),
                in_words(left.as_ref()),
                in_words(right.as_ref()),
            );
            let change = changes.entry(place).or_insert_with(|| Change {
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
fn searches(before: &Opened, after: &Opened) -> Vec<Searched> {
    let described = |opened: &Opened| -> BTreeMap<String, Value> {
        let studies = opened.plan.studies.iter();
        studies
            .map(|study| {
                (
                    studies::row(study, &opened.plan),
                    described(study, &opened.sweep),
                )
            })
            .collect()
    };
    let (old, new) = (described(before), described(after));
    let mut found: BTreeMap<_, Searched> = BTreeMap::new();
    for (row, now) in &new {
        let Some(then) = old.get(row) else { continue };
        for Difference {
            key, left, right, ..
        } in difference::between(then, now)
        {
            let key = key.trim_start_matches("method.").to_owned();
            let place = (
                key.clone(),
                in_words(left.as_ref()),
                in_words(right.as_ref()),
            );
            let searched = || Searched {
                key,
                before: left,
                after: right,
                rows: BTreeSet::new(),
            };
            found
                .entry(place)
                .or_insert_with(searched)
                .rows
                .insert(row.clone());
        }
    }
    found.into_values().collect()
}

/// All that a search depends on, in the words of the file.
fn described(study: &Study, sweep: &Sweep) -> Value {
    let (method, training) = as_written(study.method(sweep), &sweep.points[study.point].training);
    json!({ "method": method, "training": training, "search": study.search(sweep).settings() })
}

/// Runs by the first thing about them that the other plan does not have.
fn groups(runs: &BTreeSet<RunId>, of: &Plan, other: &Plan) -> Vec<Group> {
    let known: BTreeSet<String> = other.members.iter().flat_map(traits).collect();
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    // In the order of the table; those of searches, which are not in it, last.
    let in_table = of
        .members
        .iter()
        .map(|member| member.run)
        .filter(|run| runs.contains(run));
    for run in in_table.chain(runs.iter().copied()) {
        let own = of
            .member_of(run)
            .and_then(|member| traits(member).into_iter().find(|it| !known.contains(it)));
        let is_trial = of
            .runs
            .get(&run)
            .is_some_and(|planned| planned.member.is_none());
        let other = if is_trial {
            "trials of searches"
        } else {
            "other combinations"
        };
        let by = own.unwrap_or_else(|| other.to_owned());
        let place = *places.entry(by.clone()).or_insert_with(|| {
            groups.push(Group {
                by,
                runs: BTreeSet::new(),
            });
            groups.len() - 1
        });
        groups[place].runs.insert(run);
    }
    groups
}

/// All that a repetition is told apart by.
fn traits(member: &Member) -> Vec<String> {
    let mut traits = vec![
        format!("data set {}", member.dataset),
        format!("method {}", member.method),
    ];
    traits.extend(
        member
            .settings
            .iter()
            .map(|(axis, value)| format!("{axis} = {value}")),
    );
    traits.extend(member.fold.map(|fold| format!("{} folds", fold.of)));
    traits.push(format!("seed {}", member.seed));
    traits
}

fn finished(plan: &Plan, ledger: &Ledger) -> Result<BTreeSet<RunId>, Exit> {
    let begun: Vec<RunId> = ledger
        .runs()?
        .into_iter()
        .filter(|run| plan.runs.contains_key(run))
        .collect();
    let states: Vec<_> = begun
        .par_iter()
        .map(|&run| Ok((run, ledger.state(run)?)))
        .collect::<Result<_, Exit>>()?;
    Ok(states
        .into_iter()
        .filter(|(_, state)| matches!(state, RunState::Recorded(_)))
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
        kept,
        changed,
        added,
        dropped,
        finished,
        ..
    } = fate;
    let changed_runs: BTreeSet<RunId> = changed
        .iter()
        .flat_map(|change| &change.runs)
        .map(|(_, new)| *new)
        .collect();
    let count = |groups: &[Group]| groups.iter().map(|group| group.runs.len()).sum::<usize>();
    let there = |runs: &mut dyn Iterator<Item = &RunId>| match runs
        .filter(|run| finished.contains(run))
        .count()
    {
        0 => String::new(),
        finished => format!(", {finished} of them finished already"),
    };
    let mut lines = vec![
        format!("{}: {}", before.file.display(), counted(before.runs, "run")),
        format!("{}: {}", after.file.display(), counted(after.runs, "run")),
        String::new(),
        format!("  kept     {:>6}{}", kept.len(), there(&mut kept.iter())),
        format!(
            "  changed  {:>6}{}",
            changed_runs.len(),
            there(&mut changed_runs.iter())
        ),
    ];
    lines.extend(change_lines(changed, changed_runs.len()));
    let mut added_runs = added.iter().flat_map(|group| &group.runs);
    lines.push(format!(
        "  added    {:>6}{}",
        count(added),
        there(&mut added_runs)
    ));
    lines.extend(group_lines(added));
    lines.push(format!("  dropped  {:>6}", count(dropped)));
    lines.extend(group_lines(dropped));
    if !fate.searches.is_empty() {
        lines.push("  searches".to_owned());
        lines.extend(fate.searches.iter().map(search_line));
    }
    lines
}

fn search_line(searched: &Searched) -> String {
    let Searched {
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
    let mut of_keys: Vec<(&str, Vec<&Change>)> = Vec::new();
    for change in changes {
        match of_keys.last_mut().filter(|(key, _)| *key == change.key) {
            Some((_, changes)) => changes.push(change),
            None => of_keys.push((&change.key, vec![change])),
        }
    }
    let line = |key: &str, values: &str, changes: &[&Change]| {
        let runs: BTreeSet<RunId> = changes
            .iter()
            .flat_map(|change| &change.runs)
            .map(|(_, new)| *new)
            .collect();
        let methods: BTreeSet<&str> = changes
            .iter()
            .flat_map(|change| &change.methods)
            .map(String::as_str)
            .collect();
        let whose = match methods.len() {
            _ if runs.len() == all => String::new(),
            0 => String::new(),
            1..=FEW_METHODS => {
                format!(" of {}", methods.into_iter().collect::<Vec<_>>().join("; "))
            }
            more => format!(" of {more} methods"),
        };
        format!(
            "             {key}: {values}  ({}{whose})",
            counted(runs.len(), "run")
        )
    };
    let of_key = |(key, changes): (&str, Vec<&Change>)| match changes.len() {
        0..=FEW => changes
            .iter()
            .map(|change| line(key, &arrow(change), &[change]))
            .collect(),
        many => vec![line(
            key,
            &format!("{many} different changes, such as {}", arrow(changes[0])),
            &changes,
        )],
    };
    of_keys.into_iter().flat_map(of_key).collect()
}

fn arrow(change: &Change) -> String {
    format!(
        "{} -> {}",
        in_words(change.before.as_ref()),
        in_words(change.after.as_ref())
    )
}

fn group_lines(groups: &[Group]) -> Vec<String> {
    let line = |group: &Group| {
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
