//! `sweep merge`: one results folder from several.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, counted, folder::folder, scope::refuse_workers, show, tell};
use crate::ledger::{Conflict, Counts, Ledger, Locking, Merged};

/// Join results folders
///
/// Takes over the runs, ensembles, prepared data sets, searches and journals that the other folders have and this one
/// lacks, after their checksums were compared. Each run is taken from the folder where it is furthest: measured, trained, begun. Where
/// two folders have different results of the same run, this one keeps its own, and the exit code is 1. The other folders
/// stay as they are. A merge that was interrupted is repeated with the same command.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep merge results-of-anna /backup/results --into results")]
pub(super) struct Merge {
    /// The results folders to take from
    #[arg(required = true, value_name = "RESULTS", value_parser = folder())]
    from: Vec<PathBuf>,
    /// The results folder to put them into; it need not exist
    #[arg(long, value_name = "RESULTS", value_parser = folder())]
    into: PathBuf,
    /// Work in a results folder whose file system has no locks; no other `sweep` may use the folder
    #[arg(long)]
    no_lock: bool,
}

impl Merge {
    pub(super) fn run(&self) -> Result<(), Exit> {
        for from in &self.from {
            self.check(from)?;
        }
        let into = Ledger::new(&self.into);
        let _lock = into.lock(Locking::of(self.no_lock))?;
        refuse_workers(&into)?;
        let mut conflicts = 0;
        for from in &self.from {
            let other = Ledger::new(from);
            refuse_workers(&other)?;
            let merged = into.merge(&other)?;
            for damage in other.damage() {
                tell(&format!("warning: {damage}; it is not taken"));
            }
            conflicts += merged.conflicts.len();
            show(&text(&other, &into, &merged))?;
        }
        match conflicts {
            0 => Ok(()),
            _ => Err(Exit::mistake(format!(
                "{} different in the folders; `{}` keeps its own",
                match conflicts {
                    1 => "1 result is".to_owned(),
                    count => format!("{count} results are"),
                },
                self.into.display()
            ))),
        }
    }

    /// Fails if a folder has nothing to take, or somebody works in it.
    fn check(&self, from: &Path) -> Result<(), Exit> {
        let folder = from.display();
        if !from.is_dir() {
            return Err(Exit::mistake(format!("there is no folder `{folder}`")));
        }
        if !Ledger::new(from).has_begun() {
            return Err(Exit::mistake(format!("`{folder}` is no results folder")));
        }
        let is_same = self.into.canonicalize().ok() == from.canonicalize().ok();
        if is_same {
            return Err(Exit::mistake(format!(
                "`{folder}` is the folder to put results into; name others to take from"
            )));
        }
        match Ledger::new(from).orchestrator()? {
            Some((_, holder)) => Err(Exit::Locked(format!(
                "another `sweep` ({}) is running in `{folder}`; wait for it, or stop it",
                holder.name
            ))),
            None => Ok(()),
        }
    }
}

fn text(from: &Ledger, into: &Ledger, merged: &Merged) -> String {
    let mut lines = vec![
        format!("{} -> {}", from.root().display(), into.root().display()),
        format!("  taken     {}", in_words(&merged.taken)),
        format!("  there     {}", in_words(&merged.there)),
    ];
    let conflicts = merged.conflicts.iter();
    lines.extend(conflicts.map(|conflict| format!("  different {}", named(*conflict))));
    let sweeps = merged.other_sweeps.iter();
    lines.extend(sweeps.map(|name| {
        format!(
            "  kept      the copy of the sweep `{name}` as it was last run here; the other differs"
        )
    }));
    lines.join("\n") + "\n"
}

fn in_words(counts: &Counts) -> String {
    let searches = match counts.studies {
        1 => "1 search".to_owned(),
        count => format!("{count} searches"),
    };
    [
        counted(counts.runs, "run"),
        counted(counts.ensembles, "ensemble"),
        counted(counts.data, "prepared data set"),
        searches,
        counted(counts.files, "other file"),
    ]
    .join(", ")
}

fn named(conflict: Conflict) -> String {
    match conflict {
        Conflict::Run(run) => format!("run {run}: another training, or other scores"),
        Conflict::Ensemble(ensemble) => format!("ensemble {ensemble}: other scores"),
        Conflict::Study(study) => format!("search {study}: other trials"),
    }
}
