//! `sweep fsck`: whether the files of a results folder are as they were written, and their repair.

use std::path::Path;

use clap::Args;

use super::{
    Exit, counted,
    room::size,
    scope::{ScopeArgs, refuse_workers},
    show,
};
use crate::{
    ledger::{FileKind, FoundFile, Ledger, Locking, Soundness},
    run::leftovers,
};

/// Check that results are as they were written
///
/// Reads every file of a results folder, or of the results of one sweep, and compares it with the checksums that were
/// written with it. Exits with code 1 if anything is damaged or missing. --repair renames damaged files, removes half-
/// written ones and writes the journal again; the next `sweep run` computes what is needed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep fsck
  sweep fsck sweeps/omniglot.toml
  sweep fsck /backup/results --repair")]
pub(super) struct Fsck {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Set damaged files aside and write the journal again
    #[arg(long)]
    repair: bool,
    /// Work in a results folder whose file system has no locks; no other `sweep` may use the folder
    #[arg(long)]
    no_lock: bool,
}

/// Of more files than this, the rest is counted: the answer fits on a screen.
const NAMED: usize = 8;

impl Fsck {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let (ledger, of_sweep) = self.scope.find()?;
        let scope = match of_sweep {
            Some(scope) => scope,
            None => ledger.whole_scope()?,
        };
        let _lock = match self.repair {
            true => Some(ledger.lock(Locking::of(self.no_lock))?),
            false => None,
        };
        if self.repair {
            refuse_workers(&ledger)?;
        }
        let found = ledger.soundness(&scope)?;
        let damage: Vec<String> = ledger.damage().iter().map(ToString::to_string).collect();
        let mut lines = vec![ledger.root().display().to_string(), sound(&found)];
        lines.extend(listed("damaged", &damage));
        lines.extend(listed("missing", &missing(&found)));
        lines.extend(others(&found));
        if found.without_network > 0 {
            let runs = counted(found.without_network, "measured run");
            let loss = FileKind::Network.loss();
            lines.push(format!("  removed     the networks of {runs}; {loss}"));
        }
        if found.torn > 0 {
            lines.push(format!(
                "  journal     {}",
                counted(found.torn, "damaged line")
            ));
        }
        let is_whole = damage.is_empty() && found.missing.is_empty() && found.torn == 0;
        if self.repair {
            lines.extend(repair(&ledger, &found)?);
        }
        show(&(lines.join("\n") + "\n"))?;
        match (is_whole, self.repair) {
            (true, _) => Ok(()),
            (false, true) if found.missing.is_empty() => Ok(()),
            (false, true) => Err(Exit::mistake(
                "what is missing is computed again by `sweep run FILE`, where a sweep needs it",
            )),
            (false, false) => Err(Exit::mistake(format!(
                "not all results are as they were written\nhint: `{}` sets damaged files aside; then `sweep run FILE` \
                 computes what is needed again",
                self.scope.command("sweep fsck").plain("--repair")
            ))),
        }
    }
}

fn repair(ledger: &Ledger, found: &Soundness) -> Result<Vec<String>, Exit> {
    let set_aside = ledger.set_damage_aside()?;
    let unfinished: Vec<&Path> = found
        .others
        .iter()
        .filter(|file| file.kind == Some(FileKind::Unfinished))
        .filter_map(|file| file.path.parent())
        .collect();
    for folder in unfinished {
        durable::remove_leftovers(folder)?;
    }
    leftovers::remove_above(ledger)?;
    let entries = ledger.rebuild_journal()?;
    Ok(vec![format!(
        "  repaired    {} set aside, {} of the journal written again",
        counted(set_aside.len(), "file"),
        counted(entries, "line")
    )])
}

fn sound(found: &Soundness) -> String {
    format!(
        "  sound       {} ({} measured), {}, {}, {}, {} of the journal",
        counted(found.runs, "run"),
        found.measured,
        counted(found.ensembles, "ensemble"),
        counted(found.data, "prepared data set"),
        match found.studies {
            1 => "1 search".to_owned(),
            count => format!("{count} searches"),
        },
        counted(found.entries, "line")
    )
}

fn missing(found: &Soundness) -> Vec<String> {
    let paths = found.missing.iter();
    paths
        .map(|path| {
            let loss = FileKind::of_path(path).map_or("", FileKind::loss);
            format!("`{}`; {loss}", path.display())
        })
        .collect()
}

/// The first of some lines below a heading, and how many more there are.
fn listed(heading: &str, all: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = all
        .iter()
        .take(NAMED)
        .map(|line| format!("  {heading:<11} {line}"))
        .collect();
    if let Some(more @ 1..) = all.len().checked_sub(NAMED) {
        lines.push(format!("  {heading:<11} and {more} more"));
    }
    lines
}

/// What else is there.
fn others(found: &Soundness) -> Vec<String> {
    let groups = [
        ("set aside", Some(FileKind::SetAside)),
        ("half-written", Some(FileKind::Unfinished)),
        ("unknown", None),
    ];
    let of_kind = |kind| found.others.iter().filter(move |file| file.kind == kind);
    groups
        .into_iter()
        .filter_map(|(heading, kind)| {
            let files: Vec<&FoundFile> = of_kind(kind).collect();
            let first = files.first()?;
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            Some(format!(
                "  {heading:<12}{}, {}: `{}`{}",
                counted(files.len(), "file"),
                size(bytes as f64),
                first.path.display(),
                if files.len() > 1 { ", .." } else { "" }
            ))
        })
        .collect()
}
