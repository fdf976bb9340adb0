//! Losses and miners of the user: modules of TorchScript.

use std::{collections::BTreeMap, fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{part::OutOfRange, part::require};
use crate::Weights;

/// The file of a module: in a sweep file its path, beside the sweep file, in a recipe the SHA-256 of its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ScriptFile(String);

impl ScriptFile {
    /// Returns the path of a file as a sweep file has it.
    pub fn at(path: impl Into<String>) -> ScriptFile {
        ScriptFile(path.into())
    }

    /// Returns the file with this content.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(content: impl io::Read) -> io::Result<ScriptFile> {
        Ok(ScriptFile(Weights::of_file(content)?.to_string()))
    }
}

impl ScriptFile {
    /// Returns the name under which the file of a recipe is kept.
    pub fn file_name(&self) -> String {
        format!("{}.pt", self.0)
    }
}

impl fmt::Display for ScriptFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A module of TorchScript that is a loss or a miner; docs/own-losses.md says what it takes and returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// The file, made with `torch.jit.script(..).save(..)`.
    pub file: ScriptFile,
    /// Values of its settings. Those that are absent have the defaults of the module.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, f64>,
}

impl Script {
    /// The tensors that every module receives. No setting and no parameter has the name of one.
    pub const INPUTS: [&'static str; 5] = [
        "embeddings",
        "labels",
        "references",
        "reference_labels",
        "own",
    ];

    /// Checks the settings, as far as that is possible without the module.
    ///
    /// # Errors
    /// Returns the first setting that is not allowed.
    pub fn check(&self) -> Result<(), OutOfRange> {
        for (name, value) in &self.settings {
            let key = format!("settings.{name}");
            require(value.is_finite(), &key, "expected a finite number")?;
            require(
                !Script::INPUTS.contains(&name.as_str()),
                &key,
                "a tensor of every module has this name",
            )?;
        }
        Ok(())
    }
}
