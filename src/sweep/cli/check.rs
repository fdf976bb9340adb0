//! `sweep check`: is the file right, and what does it amount to?

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use clap::Args;
use schema::RunId;
use serde_json::{Value, json};

use super::{
    Exit, Opened, Target, color_on_stderr, counted,
    room::{shortage, shortage_of_memory},
    show, show_json, tell,
};
use crate::{
    config::{Diagnostic, Sweep},
    ledger::JobKind,
    plan::{Member, Plan, forecast, freshness},
};

/// Check a sweep file without running it
///
/// Prints the number of results. Warns about rules of a fair comparison that do not hold, about rows that are the same run,
/// and about what this machine lacks: data sets, weights and devices. With warnings the exit code is 0, because the file is
/// right; `sweep run` refuses to begin without what it needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep check sweeps/omniglot.toml
  sweep check sweeps/omniglot.toml --json | jq '.warnings[].message'
  sweep check sweeps/omniglot.toml --set 'axes.\"model.embedding\"={ range = [64, 512, 64] }'")]
pub(super) struct Check {
    #[command(flatten)]
    target: Target,
    /// Print one JSON object, with all mistakes and warnings
    #[arg(long)]
    json: bool,
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
        let of_machine = of_this_machine(sweep, &self.target.results).into_iter();
        warnings.extend(of_machine.map(|warning| Diagnostic::of_file(&self.target.file, warning)));
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

/// What a run on this machine would refuse, and which rows are the same run.
fn of_this_machine(mut sweep: Sweep, results: &Path) -> Vec<String> {
    // The other seeds and folds need nothing else, but room.
    let times = (sweep.seeds.len() * sweep.folds.len()) as u64;
    sweep.seeds.truncate(1);
    sweep.folds.truncate(1);
    let mut warnings = Vec::new();
    match Opened::here(sweep, results) {
        Ok(opened) => {
            warnings.extend(too_full(&opened, times));
            if opened.sweep.resources.on.is_here() {
                warnings.extend(opened.layout().err().map(|error| error.to_string()));
                let resources = &opened.sweep.resources;
                warnings.extend(shortage_of_memory(&opened.machine, resources));
            }
            let plan = &opened.plan;
            warnings.extend(plan.missing.iter().chain(&plan.recalled).cloned());
            warnings.extend(same_runs(plan));
        }
        Err(exit) => warnings.push(exit.reason()),
    }
    warnings
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
    let is_trained = |member: &&Member| {
        let run = plan.runs.get(&member.run);
        run.is_none_or(|run| run.identity.recipe.training.is_some())
    };
    let mut first_of: BTreeMap<RunId, &Member> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let mut pairs = Vec::new();
    for member in plan.members.iter().filter(is_trained) {
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
        of_this_machine(sweep, &folder.path().join("results"))
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
