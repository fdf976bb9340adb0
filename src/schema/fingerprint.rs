//! The fingerprint of a data set's files: one hash of their content, which is part of the id of every run on them.
//!
//! The orchestrator computes it when a sweep is planned. The trainer computes it again from the bytes that it decodes,
//! so that images that change in between are noticed.

use std::path::Path;

use crate::{Files, Fingerprint};

/// A file of a data set, as it enters the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedFile {
    /// See [`HashedFile::name`].
    pub name: String,
    /// The hash of its content.
    pub hash: blake3::Hash,
}

impl HashedFile {
    /// Returns the text that is hashed with the content of a file in the table of images: the description in its
    /// row, or the end of its path. It does not depend on where the data set is.
    pub fn name(files: Files, path: &Path, description: String) -> String {
        match files {
            Files::Drawn | Files::Listed => description,
            Files::Below(folders) => path_below(folders, path),
        }
    }
}

/// Returns the end of a path from the last folder with one of these names on, with `/` between folders.
fn path_below(folders: &[&str], path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    let first = parts
        .iter()
        .rposition(|part| folders.contains(&part.as_ref()));
    parts[first.unwrap_or(0)..].join("/")
}

impl Fingerprint {
    /// Returns the fingerprint of the files in the table of images, given in its order.
    pub fn of_files(files: Files, mut hashed: Vec<HashedFile>) -> Fingerprint {
        if let Files::Below(_) = files {
            hashed.sort_by(|one, other| one.name.cmp(&other.name));
        }
        let mut all = blake3::Hasher::new();
        for HashedFile { name, hash } in &hashed {
            all.update(name.as_bytes());
            all.update(&[0]);
            all.update(hash.as_bytes());
        }
        Fingerprint::new(all.finalize())
    }
}
