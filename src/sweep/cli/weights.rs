//! `sweep weights`: trained weights that networks start from.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use schema::{Backbone, Fitted, Weights, WeightsWork};
use serde_json::{Value, json};

use super::{Exit, counted, folder::folder, foreground, show, show_json, tell};
use crate::{
    config::Grammar,
    ledger::weights::{self, Addition, Manifest, ROOT, WeightsError},
    run::trainer::{Trainer, TrainerError},
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
/// Reads safetensors and files of PyTorch (`.pth`, `.pt`, `.ckpt`, `.bin`), in half or single precision, also within
/// checkpoints, in several files with an index, and under the names of wrappers and of other libraries. Nothing in a file
/// is executed. Finds the backbone, verifies the name, the shape and the numbers of every tensor, writes the tensors to the
/// folder of weights as safetensors, and a manifest beside them. Weights of the same name are replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep weights add imagenet resnet50-0676ba61.pth --source torchvision --license BSD-3-Clause
  sweep weights add dinov2 dinov2_vits14_reg4_pretrain.pth
  sweep weights add keys moco_v2.pth.tar --backbone resnet50 --prefix encoder_k

Then, in a sweep file:
  [model]
  backbone.resnet50 = { weights = \"imagenet\" }")]
pub(super) struct AddWeights {
    /// Name for sweep files
    name: String,
    /// A file of safetensors or of PyTorch, or the index of several (`.index.json`)
    file: PathBuf,
    /// Backbone, as a sweep file names it [default: the one whose tensors the file has]
    #[arg(long)]
    backbone: Option<String>,
    /// The network to take, if the file holds several: what stands before the names of its tensors
    #[arg(long)]
    prefix: Option<String>,
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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The version of the JSON object.
const VERSION: u32 = 1;

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
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = ROOT)]
    root: PathBuf,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

impl Folder {
    /// Returns the names of all weights, and says so if there are none.
    fn names(&self) -> Vec<String> {
        let names = weights::names(&self.root);
        if names.is_empty() {
            tell(&format!("nothing was added to `{}`", self.root.display()));
        }
        names
    }
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
        let root = &self.folder.root;
        let asked = self.backbone.as_deref().map(pretrainable);
        let asked = asked.transpose().map_err(Exit::mistake)?;
        is_a_file(&self.file)?;
        self.prefix_fits(asked.as_ref())?;
        let trainer = self.folder.trainer()?;
        weights::remove_leftovers(root)?;
        let replaced = weights::read(root, &self.name);
        let addition = Addition::begin(root, &self.name)?;
        let fitted = fit(
            &trainer,
            WeightsWork {
                backbone: asked.clone(),
                file: self.file.clone(),
                prefix: self.prefix.clone(),
                into: Some(addition.tensors()),
            },
        )?;
        let backbone = fitted.backbone.clone().or(asked);
        let backbone = backbone.ok_or_else(|| {
            Exit::mistake("the trainer does not recognize backbones; name it with `--backbone`")
        })?;
        if !fitted.is_converted {
            durable::copy(&self.file, &addition.tensors())?;
        }
        let manifest = Manifest {
            architecture: backbone.key().to_owned(),
            sha256: hash(&addition.tensors()).map_err(Exit::mistake)?,
            tensors: fitted.used,
            source: self.source.clone(),
            license: self.license.clone(),
        };
        addition.publish(&manifest)?;
        self.tell(&backbone, &fitted, &manifest, replaced);
        Ok(())
    }

    fn prefix_fits(&self, backbone: Option<&Backbone>) -> Result<(), Exit> {
        match (backbone, &self.prefix) {
            (Some(Backbone::Torchscript(_)), Some(_)) => Err(Exit::mistake(
                "a TorchScript module is added as it is: `--prefix` is for files of tensors",
            )),
            _ => Ok(()),
        }
    }

    /// Tells what was added, from where in the file, and what it replaces.
    fn tell(
        &self,
        backbone: &Backbone,
        fitted: &Fitted,
        manifest: &Manifest,
        replaced: Result<Option<Manifest>, WeightsError>,
    ) {
        let ignored = match fitted.ignored.len() {
            0 => String::new(),
            ignored => format!(", {ignored} of a classifier or counters left aside"),
        };
        let named = backbone.clone().with_weights(Weights::named(&self.name));
        tell(&format!(
            "{}: {} verified{ignored}; use them as `backbone.{}`",
            self.name,
            tensors(fitted.used),
            in_a_sweep_file(&named)
        ));
        if !fitted.prefix.is_empty() {
            tell(&format!(
                "their names in the file begin with `{}`",
                fitted.prefix
            ));
        }
        for rival in &fitted.rivals {
            let prefix = match rival.trim_end_matches('.') {
                "" => "\"\"",
                prefix => prefix,
            };
            tell(&format!(
                "the file holds another network that fits: `--prefix {prefix}` takes it"
            ));
        }
        match replaced {
            Ok(Some(earlier)) if earlier.sha256 != manifest.sha256 => tell(&format!(
                "these weights replace those of `{}` that had the name, with the SHA-256 {}",
                earlier.architecture, earlier.sha256
            )),
            Ok(_) => {}
            Err(_) => tell("these weights replace others whose manifest was damaged"),
        }
        for setting in unseen(backbone) {
            tell(&format!(
                "the file does not show which `{setting}` is right: see `sweep show backbones {}`",
                backbone.key()
            ));
        }
    }
}

