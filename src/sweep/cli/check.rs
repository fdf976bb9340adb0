//! `sweep check`: is the file right, and what does it amount to?

use clap::Args;

use super::{Exit, Target, counted, show};
use crate::spec::Sweep;

/// Checks a sweep file without running, reading data or writing anything.
#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    target: Target,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let sweep = self.target.read()?;
        show(&format!("{}: in order\n{}\n", self.target.file.display(), arithmetic(&sweep)))
    }
}

/// How the members of the table come about: `4 methods x 2 seeds on Omniglot = 8 cells' runs`.
pub(super) fn arithmetic(sweep: &Sweep) -> String {
    let methods = sweep.points.first().map_or(0, |point| point.methods.len());
    let mut factors = vec![counted(methods, "method"), counted(sweep.seeds.len(), "seed")];
    if sweep.folds.len() > 1 {
        factors.push(counted(sweep.folds.len(), "fold"));
    }
    if sweep.points.len() > 1 {
        factors.push(format!("{} ({})", counted(sweep.points.len(), "setting"), sweep.axes.join(" x ")));
    }
    let total = methods * sweep.seeds.len() * sweep.folds.len() * sweep.points.len();
    format!("{} = {}", factors.join(" x "), counted(total, "result"))
}
