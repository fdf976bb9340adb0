//! The fingerprint of a data set: one hash of all its files, which is part of the id of every run on it.
//!
//! Hashing 3 GB takes seconds, so that the result is stored in `results/fingerprints.json` together with
//! the names, sizes and modification times from which it was computed. If any of these differ, it is
//! computed again.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use rayon::prelude::*;
use schema::{
    DataId, Dataset, Files, Fingerprint, HashedFile, ListedRow, ListingFault, Registration,
    listed_rows, unsealed,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Ledger, LedgerError, absolute, read_json, subject, write_json, write_sealed};
use crate::shell::CommandLine;

/// Why a data set has no fingerprint.
#[derive(Debug, Error)]
pub enum FingerprintError {
    /// The data set is not there.
    #[error("the data set `{name}` is not in `{}`: there is no `{missing}`", root.display())]
    Missing {
        /// The data set.
        name: String,
        /// The data root.
        root: PathBuf,
        /// The first folder or file that was looked for.
        missing: String,
    },
    /// The files are there, but not the table of images.
    #[error("the data set `{name}` in `{}` has no table of images; run `{}` to make it, nothing is copied", folder.display(), add_command(name, folder, root))]
    Unlisted {
        /// The data set.
        name: String,
        /// Its own folder.
        folder: PathBuf,
        /// The data root.
        root: PathBuf,
    },
    /// The table of images is not the one that was added.
    #[error("the table of images in `{}` is not the one that was added: it was changed, or adding was interrupted; run `{}` to list the images anew (a table of your own is read if its name is `manifest.csv`)", folder.display(), add_command(name, folder, root))]
    NotWhole {
        /// The data set.
        name: String,
        /// Its own folder.
        folder: PathBuf,
        /// The data root.
        root: PathBuf,
    },
    /// The table of its images cannot be read.
    #[error("failed to read `{}`: {source}", path.display())]
    Table {
        /// Which table.
        path: PathBuf,
        /// Why.
        source: ListingFault,
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

/// Returns the command that adds the files in a folder as a data set.
pub fn add_command(name: &str, files: &Path, root: &Path) -> CommandLine {
    let add = CommandLine::new("sweep data add").word(name).path(files);
    add.plain("--root").path(root)
}

impl FingerprintError {
    /// The error for a folder without [its table](has_its_table).
    pub fn not_whole(name: &str, folder: &Path, root: &Path) -> FingerprintError {
        FingerprintError::NotWhole {
            name: name.to_owned(),
            folder: folder.to_owned(),
            root: root.to_owned(),
        }
    }
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
/// If it is not there or cannot be read.
pub fn locate(
    ledger: &Ledger,
    dataset: &Dataset,
    root: &Path,
) -> Result<Located, FingerprintError> {
    let facts = dataset.facts();
    if facts.files == Files::Drawn {
        return Ok(Located {
            source: None,
            fingerprint: Fingerprint::of_parameters(dataset),
        });
    }
    let Some(source) = home(dataset, root) else {
        return Err(missing(dataset, root));
    };
    if !has_its_table(&source) {
        let root = source.parent().unwrap_or(root);
        return Err(FingerprintError::not_whole(dataset.folder(), &source, root));
    }
    let listed = listed(&source, facts.files)?;
    let fingerprint = remembered_or_computed(ledger, &source, facts.files, &listed)?;
    Ok(Located {
        source: Some(source),
        fingerprint,
    })
}

/// Returns what `sweep data add` found in a data set, if it was added.
pub fn registration(dataset: &Dataset, root: &Path) -> Option<Registration> {
    let home = home(dataset, root)?;
    read_json(&home.join(Registration::FILE)).ok().flatten()
}

/// Returns what `sweep data add` had found in a data set when it was used for these results.
pub fn kept_registration(ledger: &Ledger, data: DataId) -> Option<Registration> {
    read_json(&ledger.data(data).join(Registration::FILE))
        .ok()
        .flatten()
}

/// Keeps with the results what `sweep data add` found in a data set: they outlive it.
///
/// # Errors
/// It cannot be written.
pub fn keep_registration(
    ledger: &Ledger,
    data: DataId,
    found: &Registration,
) -> Result<(), LedgerError> {
    if kept_registration(ledger, data).as_ref() == Some(found) {
        return Ok(());
    }
    write_json(&ledger.data(data).join(Registration::FILE), found)
}

/// Returns true if the data set was added and none of its images has a bounding box.
pub fn lacks_boxes(dataset: &Dataset, root: &Path) -> bool {
    let listing = home(dataset, root).map(|home| rows(&home.join(Registration::LISTING)));
    let Some(Ok(rows)) = listing else {
        return false;
    };
    rows.iter().all(|row| row.image.bounding_box().is_none())
}

/// Reads a table of images.
fn rows(table: &Path) -> Result<Vec<ListedRow>, ListingFault> {
    let text = durable::read(table).map_err(ListingFault::Unreadable)?;
    listed_rows(&text)
}

/// True if a data set's own folder has the table of images that its registration is of, or no registration: a
/// table can be written by hand.
pub fn has_its_table(folder: &Path) -> bool {
    match read_json::<Registration>(&folder.join(Registration::FILE)) {
        Ok(Some(registration)) => durable::read(&folder.join(Registration::LISTING))
            .is_ok_and(|table| registration.is_of(&table)),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Returns the folders that can be the data set's own.
fn candidates(dataset: &Dataset, root: &Path) -> [PathBuf; 2] {
    [root.join(dataset.folder()), root.to_owned()]
}

/// Returns the data set's own folder, if it is there.
fn home(dataset: &Dataset, root: &Path) -> Option<PathBuf> {
    candidates(dataset, root)
        .into_iter()
        .find(|folder| folder.join(Registration::LISTING).exists())
}

fn missing(dataset: &Dataset, root: &Path) -> FingerprintError {
    let name = dataset.folder().to_owned();
    let unpacked = candidates(dataset, root)
        .into_iter()
        .find(|folder| is_unpacked(dataset, folder));
    if let Some(folder) = unpacked {
        let folder = absolute(&folder);
        let root = if folder.ends_with(&name) {
            folder.parent().unwrap_or(&folder).to_owned()
        } else {
            absolute(root)
        };
        return FingerprintError::Unlisted { name, folder, root };
    }
    FingerprintError::Missing {
        missing: format!("{name}/{}", Registration::LISTING),
        name,
        root: absolute(root),
    }
}

/// Returns true if the folder has the data set's files but no table of them: an earlier version made none
/// for such data sets.
pub fn is_unpacked(dataset: &Dataset, folder: &Path) -> bool {
    match dataset.files() {
        Files::Drawn | Files::Listed => false,
        Files::Below(folders) => {
            !folder.join(Registration::LISTING).exists()
                && folders.iter().all(|inner| folder.join(inner).is_dir())
        }
    }
}

struct ListedFile {
    path: PathBuf,
    /// See [`HashedFile::name`].
    name: String,
    size: u64,
    modified: u128,
}

type AllRemembered = BTreeMap<String, Remembered>;

/// Returns the file of remembered fingerprints, and its content. What is damaged is forgotten: it is only a
/// shortcut.
fn remembered(ledger: &Ledger) -> (PathBuf, AllRemembered) {
    let path = ledger.root().join("fingerprints.json");
    let bytes = durable::read(&path).ok();
    let all = bytes.and_then(|bytes| unsealed(subject::FINGERPRINTS, &bytes).ok());
    (path, all.unwrap_or_default())
}

/// Writes the file of remembered fingerprints. Where nothing can be written, planning still works.
fn remember(path: &Path, all: &AllRemembered) {
    let _ = write_sealed(path, subject::FINGERPRINTS, all);
}

/// Forgets the fingerprint of a data set, so that its files are read again.
pub fn forget(ledger: &Ledger, source: &Path) {
    let (path, mut all) = remembered(ledger);
    if all
        .remove(&absolute(source).display().to_string())
        .is_some()
    {
        remember(&path, &all);
    }
}

fn remembered_or_computed(
    ledger: &Ledger,
    source: &Path,
    files: Files,
    listed: &[ListedFile],
) -> Result<Fingerprint, FingerprintError> {
    let (path, mut all) = remembered(ledger);
    let key = absolute(source).display().to_string();
    let stamp = stamp(listed);
    if let Some(known) = all.get(&key).filter(|known| known.stamp == stamp) {
        return Ok(known.fingerprint.clone());
    }
    let fingerprint = hash_contents(files, listed)?;
    let entry = Remembered {
        stamp,
        fingerprint: fingerprint.clone(),
    };
    all.insert(key, entry);
    remember(&path, &all);
    Ok(fingerprint)
}

fn hash_contents(files: Files, listed: &[ListedFile]) -> Result<Fingerprint, FingerprintError> {
    let hash_one = |file: &ListedFile| {
        let bytes = durable::read(&file.path).map_err(|source| FingerprintError::Io {
            path: file.path.clone(),
            source,
        })?;
        Ok(HashedFile {
            name: file.name.clone(),
            hash: blake3::hash(&bytes),
        })
    };
    let hashed: Vec<HashedFile> = listed
        .par_iter()
        .map(hash_one)
        .collect::<Result<_, FingerprintError>>()?;
    Ok(Fingerprint::of_files(files, hashed))
}

fn stamp(files: &[ListedFile]) -> String {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        let (path, name) = (file.path.display(), &file.name);
        hasher.update(format!("{path}\0{name}\0{}\0{}\n", file.size, file.modified).as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns the files in the table of images, in its order.
fn listed(source: &Path, files: Files) -> Result<Vec<ListedFile>, FingerprintError> {
    let table = source.join(Registration::LISTING);
    let rows = rows(&table).map_err(|source| FingerprintError::Table {
        path: table,
        source,
    })?;
    let file = |row: ListedRow| {
        let path = source.join(&row.image.path);
        let (size, modified) = size_and_time(&path)?;
        Ok(ListedFile {
            name: HashedFile::name(files, &path, row.description),
            path,
            size,
            modified,
        })
    };
    rows.into_par_iter().map(file).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWINGS: [&str; 3] = [
        "images_background/b/character01/1.png",
        "images_background/a-b/character02/1.png",
        "images_evaluation/c/character01/1.png",
    ];

    /// Two drawings to train on and one to test on, in `folder` of the data set's own folder.
    fn omniglot(root: &Path, folder: &str, content: &str) {
        let own = root.join("omniglot");
        let mut table = "path,label,class_name,split\n".to_owned();
        for (label, drawing) in DRAWINGS.iter().enumerate() {
            let path = own.join(folder).join(drawing);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{content} {label}")).unwrap();
            table += &format!("{folder}{drawing},{label},c,train\n");
        }
        fs::write(own.join(Registration::LISTING), table).unwrap();
    }

    fn fingerprint(root: &Path, results: &Path) -> Fingerprint {
        locate(&Ledger::new(results), &Dataset::Omniglot, root)
            .unwrap()
            .fingerprint
    }

    #[test]
    fn the_same_content_elsewhere_has_the_same_fingerprint() {
        let roots = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let results = tempfile::tempdir().unwrap();
        omniglot(roots[0].path(), "", "one");
        omniglot(roots[1].path(), "files/", "one");
        let of = |root: &Path| fingerprint(root, results.path());
        assert_eq!(of(roots[0].path()), of(roots[1].path()));
        assert_eq!(of(roots[0].path()), of(&roots[0].path().join("omniglot")));
    }

    /// Ids of results on Omniglot contain this hash: of the sorted paths from the folders of the two halves
    /// on, and of the files' contents.
    #[test]
    fn the_fingerprint_of_omniglot_never_changes() {
        let root = tempfile::tempdir().unwrap();
        omniglot(root.path(), "files/", "one");
        let mut expected = blake3::Hasher::new();
        for (drawing, content) in [
            (DRAWINGS[1], "one 1"),
            (DRAWINGS[0], "one 0"),
            (DRAWINGS[2], "one 2"),
        ] {
            expected.update(drawing.as_bytes());
            expected.update(&[0]);
            expected.update(blake3::hash(content.as_bytes()).as_bytes());
        }
        let results = tempfile::tempdir().unwrap();
        assert_eq!(
            fingerprint(root.path(), results.path()),
            Fingerprint::new(expected.finalize())
        );
    }

    #[test]
    fn a_folder_that_an_earlier_version_unpacked_is_added_again_in_place() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        omniglot(root.path(), "", "one");
        let own = root.path().join("omniglot");
        fs::remove_file(own.join(Registration::LISTING)).unwrap();
        for root in [root.path(), &own] {
            let ledger = Ledger::new(results.path());
            let error = locate(&ledger, &Dataset::Omniglot, root).unwrap_err();
            let command = format!(
                "`sweep data add omniglot {} --root {}`",
                own.display(),
                own.parent().unwrap().display()
            );
            assert!(error.to_string().contains(&command), "{error}");
        }
    }

    #[test]
    fn a_damaged_shortcut_is_noticed_and_computed_again() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        omniglot(root.path(), "", "one");
        let right = fingerprint(root.path(), results.path());
        let path = results.path().join("fingerprints.json");
        let text = fs::read_to_string(&path).unwrap();
        let other = Fingerprint::missing().to_string();
        fs::write(&path, text.replace(&right.to_string(), &other)).unwrap();
        assert_eq!(fingerprint(root.path(), results.path()), right);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn a_forgotten_fingerprint_is_computed_from_the_files() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        omniglot(root.path(), "", "one");
        let before = fingerprint(root.path(), results.path());
        let (drawing, source) = (
            root.path().join("omniglot").join(DRAWINGS[0]),
            root.path().join("omniglot"),
        );
        let modified = fs::metadata(&drawing).unwrap().modified().unwrap();
        fs::write(&drawing, "eno 0").unwrap();
        let file = fs::File::options().write(true).open(&drawing).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(fingerprint(root.path(), results.path()), before);
        forget(&Ledger::new(results.path()), &source);
        assert_ne!(fingerprint(root.path(), results.path()), before);
    }

    #[test]
    fn changed_content_is_noticed() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        omniglot(root.path(), "", "one");
        let before = fingerprint(root.path(), results.path());
        assert_eq!(before, fingerprint(root.path(), results.path()));
        let drawing = root.path().join("omniglot").join(DRAWINGS[0]);
        fs::write(drawing, "other").unwrap();
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
                format!("path,label,class_name,split\n{folder}/1.jpg,{label},a,train\n"),
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
    fn boxes_are_lacking_if_no_image_that_was_added_has_one() {
        let root = tempfile::tempdir().unwrap();
        let dataset = Dataset::Own(schema::Own {
            name: "birds".to_owned(),
        });
        assert!(!lacks_boxes(&dataset, root.path()));
        let own = root.path().join("birds");
        fs::create_dir(&own).unwrap();
        let header = "path,label,class_name,split,is_query,is_gallery,category,x_1,y_1,x_2,y_2";
        for (boxes, lacking) in [(",,,", true), ("0,0,1,1", false)] {
            let table = format!("{header}\n1.jpg,0,a,train,,,,,,,\n2.jpg,1,b,test,,,,{boxes}\n");
            fs::write(own.join(Registration::LISTING), table).unwrap();
            assert_eq!(lacks_boxes(&dataset, root.path()), lacking, "{boxes}");
        }
    }

    #[test]
    fn a_table_is_refused_if_another_one_was_added_or_the_registration_is_damaged() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        omniglot(root.path(), "", "one");
        let own = root.path().join("omniglot");
        let table = fs::read(own.join(Registration::LISTING)).unwrap();
        let registration = |hash: String| {
            format!(
                r#"{{"layout": "x", "training_classes": 2, "training_images": 2, "smallest_training_class": 1,
                "super_classes": false, "test_classes": 1, "test_images": 1, "queries": 1, "references": 1,
                "test_classes_without_positive": 1, "listing": "{hash}"}}"#
            )
        };
        let locate = |registration: &str| {
            fs::write(own.join(Registration::FILE), registration).unwrap();
            let located = locate(
                &Ledger::new(results.path()),
                &Dataset::Omniglot,
                root.path(),
            );
            located.map_err(|error| error.to_string())
        };
        let added = registration(Registration::hash(&table));
        assert!(locate(&added).is_ok());
        for other in [
            registration(Registration::hash(b"other")),
            added[..40].to_owned(),
        ] {
            let error = locate(&other).unwrap_err();
            assert!(error.contains("`sweep data add omniglot "), "{error}");
        }
    }

    #[test]
    fn a_missing_data_set_is_named_with_its_table() {
        let (root, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let error = locate(
            &Ledger::new(results.path()),
            &Dataset::Omniglot,
            root.path(),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("omniglot/listing.csv"), "{error}");
    }
}
