//! Trained weights that were added: a folder with two files for each, `NAME.safetensors` and its manifest, `NAME.toml`.
//!
//! The manifest says what the file was when it was verified. A run's identity holds the hash that stands there, and
//! the trainer compares it with the file before it uses it.
//!
//! An [`Addition`] is one step: the new tensors are written as `NAME.safetensors.added`, the manifest is replaced, and the
//! tensors get their name. The manifest decides which tensors count: those with its hash. Wherever an addition is
//! interrupted, the weights are the earlier or the new ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use durable::{DiskError, WholeFile};
use schema::{Backbone, Weights};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::shell::CommandLine;

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
    #[error("there are no weights `{name}` in `{}`; add them with `{}`", root.display(), add_command(name, backbone, root))]
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
    #[error("the manifest `{}` cannot be read ({why}); add the weights again, or remove it", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The folder of weights that are not added elsewhere.
pub const ROOT: &str = "weights";

fn add_command(name: &str, backbone: &str, root: &Path) -> CommandLine {
    CommandLine::new("sweep weights add")
        .word(name)
        .plain("FILE.safetensors")
        .option("--backbone", backbone)
        .folder("--root", ROOT, root)
}

/// Returns the file of the weights with this name and manifest.
pub fn file(root: &Path, name: &str, manifest: &Manifest) -> PathBuf {
    let added = added(root, name);
    match has_hash(&added, &manifest.sha256) {
        true => added,
        false => tensors(root, name),
    }
}

fn tensors(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.safetensors"))
}

/// The end of the name of tensors that are being added.
const ADDED: &str = ".safetensors.added";

/// Returns the file of tensors that are being added.
fn added(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}{ADDED}"))
}

/// True if there is such a file and this is its hash.
fn has_hash(file: &Path, hash: &Weights) -> bool {
    durable::open(file)
        .and_then(Weights::of_file)
        .is_ok_and(|found| found == *hash)
}

/// The manifest of the weights of this name.
pub fn manifest(root: &Path, name: &str) -> PathBuf {
    root.join(format!("{name}.toml"))
}

/// The names of all weights that were added, sorted.
pub fn names(root: &Path) -> Vec<String> {
    names_of(root, ".toml")
}

/// The names of the files in a folder that end so, without their end, sorted.
fn names_of(root: &Path, end: &str) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(end)?.to_owned()))
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
    let text = match durable::read_to_string(&path) {
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
    let backbone = backbone.key();
    let found = read(root, &name)?.map(|manifest| (file(root, &name, &manifest), manifest));
    match found.filter(|(file, _)| file.is_file()) {
        None => Err(WeightsError::Missing {
            name,
            root: root.to_owned(),
            backbone,
        }),
        Some((_, manifest)) if manifest.architecture != backbone => {
            Err(WeightsError::Architecture {
                name,
                found: manifest.architecture,
                backbone,
            })
        }
        Some((file, manifest)) => Ok(Some((file, manifest.sha256))),
    }
}

/// Ends what interrupted additions left in a folder of weights, unless a process is at work on it.
///
/// # Errors
/// A file cannot be renamed or removed.
pub fn remove_leftovers(root: &Path) -> Result<(), DiskError> {
    durable::remove_leftovers(root)?;
    for name in names_of(root, ADDED) {
        let is_at_work = WholeFile::is_begun(&manifest(root, &name));
        if !is_at_work {
            drop(Addition::begin(root, &name)?);
        }
    }
    Ok(())
}

/// Weights that are being added. Dropped before [`publish`](Addition::publish), they leave nothing behind.
#[derive(Debug)]
pub struct Addition {
    root: PathBuf,
    name: String,
    /// Absent once it is published.
    manifest: Option<WholeFile>,
}

impl Addition {
    /// Begins to add weights under a name, once no other process does, and ends what an interrupted addition left.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(root: &Path, name: &str) -> Result<Addition, DiskError> {
        let manifest = WholeFile::create(&manifest(root, name))?;
        settle(root, name)?;
        Ok(Addition {
            root: root.to_owned(),
            name: name.to_owned(),
            manifest: Some(manifest),
        })
    }

    /// Returns the path at which the new tensors have to be written.
    pub fn tensors(&self) -> PathBuf {
        added(&self.root, &self.name)
    }

    /// Replaces earlier weights of this name by the new ones.
    ///
    /// # Errors
    /// The disk does not accept them. The earlier weights are unchanged.
    pub fn publish(mut self, manifest: &Manifest) -> Result<(), DiskError> {
        let path = self::manifest(&self.root, &self.name);
        let text = toml::to_string(manifest)
            .map_err(|error| DiskError::at("write", &path)(io::Error::other(error)))?;
        if let Some(mut file) = self.manifest.take() {
            file.append(text.as_bytes())?;
            file.publish()?;
        }
        settle(&self.root, &self.name)
    }
}

