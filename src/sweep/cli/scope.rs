//! The results that a command of upkeep works on: a whole results folder, or those of one sweep.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Opened, folder::folder};
use crate::{
    config::Sweep,
    ledger::{Ledger, Scope},
    shell::CommandLine,
};

/// A results folder, or a sweep file.
#[derive(Debug, Args)]
pub(super) struct ScopeArgs {
    /// A results folder, or a sweep file for its results alone [default: all of the results folder]
    #[arg(value_name = "FOLDER|FILE")]
    what: Option<PathBuf>,
    /// Override a value of the sweep file, as for `sweep run`
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "what")]
    overrides: Vec<String>,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
}

/// Fails if workers of a batch system are at work in a results folder: they do not hold its lock.
pub(super) fn refuse_workers(ledger: &Ledger) -> Result<(), Exit> {
    let at_work = ledger.workers()?;
    let Some(worker) = at_work.iter().find_map(|session| session.worker.as_ref()) else {
        return Ok(());
    };
    let others = match at_work.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    Err(Exit::Locked(format!(
        "workers are at work in `{}`: {worker}{others}; wait for them, or cancel their jobs",
        ledger.root().display()
    )))
}

impl ScopeArgs {
    /// Returns the results folder, and which part of it is meant if not all.
    pub(super) fn find(&self) -> Result<(Ledger, Option<Scope>), Exit> {
        let folder = match &self.what {
            Some(file) if file.is_file() => {
                let opened =
                    Opened::of_results(Sweep::read(file, &self.overrides)?, &self.results)?;
                opened.require_ids()?;
                let scope = opened.plan.scope();
                return Ok((opened.ledger.anew(), Some(scope)));
            }
            Some(folder) => folder,
            None => &self.results,
        };
        let ledger = Ledger::new(folder);
        if ledger.has_begun() {
            return Ok((ledger, None));
        }
        let folder = folder.display();
        Err(Exit::mistake(match self.what {
            Some(_) => format!("`{folder}` is neither a results folder nor a sweep file"),
            None => format!("there are no results in `{folder}`; name their folder with --results"),
        }))
    }

    /// Returns another command on the same results, as a shell takes it.
    pub(super) fn command(&self, words: &str) -> CommandLine {
        let command = CommandLine::new(words);
        match &self.what {
            Some(folder) if folder.is_dir() => command.path(folder),
            Some(file) => command.path(file).overrides(&self.overrides).folder(
                "--results",
                "results",
                &self.results,
            ),
            None => command.folder("--results", "results", &self.results),
        }
    }
}
