//! `sweep gc`: what a results folder can do without, and its removal.

use std::collections::BTreeMap;

use clap::Args;

use super::{
    Exit, counted,
    room::size,
    scope::{ScopeArgs, refuse_workers},
    show,
};
use crate::{
    ledger::{FoundFile, Ledger, Locking, Spare},
    shell::CommandLine,
};

/// Make room in a results folder
///
/// Lists files that no report needs, of a results folder or of one sweep, with their sizes and what is lost without
/// them. Nothing is removed without --delete. The embeddings and networks of measured runs and the images of prepared
/// data sets are kept unless --also names them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep gc
  sweep gc --delete
  sweep gc sweeps/omniglot.toml                 what the runs of this sweep can do without
  sweep gc --also networks --delete")]
pub(super) struct Gc {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Remove these files too: they are costly to get back
    #[arg(long, value_name = "KIND")]
    also: Vec<Spare>,
    /// Remove the files
    #[arg(long)]
    delete: bool,
    /// Work in a results folder whose file system has no locks; no other `sweep` may use the folder
    #[arg(long)]
    no_lock: bool,
}

impl Gc {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let (ledger, of_sweep) = self.scope.find()?;
        // Whatever a running sweep writes is not spare.
        let _lock = match self.delete {
            true => Some(ledger.lock(Locking::of(self.no_lock))?),
            false => None,
        };
        if self.delete {
            refuse_workers(&ledger)?;
        }
        let spare = ledger.spare(of_sweep.as_ref())?;
        let (freed, kept): (BTreeMap<_, _>, BTreeMap<_, _>) = spare
            .into_iter()
            .partition(|(why, _)| !why.is_costly() || self.also.contains(why));
        if self.delete {
            for files in freed.values() {
                ledger.remove_files(files)?;
            }
        }
        show(&self.text(&ledger, &freed, &kept))
    }

    fn text(
        &self,
        ledger: &Ledger,
        freed: &BTreeMap<Spare, Vec<FoundFile>>,
        kept: &BTreeMap<Spare, Vec<FoundFile>>,
    ) -> String {
        let total = size(bytes(freed.values().flatten()));
        let folder = ledger.root().display();
        let mut lines = match (freed.is_empty(), self.delete) {
            (true, _) => vec![format!("{folder}: nothing to remove")],
            (false, true) => vec![format!("{folder}: removed {total}")],
            (false, false) => vec![format!("{folder}: {total} can be removed")],
        };
        lines.extend(freed.iter().map(line));
        if !kept.is_empty() {
            lines.push("kept, unless --also names them:".to_owned());
            lines.extend(kept.iter().map(line));
        }
        if !freed.is_empty() && !self.delete {
            lines.push(format!("`{}` removes them", self.deletion()));
        }
        lines.join("\n") + "\n"
    }

    /// Returns the command that removes what was listed.
    fn deletion(&self) -> CommandLine {
        let command = self.scope.command("sweep gc");
        let also = self
            .also
            .iter()
            .filter_map(clap::ValueEnum::to_possible_value);
        let command = also.fold(command, |command, kind| {
            command.option("--also", kind.get_name())
        });
        command.plain("--delete")
    }
}

fn line((why, files): (&Spare, &Vec<FoundFile>)) -> String {
    let value = clap::ValueEnum::to_possible_value(why);
    format!(
        "  {:<12}{:>10}  {}, {}; lost: {}",
        value.as_ref().map_or("", |value| value.get_name()),
        size(bytes(files)),
        counted(files.len(), "file"),
        why.title(),
        why.loss()
    )
}

fn bytes<'a>(files: impl IntoIterator<Item = &'a FoundFile>) -> f64 {
    let bytes: u64 = files.into_iter().map(|file| file.bytes).sum();
    bytes as f64
}
