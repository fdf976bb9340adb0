//! What a data set's files contain, as one hash: the part of a run's identity that no recipe can state.
//!
//! Hashing 3 GB takes seconds, so the result is remembered in `results/fingerprints.json` together with the
//! names, sizes and modification times it was computed from; when any of these differ it is computed again.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rayon::prelude::*;
use schema::{Dataset, Files, Fingerprint, Registration};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Ledger, absolute, read_json, write_json};

/// Why a data set has no fingerprint.
#[derive(Debug, Error)]
pub enum FingerprintError {
    /// The data set is not in its place.
    #[error("the data set `{name}` is not in `{}`: there is no `{missing}`", root.display())]
    Missing {
        /// The data set.
        name: String,
        /// The data root.
        root: PathBuf,
        /// The first folder or file that was looked for.
        missing: String,
    },
    /// The table of its images cannot be read.
    #[error("failed to read `{}`: {source}", path.display())]
    Table {
        /// Which table.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A file cannot be read.
    #[error("failed to read `{}`: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A data set where it was found.
#[derive(Clone, Debug)]
pub struct Located {
    /// Its own folder; absent for one that the program draws itself.
    pub source: Option<PathBuf>,
    /// Its content.
    pub fingerprint: Fingerprint,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    stamp: String,
    fingerprint: Fingerprint,
}

/// Finds a data set under `root` (as `root/<name>` or as `root` itself) and hashes its content.
///
/// # Errors
/// It is not there or cannot be read.
pub fn locate(
    ledger: &Ledger,
    dataset: &Dataset,
    root: &Path,
) -> Result<Located, FingerprintError> {
    if dataset.files() == Files::Drawn {
        return Ok(Located {
            source: None,
            fingerprint: Fingerprint::of_parameters(dataset),
        });
    }
    let Some(source) = home(dataset, root) else {
        let (name, root) = (dataset.folder().to_owned(), absolute(root));
        return Err(FingerprintError::Missing {
            missing: format!("{name}/{}", first_of(dataset)),
            name,
            root,
        });
    };
    let files = match dataset.files() {
        Files::Folders(folders) => list(&source, folders)?,
        Files::Drawn | Files::Listed => listed(&source)?,
    };
    let fingerprint = remembered_or_computed(ledger, &source, &files)?;
    Ok(Located {
        source: Some(source),
        fingerprint,
    })
}

/// What `sweep data add` found of a data set, if it was added.
pub fn registration(dataset: &Dataset, root: &Path) -> Option<Registration> {
    let home = home(dataset, root)?;
    read_json(&home.join(Registration::FILE)).ok().flatten()
}

/// The data set's own folder, if it is there.
fn home(dataset: &Dataset, root: &Path) -> Option<PathBuf> {
    let candidates = [root.join(dataset.folder()), root.to_owned()];
    candidates
        .into_iter()
        .find(|folder| folder.join(first_of(dataset)).exists())
}

/// What must be in the data set's own folder, if it is there at all.
fn first_of(dataset: &Dataset) -> &'static str {
    match dataset.files() {
        Files::Folders([first, ..]) => first,
        Files::Folders([]) | Files::Drawn | Files::Listed => Registration::LISTING,
    }
}

struct ListedFile {
    path: PathBuf,
    /// What is hashed beside its content: its path relative to the data set's folder, with `/` between folders,
    /// or whatever else the table of images says of it. The latter is the same wherever the files lie.
    name: String,
    size: u64,
    modified: u128,
}

fn remembered_or_computed(
    ledger: &Ledger,
    source: &Path,
    files: &[ListedFile],
) -> Result<Fingerprint, FingerprintError> {
    let path = ledger.root().join("fingerprints.json");
    let key = absolute(source).display().to_string();
    let stamp = stamp(files);
    // What cannot be read is forgotten: it is only a shortcut.
    let mut all: BTreeMap<String, Remembered> = read_json(&path).ok().flatten().unwrap_or_default();
    if let Some(known) = all.get(&key).filter(|known| known.stamp == stamp) {
        return Ok(known.fingerprint.clone());
    }
    let fingerprint = hash_contents(files)?;
    all.insert(
        key,
        Remembered {
            stamp,
            fingerprint: fingerprint.clone(),
        },
    );
    // Where nothing can be written, planning still works.
    let _ = write_json(&path, &all);
    Ok(fingerprint)
}

fn hash_contents(files: &[ListedFile]) -> Result<Fingerprint, FingerprintError> {
    let hash_one = |file: &ListedFile| {
        let bytes = fs::read(&file.path).map_err(|source| FingerprintError::Io {
            path: file.path.clone(),
            source,
        })?;
        Ok(blake3::hash(&bytes))
    };
    let hashes: Vec<blake3::Hash> = files
        .par_iter()
        .map(hash_one)
        .collect::<Result<_, FingerprintError>>()?;
    let mut all = blake3::Hasher::new();
    for (file, hash) in files.iter().zip(hashes) {
        all.update(file.name.as_bytes());
        all.update(&[0]);
        all.update(hash.as_bytes());
    }
    Ok(Fingerprint::new(all.finalize()))
}

fn stamp(files: &[ListedFile]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let (path, name) = (file.path.display(), &file.name);
        hasher.update(format!("{path}\0{name}\0{}\0{}\n", file.size, file.modified).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// All files in the table of images, in its order.
fn listed(source: &Path) -> Result<Vec<ListedFile>, FingerprintError> {
    let table = source.join(Registration::LISTING);
    let failed = |source| FingerprintError::Table {
        path: table.clone(),
        source,
    };
    let rows: Vec<csv::StringRecord> = csv::Reader::from_path(&table)
        .and_then(|mut reader| reader.records().collect())
        .map_err(failed)?;
    let file = |row: &csv::StringRecord| {
        let path = source.join(row.get(0).unwrap_or_default());
        let (size, modified) = size_and_time(&path)?;
        Ok(ListedFile {
            path,
            name: row.iter().skip(1).collect::<Vec<_>>().join("\0"),
            size,
            modified,
        })
    };
    rows.par_iter().map(file).collect()
}

fn size_and_time(path: &Path) -> Result<(u64, u128), FingerprintError> {
    let metadata = fs::metadata(path).map_err(|source| FingerprintError::Io {
        path: path.to_owned(),
        source,
    })?;
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((metadata.len(), modified.unwrap_or_default().as_nanos()))
}

/// All files below the folders in the order of their names, hidden ones (such as `._*`) left out.
fn list(source: &Path, folders: &[&str]) -> Result<Vec<ListedFile>, FingerprintError> {
    let mut files = Vec::new();
    let mut open: Vec<String> = folders.iter().map(|&folder| folder.to_owned()).collect();
    while let Some(folder) = open.pop() {
        let path = source.join(&folder);
        let io = |source| FingerprintError::Io {
            path: path.clone(),
            source,
        };
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{folder}/{name}");
            let path = entry.path();
            if path.is_dir() {
                open.push(name);
            } else {
                let (size, modified) = size_and_time(&path)?;
                files.push(ListedFile {
                    path,
                    name,
                    size,
                    modified,
                });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn omniglot(root: &Path, content: &str) {
        for folder in ["images_background", "images_evaluation"] {
            fs::create_dir_all(root.join("omniglot").join(folder)).unwrap();
        }
        fs::write(root.join("omniglot/images_background/a.png"), content).unwrap();
    }

    fn fingerprint(root: &Path, results: &Path) -> Fingerprint {
        locate(&Ledger::new(results), &Dataset::Omniglot, root)
            .unwrap()
            .fingerprint
    }

    #[test]
    fn the_same_content_elsewhere_has_the_same_fingerprint() {
        let (a, b, results) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        omniglot(a.path(), "one");
        omniglot(b.path(), "one");
        fs::write(b.path().join("omniglot/images_background/._a.png"), "junk").unwrap();
        assert_eq!(
            fingerprint(a.path(), results.path()),
            fingerprint(b.path(), results.path())
        );
        assert_eq!(
            fingerprint(a.path(), results.path()),
            fingerprint(&a.path().join("omniglot"), results.path())
        );
    }

    #[test]
    fn changed_content_is_noticed() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        omniglot(root.path(), "one");
        let before = fingerprint(root.path(), results.path());
        assert_eq!(before, fingerprint(root.path(), results.path()));
        fs::write(
            root.path().join("omniglot/images_background/a.png"),
            "other",
        )
        .unwrap();
        assert_ne!(before, fingerprint(root.path(), results.path()));
    }

    #[test]
    fn a_listed_data_set_is_the_same_wherever_its_files_lie_and_another_with_other_labels() {
        let results = tempfile::tempdir().unwrap();
        let of = |folder: &str, label: &str, content: &str| {
            let root = tempfile::tempdir().unwrap();
            let own = root.path().join("birds");
            fs::create_dir_all(own.join(folder)).unwrap();
            fs::write(own.join(folder).join("1.jpg"), content).unwrap();
            fs::write(
                own.join("listing.csv"),
                format!("path,label\n{folder}/1.jpg,{label}\n"),
            )
            .unwrap();
            let dataset = Dataset::Own(schema::Own {
                name: "birds".to_owned(),
            });
            locate(&Ledger::new(results.path()), &dataset, root.path())
                .unwrap()
                .fingerprint
        };
        assert_eq!(of("a", "0", "x"), of("b", "0", "x"));
        assert_ne!(of("a", "0", "x"), of("a", "1", "x"));
        assert_ne!(of("a", "0", "x"), of("a", "0", "y"));
    }

    #[test]
    fn a_missing_data_set_is_named_with_the_place_looked_at() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = locate(
            &Ledger::new(results.path()),
            &Dataset::Omniglot,
            root.path(),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("omniglot/images_background"), "{error}");
    }
}
