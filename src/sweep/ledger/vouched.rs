//! Results with the sizes and hashes of the files that belong to them: `trained.json` vouches for the network,
//! `record.json` for the scores of each query.

use std::{collections::BTreeMap, fs, io, path::Path};

use schema::{BrokenSeal, sealed_content, unsealed};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::cache::Cacheable;

/// A result and the files that belong to it. A result of an earlier version names no files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Vouched<T> {
    #[serde(flatten)]
    pub(super) result: T,
    /// By name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) files: BTreeMap<String, FileHash>,
}

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileHash {
    pub(super) bytes: u64,
    pub(super) blake3: String,
}

/// How thoroughly files are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// Their sizes, whenever a sweep is planned.
    Sizes,
    /// Their contents, before they are used.
    Contents,
}

impl<T: Serialize + DeserializeOwned> Vouched<T> {
    /// Returns the content of a sealed file, as [`unsealed`] does.
    pub(super) fn unsealed(subject: &str, text: &[u8]) -> Result<Vouched<T>, BrokenSeal> {
        #[derive(Deserialize)]
        struct Files {
            #[serde(default)]
            files: BTreeMap<String, FileHash>,
        }
        // Two passes, because `flatten` copies all content first.
        if let Some(content) = sealed_content(subject, text)
            && let Ok(result) = serde_json::from_slice(&content)
            && let Ok(Files { files }) = serde_json::from_slice(&content)
        {
            return Ok(Vouched { result, files });
        }
        unsealed(subject, text)
    }
}

/// Without `flatten`, which copies all content when it is read.
impl<T: Serialize + DeserializeOwned> Cacheable for Vouched<T> {
    fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&(&self.result, &self.files))
    }

    fn of(bytes: &[u8]) -> Option<Vouched<T>> {
        let (result, files) = serde_json::from_slice(bytes).ok()?;
        Some(Vouched { result, files })
    }
}

impl<T> Vouched<T> {
    /// Returns a result with those of the named files that exist in its folder.
    pub(super) fn of(result: T, folder: &Path, names: &[&str]) -> io::Result<Vouched<T>> {
        let mut files = BTreeMap::new();
        for &name in names {
            let path = folder.join(name);
            if path.is_file() {
                files.insert(name.to_owned(), FileHash::of(&path)?);
            }
        }
        Ok(Vouched { result, files })
    }
}

impl FileHash {
    fn of(path: &Path) -> io::Result<FileHash> {
        Ok(FileHash {
            bytes: fs::metadata(path)?.len(),
            blake3: hash_of(path)?,
        })
    }

    /// Returns what is wrong with a file; `None` if nothing is.
    pub(super) fn fault(&self, path: &Path, check: Check) -> io::Result<Option<String>> {
        let found = fs::metadata(path)?;
        if !found.is_file() {
            return Ok(Some("it is not a file".to_owned()));
        }
        if found.len() != self.bytes {
            let (found, bytes) = (found.len(), self.bytes);
            return Ok(Some(format!("it has {found} bytes, not {bytes}")));
        }
        let is_other = check == Check::Contents && hash_of(path)? != self.blake3;
        Ok(is_other.then(|| "its checksum does not match".to_owned()))
    }
}

/// Returns the BLAKE3 hash of a file in hexadecimal, computed by all cores.
pub(super) fn hash_of(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path)?;
    Ok(hasher.finalize().to_hex().to_string())
}