impl Drop for Addition {
    fn drop(&mut self) {
        // The first error is the one to report; a leftover is removed by the next addition.
        let _ = settle(&self.root, &self.name);
    }
}

/// Gives added tensors their name if the manifest is theirs, and removes them otherwise.
fn settle(root: &Path, name: &str) -> Result<(), DiskError> {
    let added = added(root, name);
    if fs::symlink_metadata(&added).is_err() {
        return Ok(());
    }
    let manifest = read(root, name).ok().flatten();
    if manifest.is_some_and(|manifest| has_hash(&added, &manifest.sha256)) {
        return durable::rename(&added, &tensors(root, name));
    }
    fs::remove_file(&added).map_err(DiskError::at("remove", &added))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(root: &Path) {
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
        add(root.path());
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
        add(root.path());
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

    fn of(content: &[u8]) -> Manifest {
        Manifest {
            architecture: "resnet18".to_owned(),
            sha256: Weights::of_file(content).unwrap(),
            tensors: 1,
            source: None,
            license: None,
        }
    }

    fn state(root: &Path, manifest_of: &Manifest) {
        let text = toml::to_string(manifest_of).unwrap();
        fs::write(manifest(root, "mine"), text).unwrap();
    }

    #[test]
    fn an_interrupted_addition_leaves_the_earlier_weights_or_the_new_ones() {
        for steps in 0..=2 {
            let root = tempfile::tempdir().unwrap();
            let root = root.path();
            fs::write(tensors(root, "mine"), "old").unwrap();
            state(root, &of(b"old"));
            if steps >= 1 {
                fs::write(added(root, "mine"), "new").unwrap();
            }
            if steps >= 2 {
                state(root, &of(b"new"));
            }
            let content = || {
                let (file, hash) = locate(root, &named("resnet18", "mine")).unwrap().unwrap();
                assert!(has_hash(&file, &hash), "{steps} steps");
                fs::read_to_string(file).unwrap()
            };
            let expected = if steps == 2 { "new" } else { "old" };
            assert_eq!(content(), expected, "{steps} steps");
            settle(root, "mine").unwrap();
            assert_eq!(content(), expected, "{steps} steps");
            assert!(!added(root, "mine").exists());
            let addition = Addition::begin(root, "mine").unwrap();
            durable::write(&addition.tensors(), b"new").unwrap();
            addition.publish(&of(b"new")).unwrap();
            assert_eq!((content().as_str(), names(root).len()), ("new", 1));
            assert_eq!(fs::read_dir(root).unwrap().count(), 2);
        }
    }

    #[test]
    fn an_addition_that_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let addition = Addition::begin(root.path(), "mine").unwrap();
        fs::write(addition.tensors(), "new").unwrap();
        drop(addition);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_any_addition_are_removed_but_not_those_of_a_process_at_work() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::write(added(root, "killed"), "half").unwrap();
        let at_work = Addition::begin(root, "mine").unwrap();
        fs::write(at_work.tensors(), "new").unwrap();
        remove_leftovers(root).unwrap();
        assert!(!added(root, "killed").exists());
        assert!(at_work.tensors().exists());
    }

    #[test]
    fn a_damaged_manifest_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        for content in ["", "architecture = ", "\u{fffd}"] {
            fs::write(root.path().join("mine.toml"), content).unwrap();
            let error = read(root.path(), "mine").unwrap_err().to_string();
            assert!(
                error.contains("mine.toml` cannot be read (")
                    && error.contains("add the weights again"),
                "{error}"
            );
        }
    }

    #[test]
    fn weights_of_another_backbone_are_refused() {
        let root = tempfile::tempdir().unwrap();
        add(root.path());
        let error = locate(root.path(), &named("resnet50", "mine"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "the weights `mine` are of `resnet18`, not of `resnet50`"
        );
    }
}
