//! `sweep weights`: trained weights that networks start from.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use schema::{Backbone, Weights, WeightsWork};

use super::{Exit, counted, foreground, show, tell};
use crate::{
    ledger::{
        absolute,
        weights::{self, Manifest, ROOT},
    },
    run::trainer::Trainer,
};

/// Add, list and verify pretrained weights
#[derive(Debug, Subcommand)]
pub(super) enum WeightsCommand {
    Add(AddWeights),
    List(ListWeights),
    Check(CheckWeights),
}

/// Verify pretrained weights and keep them under a name
///
/// Verifies every tensor's name and shape, copies the file to the folder of weights, and writes a manifest beside it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scripts/convert_weights.py resnet50-0676ba61.pth imagenet.safetensors
  sweep weights add imagenet imagenet.safetensors --backbone resnet50 --source torchvision --license BSD-3-Clause

Then, in a sweep file:
  [model]
  backbone.resnet50 = { weights = \"imagenet\" }")]
pub(super) struct AddWeights {
    /// Name for sweep files
    name: String,
    /// A safetensors file; `scripts/convert_weights.py` converts `.pth` files
    file: PathBuf,
    /// Backbone, as a sweep file names it
    #[arg(long)]
    backbone: String,
    /// Origin, for the record
    #[arg(long)]
    source: Option<String>,
    /// License, for the record
    #[arg(long, alias = "licence")]
    license: Option<String>,
    #[command(flatten)]
    folder: Folder,
}

/// List weights
#[derive(Debug, Args)]
pub(super) struct ListWeights {
    #[command(flatten)]
    folder: Folder,
}

/// Verify added weights again
#[derive(Debug, Args)]
pub(super) struct CheckWeights {
    /// Names of weights [default: all]
    names: Vec<String>,
    #[command(flatten)]
    folder: Folder,
}

/// Where weights are.
#[derive(Debug, Args)]
struct Folder {
    /// Folder of weights
    #[arg(long, value_name = "FOLDER", default_value = ROOT)]
    root: PathBuf,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

impl WeightsCommand {
    pub(super) fn run(&self) -> Result<(), Exit> {
        match self {
            WeightsCommand::Add(add) => add.run(),
            WeightsCommand::List(list) => list.run(),
            WeightsCommand::Check(check) => check.run(),
        }
    }
}

impl AddWeights {
    fn run(&self) -> Result<(), Exit> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !self.name.chars().all(plain)
            || !self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(Exit::mistake(
                "the name becomes a file: letters, digits, `-`, `_` and `.`",
            ));
        }
        let fit = self.folder.fit(&self.file, &self.backbone)?;
        let manifest = Manifest {
            architecture: self.backbone.clone(),
            sha256: hash(&self.file)?,
            tensors: fit.0,
            source: self.source.clone(),
            license: self.license.clone(),
        };
        let root = &self.folder.root;
        keep(&self.file, root, &self.name, &manifest)?;
        let ignored = match fit.1 {
            0 => String::new(),
            ignored => format!(", {ignored} of a classifier or counters left aside"),
        };
        tell(&format!(
            "{}: {} verified{ignored}; use them as `backbone.{} = {{ weights = \"{}\" }}`",
            self.name,
            counted(usize::try_from(fit.0).unwrap_or(usize::MAX), "tensor"),
            self.backbone,
            self.name
        ));
        Ok(())
    }
}

/// The manifest comes last: without it, nothing was added.
fn keep(from: &Path, root: &Path, name: &str, manifest: &Manifest) -> Result<(), Exit> {
    let text = toml::to_string(manifest).map_err(Exit::stuck)?;
    let file = weights::file(root, name);
    let is_in_place = match (fs::canonicalize(from), fs::canonicalize(&file)) {
        (Ok(from), Ok(file)) => from == file,
        (Err(_), _) | (_, Err(_)) => false,
    };
    if !is_in_place {
        durable::copy(from, &file)?;
    }
    Ok(durable::write(
        &weights::manifest(root, name),
        text.as_bytes(),
    )?)
}

fn hash(file: &Path) -> Result<Weights, Exit> {
    let hash = File::open(file).and_then(Weights::of_file);
    hash.map_err(|error| Exit::mistake(format!("failed to read `{}`: {error}", file.display())))
}

impl ListWeights {
    fn run(&self) -> Result<(), Exit> {
        let root = &self.folder.root;
        let mut lines = String::new();
        for name in weights::names(root) {
            let Some(manifest) = weights::read(root, &name).map_err(Exit::mistake)? else {
                continue;
            };
            let notes: Vec<String> = manifest
                .source
                .into_iter()
                .chain(manifest.license)
                .collect();
            let short: String = manifest.sha256.to_string().chars().take(12).collect();
            lines += &format!(
                "{name}  {}  {} tensors  sha256 {short}  {}",
                manifest.architecture,
                manifest.tensors,
                notes.join(", ")
            );
            lines = lines.trim_end().to_owned() + "\n";
        }
        if lines.is_empty() {
            tell(&format!("nothing was added to `{}`", root.display()));
        }
        show(&lines)
    }
}

impl CheckWeights {
    fn run(&self) -> Result<(), Exit> {
        let root = &self.folder.root;
        let names = if self.names.is_empty() {
            weights::names(root)
        } else {
            self.names.clone()
        };
        for name in names {
            let Some(manifest) = weights::read(root, &name).map_err(Exit::mistake)? else {
                return Err(Exit::mistake(format!(
                    "there are no weights `{name}` in `{}`",
                    root.display()
                )));
            };
            let file = weights::file(root, &name);
            let found = hash(&file)?;
            if found != manifest.sha256 {
                return Err(Exit::mistake(format!(
                    "`{}` has changed since it was added: its SHA-256 is {found}, not {}",
                    file.display(),
                    manifest.sha256
                )));
            }
            let (used, _) = self.folder.fit(&file, &manifest.architecture)?;
            tell(&format!(
                "{name}: {used} tensors of `{}`, as they were added",
                manifest.architecture
            ));
        }
        Ok(())
    }
}

impl Folder {
    /// How many tensors the backbone takes from the file, and how many are left aside.
    fn fit(&self, file: &Path, backbone: &str) -> Result<(u64, usize), Exit> {
        if !file.is_file() {
            return Err(Exit::mistake(format!(
                "there is no file `{}`",
                file.display()
            )));
        }
        let Some(backbone) = Backbone::pretrainable().find(|candidate| candidate.key() == backbone)
        else {
            let names = Backbone::pretrainable()
                .map(|backbone| backbone.key())
                .collect::<Vec<_>>();
            return Err(Exit::mistake(format!(
                "there are no weights of a backbone `{backbone}`, but of {}",
                names.join(", ")
            )));
        };
        let trainer = Trainer::find(self.trainer.as_deref())?;
        let work = WeightsWork {
            backbone,
            file: absolute(file),
        };
        let fitted = foreground::attempt(&trainer, work, 1, None)?;
        Ok((fitted.used, fitted.ignored.len()))
    }
}
