//! `sweep check`: is the file right, and what does it amount to?

use std::collections::BTreeSet;

use clap::Args;

use super::{Exit, Target, color_on_stderr, counted, show, tell};
use crate::config::Sweep;

/// Check a sweep file without running it
///
/// Prints the number of results, and warns about rules of a fair comparison that do not hold. Reads no data and writes
/// nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep check sweeps/omniglot.toml
  sweep check sweeps/omniglot.toml --set 'axes.\"model.embedding\"={ range = [64, 512, 64] }'")]
pub(super) struct Check {
    #[command(flatten)]
    target: Target,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let sweep = self.target.read()?;
        let mut lines = vec![
            format!("{}: ok", self.target.file.display()),
            arithmetic(&sweep),
        ];
        lines.extend(sweep.refinements.iter().cloned());
        show(&(lines.join("\n") + "\n"))?;
        let open = sweep.fairness.open().map(|violation| &violation.shown);
        open.chain(&sweep.fairness.unneeded)
            .for_each(|warning| tell(&warning.warning(color_on_stderr())));
        Ok(())
    }
}

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
    let total = lines * sweep.seeds.len() * sweep.folds.len();
    format!(
        "{} = {}{}",
        factors.join(" x "),
        counted(total, "result"),
        tuning(sweep)
    )
}

/// How many trainings the searches take at most: `; 3 searches, 4 trials x 2 folds each = 24 tuning runs`.
fn tuning(sweep: &Sweep) -> String {
    let methods = sweep.points.iter().flat_map(|point| &point.methods);
    let trials: Vec<usize> = methods
        .filter_map(|method| Some(method.search.as_deref()?.trials()))
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