/// Returns a backbone as the line of a sweep file has it: `resnet18 = { weights = "imagenet" }`.
fn in_a_sweep_file(backbone: &Backbone) -> String {
    let settings = toml::Value::try_from(backbone).ok();
    let settings = settings.and_then(|of| Some(of.get(backbone.key())?.to_string()));
    format!("{} = {}", backbone.key(), settings.unwrap_or_default())
}

/// Returns the settings of a backbone that have to agree with the weights and that the tensors do not show.
fn unseen(backbone: &Backbone) -> Vec<&'static str> {
    let path = ["model", "backbone", backbone.key()];
    let settings = Grammar::of_sweep_files().root().descend(&path);
    let keys = settings.map(|node| node.keys()).unwrap_or_default();
    let is_free = |key: &str| key == "weights" || backbone.part().free_settings().contains(&key);
    keys.into_iter()
        .filter(|key| !is_free(key) && !is_shown(backbone, key))
        .collect()
}

/// True if the tensors show the value of a setting.
fn is_shown(backbone: &Backbone, setting: &str) -> bool {
    let value = |form: &Backbone| {
        let written = serde_json::to_value(form).unwrap_or_default();
        written[backbone.key()][setting].clone()
    };
    let forms = backbone.forms();
    forms.iter().any(|form| value(form) != value(&forms[0]))
}

fn tensors(count: u64) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), "tensor")
}

impl ListWeights {
    fn run(&self) -> Result<(), Exit> {
        let root = &self.folder.root;
        if self.json {
            let added = weights::names(root).into_iter().filter_map(|name| {
                let manifest = weights::read(root, &name).ok()??;
                Some(json!({ "name": name, "manifest": manifest }))
            });
            let added: Vec<Value> = added.collect();
            return show_json(&json!({ "version": VERSION, "weights": added }));
        }
        let lines = self
            .folder
            .names()
            .into_iter()
            .filter_map(|name| line(root, &name));
        let lines: String = lines
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect();
        show(&lines)
    }
}

/// Returns the line about some weights. Nothing: they have just been removed.
fn line(root: &Path, name: &str) -> Option<String> {
    let manifest = match weights::read(root, name) {
        Ok(manifest) => manifest?,
        Err(error) => return Some(format!("{name}  damaged: {error}")),
    };
    let notes: Vec<String> = manifest
        .source
        .into_iter()
        .chain(manifest.license)
        .collect();
    let short: String = manifest.sha256.to_string().chars().take(12).collect();
    Some(format!(
        "{name}  {}  {} tensors  sha256 {short}  {}",
        manifest.architecture,
        manifest.tensors,
        notes.join(", ")
    ))
}

impl CheckWeights {
    /// Checks all weights, also if some of them are damaged.
    fn run(&self) -> Result<(), Exit> {
        let root = &self.folder.root;
        let trainer = self.folder.trainer()?;
        let names = if self.names.is_empty() {
            self.folder.names()
        } else {
            self.names.clone()
        };
        let mut damages = Vec::new();
        for name in names {
            match check(&trainer, root, &name) {
                Ok(line) => tell(&line),
                Err(damage) => damages.push(damage),
            }
        }
        match damages.is_empty() {
            true => Ok(()),
            false => Err(Exit::mistake(damages.join("\n"))),
        }
    }
}

/// Returns what is right about some weights.
///
/// # Errors
/// Returns what is wrong.
fn check(trainer: &Trainer, root: &Path, name: &str) -> Result<String, String> {
    let manifest = weights::read(root, name).map_err(|error| error.to_string())?;
    let manifest =
        manifest.ok_or_else(|| format!("there are no weights `{name}` in `{}`", root.display()))?;
    let file = weights::file(root, name, &manifest);
    let found = hash(&file)?;
    if found != manifest.sha256 {
        return Err(format!(
            "`{}` has changed since it was added: its SHA-256 is {found}, not {}",
            file.display(),
            manifest.sha256
        ));
    }
    let work = WeightsWork {
        backbone: Some(pretrainable(&manifest.architecture)?),
        file,
        prefix: None,
        into: None,
    };
    let fitted = fit(trainer, work).map_err(|error| error.to_string())?;
    Ok(format!(
        "{name}: {} tensors of `{}`, as they were added",
        fitted.used, manifest.architecture
    ))
}

fn hash(file: &Path) -> Result<Weights, String> {
    let hash = durable::open(file).and_then(Weights::of_file);
    hash.map_err(|error| format!("failed to read `{}`: {error}", file.display()))
}

/// Checks that a path is that of a file.
pub(super) fn is_a_file(path: &Path) -> Result<(), Exit> {
    if path.is_file() {
        return Ok(());
    }
    Err(Exit::mistake(match path.is_dir() {
        true => format!("`{}` is a folder; name the file in it", path.display()),
        false => format!("there is no file `{}`", path.display()),
    }))
}

fn pretrainable(backbone: &str) -> Result<Backbone, String> {
    let found = Backbone::pretrainable().find(|candidate| candidate.key() == backbone);
    found.ok_or_else(|| {
        let names: Vec<&str> = Backbone::pretrainable().map(|known| known.key()).collect();
        format!(
            "there are no weights of a backbone `{backbone}`, but of {}",
            names.join(", ")
        )
    })
}

/// Has a trainer compare a file with a backbone.
fn fit(trainer: &Trainer, work: WeightsWork) -> Result<Fitted, TrainerError> {
    foreground::attempt(trainer, work, 1, None)
}

impl Folder {
    fn trainer(&self) -> Result<Trainer, TrainerError> {
        Trainer::find(self.trainer.as_deref())
    }
}
