//! `sweep check`: is the file right, and what does it amount to?

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use clap::Args;
use schema::{CompareWork, ObjectiveSample, RunId};
use serde_json::{Value, json};

use super::{
    Exit, Opened, Target, color_on_stderr, counted, foreground,
    room::{shortage, shortage_of_memory},
    show, show_json, tell,
};
use crate::{
    config::{Diagnostic, Sweep},
    ledger::JobKind,
    plan::{Member, Plan, SameFunction, forecast, freshness},
    run::trainer::Trainer,
};

/// Check a sweep file without running it
///
/// Prints the number of results. Warns about rules of a fair comparison that do not hold, about rows that are the same run,
/// and about what this machine lacks: data sets, weights and devices. With --deep, also about rows that are the same
/// function under two names. With warnings the exit code is 0, because the file is right; `sweep run` refuses to begin
/// without what it needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep check sweeps/omniglot.toml
  sweep check sweeps/omniglot.toml --deep
  sweep check sweeps/omniglot.toml --json | jq '.warnings[].message'
  sweep check sweeps/omniglot.toml --set 'axes.\"model.embedding\"={ range = [64, 512, 64] }'")]
pub(super) struct Check {
    #[command(flatten)]
    target: Target,
    /// Compute all losses on fixed batches, at the settings of their rows, and warn about rows that have the same value and
    /// gradient; rows with searched values have no settings yet
    #[arg(long)]
    deep: bool,
    /// Print one JSON object, with all mistakes and warnings
    #[arg(long)]
    json: bool,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true, requires = "deep")]
    trainer: Option<PathBuf>,
}

/// The version of the JSON object.
const VERSION: u32 = 1;

impl Check {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let read = self.target.read();
        if let (true, Err(Exit::Diagnosed(mistakes))) = (self.json, &read) {
            show_json(&json!({ "version": VERSION, "mistakes": mistakes.as_json() }))?;
        }
        let sweep = read?;
        let mut lines = vec![format!("OK: {}", arithmetic(&sweep))];
        lines.extend(sweep.refinements.iter().cloned());
        let open = sweep.fairness.open().map(|violation| &violation.shown);
        let mut warnings: Vec<Diagnostic> = open.chain(&sweep.fairness.unneeded).cloned().collect();
        let repetitions = (sweep.seeds.len() * sweep.folds.len()) as u64;
        let opened = Opened::here(once(sweep), &self.target.results);
        let mut of_machine = of_this_machine(&opened, repetitions);
        if let (true, Ok(opened)) = (self.deep, &opened) {
            let compared = Comparison::of(opened, self.trainer.as_deref())?;
            lines.push(compared.summary());
            of_machine.extend(compared.same);
        }
        let of_file = |warning| Diagnostic::of_file(&self.target.file, warning);
        warnings.extend(of_machine.into_iter().map(of_file));
        if self.json {
            let warnings: Vec<Value> = warnings.iter().flat_map(Diagnostic::as_json).collect();
            return show_json(&json!({
                "version": VERSION,
                "mistakes": [],
                "warnings": warnings,
                "summary": lines,
            }));
        }
        show(&(lines.join("\n") + "\n"))?;
        for warning in warnings {
            tell(&warning.warning(color_on_stderr()));
        }
        Ok(())
    }
}

/// The sweep with one seed and one fold: the others need nothing else, but room.
fn once(mut sweep: Sweep) -> Sweep {
    sweep.seeds.truncate(1);
    sweep.folds.truncate(1);
    sweep
}

/// What a run on this machine would refuse, and which rows are the same run.
fn of_this_machine(opened: &Result<Opened, Exit>, repetitions: u64) -> Vec<String> {
    let opened = match opened {
        Ok(opened) => opened,
        Err(exit) => return vec![exit.reason()],
    };
    let mut warnings = Vec::new();
    warnings.extend(too_full(opened, repetitions));
    if opened.sweep.resources.on.is_here() {
        warnings.extend(opened.layout().err().map(|error| error.to_string()));
        let resources = &opened.sweep.resources;
        warnings.extend(shortage_of_memory(&opened.machine, resources));
    }
    let plan = &opened.plan;
    warnings.extend(plan.missing.iter().chain(&plan.recalled).cloned());
    warnings.extend(same_runs(plan));
    warnings
}

/// What the losses of all rows are on fixed batches.
struct Comparison {
    /// How many rows were compared.
    rows: usize,
    /// How many have searched values, or losses that depend on more than a batch and a memory.
    others: usize,
    /// Rows that are the same function.
    same: Vec<String>,
}

