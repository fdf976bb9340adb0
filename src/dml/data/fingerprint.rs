//! Compares the files that were read with the fingerprint of the data set, which was computed before.
//!
//! A run's id contains the fingerprint. If images change between the two, results would be kept under the name of
//! other images.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use schema::{Dataset, Fingerprint, HashedFile, Registration};

use super::{DataError, table};

/// The hashes of the files that were read.
pub(super) type Hashes = HashMap<PathBuf, blake3::Hash>;

/// Checks that the files of a data set in the folder `root` are those of a fingerprint. Files that were not read are
/// read now.
///
/// # Errors
/// They are others, or one cannot be read.
pub(super) fn check(
    dataset: &Dataset,
    root: &Path,
    hashes: &Hashes,
    expected: &Fingerprint,
) -> Result<(), DataError> {
    let files = dataset.facts().files;
    let table = root.join(Registration::LISTING);
    let rows = table::rows(&table).map_err(|error| DataError::unreadable(&table, error))?;
    let paths: Vec<PathBuf> = rows.iter().map(|row| root.join(&row.image.path)).collect();
    let mut hashed = Vec::with_capacity(rows.len());
    for (row, path) in rows.into_iter().zip(&paths) {
        let hash = match hashes.get(path) {
            Some(hash) => *hash,
            None => hash_of(path)?,
        };
        let name = HashedFile::name(files, path, row.description);
        hashed.push(HashedFile { name, hash });
    }
    if Fingerprint::of_files(files, hashed) == *expected {
        return Ok(());
    }
    Err(DataError::Changed {
        path: root.to_owned(),
        why: changed(root, &paths),
    })
}

fn hash_of(path: &Path) -> Result<blake3::Hash, DataError> {
    let content = durable::read(path).map_err(|error| DataError::unreadable(path, error))?;
    Ok(blake3::hash(&content))
}

/// Returns the sentence for files that changed, with the one that changed last.
fn changed(root: &Path, paths: &[PathBuf]) -> String {
    let modified = |path: &&PathBuf| fs::metadata(path).and_then(|file| file.modified()).ok();
    let last = paths.iter().max_by_key(modified);
    let last = last.map_or(root, |path| path.strip_prefix(root).unwrap_or(path));
    format!(
        "its files changed after they were hashed, the last one was `{}`; run the same command again to hash them anew",
        last.display()
    )
}
