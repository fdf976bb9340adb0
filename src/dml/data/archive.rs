//! Reading zip archives that come from elsewhere.
//!
//! Only names and bytes leave this file, and nothing is written: an entry that would land outside of the
//! folder it is unpacked into is an error here, and links are not followed because none are made.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::{Component, Path, PathBuf},
};

use zip::{ZipArchive, result::ZipError};

use super::DataError;

/// An open zip archive.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

/// A file in an archive.
pub(super) struct Entry {
    /// The parts of its path.
    pub(super) parts: Vec<String>,
    /// Its place in the archive.
    pub(super) index: usize,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Archive, DataError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => DataError::missing(path, "there is no such file"),
            _ => DataError::unreadable(path, error),
        })?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| DataError::unreadable(path, not_a_whole_archive(path, &error)))?;
        Ok(Archive { path: path.into(), zip })
    }

    /// Returns the files in it, without folders and without what macOS adds.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, DataError> {
        let mut entries = Vec::with_capacity(self.zip.len());
        for (index, name) in self.zip.file_names().enumerate() {
            let name = name.map_err(|error| DataError::unreadable(&self.path, error))?;
            let Some(parts) = parts_of(&name) else {
                return Err(self.broken(&name, "it would land outside of the folder it is unpacked into"));
            };
            if !name.ends_with('/') && !parts.iter().any(|part| is_clutter(part)) {
                entries.push(Entry { parts, index });
            }
        }
        Ok(entries)
    }

    /// Returns the bytes of a file in it, which must not be more than `limit`.
    pub(super) fn read(&mut self, entry: &Entry, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let read = match self.zip.by_index(entry.index) {
            Ok(file) => file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Err(why) => Err(self.broken(&entry.parts.join("/"), &format!("{why}; download the archive again"))),
            Ok(_) if bytes.len() as u64 > limit => {
                Err(self.broken(&entry.parts.join("/"), &format!("it is larger than {limit} bytes")))
            }
            Ok(_) => Ok(bytes),
        }
    }

    fn broken(&self, entry: &str, why: &str) -> DataError {
        DataError::unreadable(&self.path, format!("its entry `{entry}` is not acceptable: {why}"))
    }
}

/// Whether a file or folder of this name is none of ours.
pub(super) fn is_clutter(name: &str) -> bool {
    name == "__MACOSX" || name.starts_with('.')
}

fn parts_of(name: &str) -> Option<Vec<String>> {
    if name.contains(['\\', '\0', ':']) {
        return None;
    }
    Path::new(name)
        .components()
        .map(|component| match component {
            Component::Normal(part) => part.to_str().map(str::to_owned),
            _ => None,
        })
        .collect()
}

fn not_a_whole_archive(path: &Path, error: &ZipError) -> String {
    let mut magic = [0; 2];
    match File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) if magic == *b"PK" => format!("it is a damaged or incomplete zip archive ({error}); download it again"),
        _ => "it is not a zip archive".into(),
    }
}