impl Comparison {
    fn of(opened: &Opened, trainer: Option<&Path>) -> Result<Comparison, Exit> {
        let plan = &opened.plan;
        let members = plan.first_of_rows();
        let runs: BTreeSet<RunId> = members.iter().map(|member| member.run).collect();
        let folder = tempfile::tempdir().map_err(Exit::stuck)?;
        for (file, content) in &opened.sweep.scripts {
            let path = folder.path().join(file.file_name());
            durable::write(&path, content).map_err(Exit::stuck)?;
        }
        let recipe = |run: &RunId| plan.runs[run].recipe();
        let work = CompareWork {
            recipes: runs.iter().map(recipe).collect(),
            scripts: Some(folder.path().to_owned()),
        };
        let trainer = Trainer::find(trainer)?;
        let compared = foreground::attempt(&trainer, work, foreground::all_cores(), None)?;
        let samples = runs.into_iter().zip(compared.samples);
        let samples: BTreeMap<RunId, ObjectiveSample> = samples
            .filter_map(|(run, sample)| Some((run, sample?)))
            .collect();
        let same = plan.same_functions(&samples).into_iter();
        let same = same.filter_map(SameFunction::of_different_runs);
        let is_compared = |member: &&&Member| samples.contains_key(&member.run);
        let rows = members.iter().filter(is_compared).count();
        Ok(Comparison {
            rows,
            others: trained_rows(plan) - rows,
            same: same.map(|rows| rows.in_words(plan)).collect(),
        })
    }

    /// `compared on fixed batches: 4 rows`, and how many rows were not compared.
    fn summary(&self) -> String {
        let compared = format!("compared on fixed batches: {}", counted(self.rows, "row"));
        match self.others {
            0 => compared,
            others => format!(
                "{compared}; not compared: {others}, with searched values, surveys or several heads"
            ),
        }
    }
}

/// The number of rows that something is trained for.
fn trained_rows(plan: &Plan) -> usize {
    let members = plan
        .members
        .iter()
        .filter(|member| is_trained(plan, member));
    members.map(Member::row).collect::<BTreeSet<_>>().len()
}

/// False if it is known that nothing is trained for a member.
fn is_trained(plan: &Plan, member: &Member) -> bool {
    let run = plan.runs.get(&member.run);
    run.is_none_or(|run| run.unseeded.recipe.training.is_some())
}

/// Warns if the disk has less room than the sweep takes with this number of repetitions of each training.
fn too_full(opened: &Opened, times: u64) -> Option<String> {
    let (plan, ledger) = (&opened.plan, &opened.ledger);
    let freshness = freshness::of(plan, ledger, &opened.sweep.report).ok()?;
    let forecast = forecast::of(plan, &freshness, ledger, &opened.sweep.data_root).ok()?;
    let bytes = forecast.kinds.iter().map(|(kind, expected)| match kind {
        JobKind::Train => expected.bytes.saturating_mul(times),
        JobKind::Prepare | JobKind::Evaluate | JobKind::Ensemble => expected.bytes,
    });
    shortage(ledger.root(), bytes.sum())
}

/// Pairs of rows that are the same run under two titles. Untrained rows that an axis repeats are
/// meant to be the same.
fn same_runs(plan: &Plan) -> Vec<String> {
    let mut first_of: BTreeMap<RunId, &Member> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut pairs = Vec::new();
    let members = plan.members.iter();
    for member in members.filter(|member| is_trained(plan, member)) {
        let first = *first_of.entry(member.run).or_insert(member);
        let rows = (first.row(), member.row());
        if rows.0 != rows.1 && told.insert(rows) {
            pairs.push(format!(
                "two rows are the same run: {}, and {}",
                plan.name_of_row(first),
                plan.name_of_row(member)
            ));
        }
    }
    if let Some(more @ 1..) = pairs.len().checked_sub(FEW) {
        pairs.truncate(FEW);
        pairs.push(format!("and {more} more pairs of rows are the same run"));
    }
    pairs
}

/// Of more pairs than this, the rest is counted.
const FEW: usize = 5;

/// How the members of the table come about: `4 methods x 2 seeds on Omniglot = 8 cells' runs`.
pub(super) fn arithmetic(sweep: &Sweep) -> String {
    let names = sweep
        .points
        .iter()
        .flat_map(|point| &point.methods)
        .map(|method| &method.table.name);
    let (lines, methods) = (names.clone().count(), names.collect::<BTreeSet<_>>().len());
    let mut factors = vec![
        counted(methods, "method"),
        counted(sweep.seeds.len(), "seed"),
    ];
    if sweep.folds.len() > 1 {
        factors.push(counted(sweep.folds.len(), "fold"));
    }
    if lines == methods * sweep.points.len() {
        if sweep.points.len() > 1 {
            factors.push(format!(
                "{} ({})",
                counted(sweep.points.len(), "setting"),
                sweep.axes.join(" x ")
            ));
        }
    } else {
        // Not every method is in every setting.
        factors[0] = format!(
            "{} of {} ({})",
            counted(lines, "line"),
            counted(methods, "method"),
            sweep.axes.join(" x ")
        );
    }
    let of_line = sweep.seeds.len() * sweep.folds.len();
    let further = further_searches(sweep) * of_line;
    let added = match further {
        0 => String::new(),
        _ => format!(" + {further} of repeated searches"),
    };
    format!(
        "{}{added} = {}{}",
        factors.join(" x "),
        counted(lines * of_line + further, "result"),
        tuning(sweep)
    )
}

