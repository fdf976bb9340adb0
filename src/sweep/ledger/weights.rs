//! Trained weights that were added: a folder with two files for each, `NAME.safetensors` and its manifest, `NAME.toml`.
//!
//! The manifest says what the file was when it was verified. A run's identity holds the hash that stands there, and
//! the trainer compares it with the file before it uses it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use schema::{Backbone, Weights};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What is known of weights that were added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The backbone that they are of, by its name in a sweep file.
    pub architecture: String,
    /// The SHA-256 of the file.
    pub sha256: Weights,
    /// How many tensors the backbone takes from it.
    pub tensors: u64,
    /// Where they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The license they are distributed under.
    #[serde(default, alias = "licence", skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// Why there are no weights.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// Nothing of this name was added.
    #[error("there are no weights `{name}` in `{}`; add them with `sweep weights add {name} FILE.safetensors --backbone {backbone}{}`", root.display(), elsewhere(root))]
    Missing {
        /// Their name.
        name: String,
        /// Where they would be.
        root: PathBuf,
        /// Of what they would be.
        backbone: &'static str,
    },
    /// They were added for something else.
    #[error("the weights `{name}` are of `{found}`, not of `{backbone}`")]
    Architecture {
        /// Their name.
        name: String,
        /// Of what they are.
        found: String,
        /// Of what they should be.
        backbone: &'static str,
    },
    /// The manifest says nothing.
    #[error("failed to read the manifest `{}`: {why}", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The folder of weights that are not added elsewhere.
pub const ROOT: &str = "weights";

fn elsewhere(root: &Path) -> String {
    if root == Path::new(ROOT) {
        String::new()
    } else {
        format!(" --root {}", root.display())
    }
}

/// The file of the weights of this name.
pub fn file(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.safetensors"))
}

/// The manifest of the weights of this name.
pub fn manifest(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.toml"))
}

/// The names of all weights that were added, sorted.
pub fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let manifests = entries.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    });
    let mut names: Vec<String> = manifests
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// Reads what is known of the weights of this name; nothing if they were never added.
///
/// # Errors
/// The manifest cannot be read.
pub fn read(root: &Path, name: &str) -> Result<Option<Manifest>, WeightsError> {
    let path = manifest(root, name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(WeightsError::Unreadable {
                path,
                why: error.to_string(),
            });
        }
    };
    toml::from_str(&text)
        .map(Some)
        .map_err(|error| WeightsError::Unreadable {
            path,
            why: error.message().to_owned(),
        })
}

/// Finds the weights that a backbone of a sweep file names: their file and their hash.
///
/// # Errors
/// They are not there, or of another backbone.
pub fn locate(
    root: &Path,
    backbone: &Backbone,
) -> Result<Option<(PathBuf, Weights)>, WeightsError> {
    let Some(name) = backbone.weights().map(Weights::to_string) else {
        return Ok(None);
    };
    let file = file(root, &name);
    let backbone = backbone.key();
    match read(root, &name)?.filter(|_| file.is_file()) {
        None => Err(WeightsError::Missing {
            name,
            root: root.to_owned(),
            backbone,
        }),
        Some(manifest) if manifest.architecture != backbone => Err(WeightsError::Architecture {
            name,
            found: manifest.architecture,
            backbone,
        }),
        Some(manifest) => Ok(Some((file, manifest.sha256))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(root: &Path) {
        fs::write(
            root.join("mine.toml"),
            "architecture = \"resnet18\"\nsha256 = \"abc\"\ntensors = 102\nlicence = \"BSD\"\n",
        )
        .unwrap();
        fs::write(root.join("mine.safetensors"), "").unwrap();
    }

    fn named(backbone: &str, weights: &str) -> Backbone {
        Backbone::pretrainable()
            .find(|candidate| candidate.key() == backbone)
            .unwrap()
            .with_weights(Weights::named(weights))
    }

    #[test]
    fn added_weights_are_found_by_their_name_and_known_by_their_hash() {
        let root = tempfile::tempdir().unwrap();
        added(root.path());
        let (file, hash) = locate(root.path(), &named("resnet18", "mine"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (file, hash),
            (root.path().join("mine.safetensors"), Weights::named("abc"))
        );
        assert_eq!(names(root.path()), ["mine"]);
        assert!(locate(root.path(), &Backbone::Conv4).unwrap().is_none());
    }

    #[test]
    fn weights_that_are_missing_are_told_with_the_command_that_adds_them() {
        let root = tempfile::tempdir().unwrap();
        added(root.path());
        let error = locate(root.path(), &named("resnet50", "imagenet"))
            .unwrap_err()
            .to_string();
        assert!(
            error
                .contains("sweep weights add imagenet FILE.safetensors --backbone resnet50 --root"),
            "{error}"
        );
        fs::remove_file(root.path().join("mine.safetensors")).unwrap();
        assert!(matches!(
            locate(root.path(), &named("resnet18", "mine")),
            Err(WeightsError::Missing { .. })
        ));
    }

    #[test]
    fn weights_of_another_backbone_are_refused() {
        let root = tempfile::tempdir().unwrap();
        added(root.path());
        let error = locate(root.path(), &named("resnet50", "mine"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the weights `mine` are of `resnet18`, not of `resnet50`"
        );
    }
}
