//! `sweep loss check` and `sweep miner check`: modules of the user, tested as built-in parts are.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand};
use schema::{CheckScriptWork, ScriptChecked, ScriptKind, ScriptProperty};

use super::{Exit, foreground, show, weights::is_a_file};
use crate::run::trainer::Trainer;

/// Check a loss of your own
#[derive(Debug, Subcommand)]
pub(super) enum LossCommand {
    /// Test a loss as built-in losses are tested
    ///
    /// Computes a small batch again in forms that must not matter: another order, other numbers of the classes, the batch
    /// in a memory. Compares the gradient with difference quotients, measures the time, and names the built-in loss that
    /// is the same function, if there is one. A TorchScript module is a program: check only modules that you trust.
    #[command(after_help = "\
Examples:
  sweep loss check mine.pt
  sweep loss check mine.pt --set margin=0.3 --set scale=16

Then, in a sweep file:
  [[method]]
  name = \"Mine\"
  loss.torchscript = { file = \"mine.pt\", settings = { margin = 0.3 } }")]
    Check(CheckScript),
}

/// Check a miner of your own
#[derive(Debug, Subcommand)]
pub(super) enum MinerCommand {
    /// Test a miner as built-in miners are tested
    ///
    /// Mines a small batch again in forms that must not matter: another order, other numbers of the classes, the batch in a
    /// memory. Measures the time, and names the built-in miner that chooses the same, if there is one. A TorchScript
    /// module is a program: check only modules that you trust.
    #[command(after_help = "\
Examples:
  sweep miner check mine.pt

Then, in a sweep file:
  [[method]]
  name = \"Triplet, my miner\"
  loss.triplet = {}
  miner.torchscript = { file = \"mine.pt\" }")]
    Check(CheckScript),
}

/// What is checked.
#[derive(Debug, Args)]
pub(super) struct CheckScript {
    /// A file of `torch.jit.script(..).save(..)`
    file: PathBuf,
    /// Value of a setting of the module; the others have their defaults
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Assignment>,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

/// A setting and its value.
#[derive(Clone, Debug)]
struct Assignment {
    name: String,
    value: f64,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Assignment, String> {
        let example = "write a name and a number, such as `margin=0.3`";
        let (name, value) = text.split_once('=').ok_or(example)?;
        Ok(Assignment {
            name: name.trim().to_owned(),
            value: value.trim().parse().map_err(|_| example)?,
        })
    }
}

impl LossCommand {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let LossCommand::Check(check) = self;
        check.run(ScriptKind::Loss)
    }
}

impl MinerCommand {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let MinerCommand::Check(check) = self;
        check.run(ScriptKind::Miner)
    }
}

impl CheckScript {
    fn run(&self, kind: ScriptKind) -> Result<(), Exit> {
        is_a_file(&self.file)?;
        let trainer = Trainer::find(self.trainer.as_deref())?;
        let settings = self.set.iter();
        let settings = settings.map(|one| (one.name.clone(), one.value));
        let work = CheckScriptWork {
            kind,
            file: self.file.clone(),
            settings: settings.collect(),
        };
        let checked = foreground::attempt(&trainer, work, foreground::all_cores(), None)?;
        show(&lines(kind, &checked).join("\n"))?;
        let faults = checked.checks.iter().filter(|check| check.fault.is_some());
        match faults.count() {
            0 => Ok(()),
            _ => Err(Exit::mistake(format!(
                "`{}` is not sound: see above",
                self.file.display()
            ))),
        }
    }
}

/// Returns what was found, a line for each finding.
fn lines(kind: ScriptKind, checked: &ScriptChecked) -> Vec<String> {
    let mut lines = vec![
        format!("settings    {}", named(&checked.settings)),
        format!("parameters  {}", named_shapes(&checked.parameters)),
    ];
    for check in &checked.checks {
        let property = in_words(kind, check.property);
        lines.push(match &check.fault {
            None => format!("ok          {property}"),
            Some(fault) => format!("FAULT       {property}: {fault}"),
        });
    }
    if checked.milliseconds > 0.0 {
        let (beside, milliseconds) = &checked.beside;
        lines.push(format!(
            "time        {:.2} ms for 128 images; `{beside}` takes {milliseconds:.2} ms",
            checked.milliseconds
        ));
    }
    for key in &checked.equals {
        lines.push(format!(
            "the same    it is the built-in `{key}` at its defaults"
        ));
    }
    lines.push(String::new());
    lines
}

fn named(settings: &BTreeMap<String, f64>) -> String {
    let settings = settings
        .iter()
        .map(|(name, value)| format!("{name} = {value}"));
    or_none(settings.collect())
}

fn named_shapes(parameters: &BTreeMap<String, Vec<i64>>) -> String {
    let shapes = parameters
        .iter()
        .map(|(name, shape)| format!("{name} {shape:?}"));
    or_none(shapes.collect())
}

fn or_none(list: Vec<String>) -> String {
    match list.is_empty() {
        true => "none".to_owned(),
        false => list.join(", "),
    }
}

fn in_words(kind: ScriptKind, property: ScriptProperty) -> &'static str {
    match (property, kind) {
        (ScriptProperty::Contract, ScriptKind::Loss) => {
            "returns one number, or one for each image, that depends on the embeddings"
        }
        (ScriptProperty::Contract, ScriptKind::Miner) => "returns triplets or pairs of the batch",
        (ScriptProperty::Repeats, _) => "gives the same for the same batch",
        (ScriptProperty::Order, _) => "does not depend on the order of the batch",
        (ScriptProperty::ClassNames, _) => "does not depend on the numbers of the classes",
        (ScriptProperty::Memory, _) => "gives the same if a memory holds the batch",
        (ScriptProperty::SmallBatches, _) => {
            "survives one image, one class, classes of one image and equal images"
        }
        (ScriptProperty::Gradient, _) => "has the gradient of its value",
    }
}