/// The number of searches that repeat another.
fn further_searches(sweep: &Sweep) -> usize {
    let methods = sweep.points.iter().flat_map(|point| &point.methods);
    methods.map(|method| method.repeats().count() - 1).sum()
}

/// How many trainings the searches take at most: `; 3 searches, 4 trials x 2 folds each = 24 tuning runs`.
fn tuning(sweep: &Sweep) -> String {
    let methods = sweep.points.iter().flat_map(|point| &point.methods);
    let searched = methods.filter_map(|method| Some((method, method.search.as_deref()?)));
    let trials: Vec<usize> = searched
        .flat_map(|(method, search)| method.repeats().map(|_| search.trials()))
        .collect();
    let Some((fewest, most)) = trials.iter().min().zip(trials.iter().max()) else {
        return String::new();
    };
    let each = if fewest == most {
        counted(*most, "trial")
    } else {
        format!("{fewest} to {most} trials")
    };
    let (searches, folds) = (trials.len(), sweep.folds.len());
    let runs = trials.iter().sum::<usize>() * folds;
    let searches = if searches == 1 {
        "1 search".to_owned()
    } else {
        format!("{searches} searches")
    };
    format!(
        "; {searches} of {each} x {folds} folds = {}",
        counted(runs, "tuning run")
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SMALL: &str = r#"
[sweep]
name = "small"
[data]
dataset.glyphs = { classes = 8, test_classes = 4 }
[model]
backbone = "conv4"
[training]
steps = 3
sampler.m_per_class = { batch = 8 }
optimizer.adam = {}
[resources]
device = "cpu"
[[method]]
name = "A"
loss.triplet = { margin = 0.05 }
[[method]]
name = "Pixels"
baseline = "pixels"
"#;

    fn warnings(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("small.toml");
        fs::write(&file, text).unwrap();
        let sweep = Sweep::read(&file, &[]).unwrap();
        let opened = Opened::here(once(sweep), &folder.path().join("results"));
        of_this_machine(&opened, 1)
    }

    #[test]
    fn the_runs_of_repeated_searches_are_counted() {
        let search = "folds = 2\n[search]\nstrategy = \"random\"\ntrials = 4\nrepeats = 3\n[data]";
        let text = SMALL.replace("[data]", search);
        let text = text.replace("margin = 0.05", "margin = { uniform = [0, 1] }");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("small.toml");
        fs::write(&file, text).unwrap();
        assert_eq!(
            arithmetic(&Sweep::read(&file, &[]).unwrap()),
            "2 methods x 1 seed x 2 folds + 4 of repeated searches = 8 results; \
             3 searches of 4 trials x 2 folds = 24 tuning runs"
        );
    }

    #[test]
    fn rows_that_are_the_same_run_are_told() {
        assert_eq!(warnings(SMALL), Vec::<String>::new());
        let twice = format!("{SMALL}[[method]]\nname = \"B\"\nloss.triplet = {{}}\n");
        let told = warnings(&twice);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("the same run: A, and B"), "{told:?}");
        // A default that is written and one that is not.
        let axis = "\"training.optimizer\" = [{ adam = {} }, { adam = { lr = 1e-3 } }]";
        let told = warnings(&format!("{SMALL}[axes]\n{axis}\n"));
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[test]
    fn what_this_machine_lacks_is_told() {
        let memory = SMALL.replace("[resources]", "[resources]\nneeds.ram = \"900000 GB\"");
        assert!(
            warnings(&memory)[0].contains("a run needs 900.0 TB"),
            "{:?}",
            warnings(&memory)
        );
        let data = SMALL.replace(
            "dataset.glyphs = { classes = 8, test_classes = 4 }",
            "dataset = \"cub200\"",
        );
        assert!(
            warnings(&data)[0].contains("`cub200` is not in"),
            "{:?}",
            warnings(&data)
        );
        let weights = SMALL
            .replace(
                "backbone = \"conv4\"",
                "backbone.resnet18 = { weights = \"none\" }",
            )
            .replace("[model]", "color = \"rgb\"\nimage_size = 64\n[model]");
        assert!(warnings(&weights)[0].contains("no weights `none`"));
    }
}
