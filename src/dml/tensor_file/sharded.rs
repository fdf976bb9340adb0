//! The index of tensors that lie in several files: `model.safetensors.index.json`, `pytorch_model.bin.index.json`.
//!
//! It is a JSON object whose `weight_map` has the file of each tensor, a name in the folder of the index.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Entry, Format, Layout, Place, Source, Storage, TensorFile, TensorFileError, damaged};

/// The end of the name of an index.
const ENDING: &str = ".index.json";

/// Maximum length of an index, which has some hundred bytes per tensor.
const LONGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// True if a file has the name of an index.
pub(super) fn is_index(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().ends_with(ENDING)
}

/// Opens the files that an index names.
pub(super) fn open(path: &Path, file: File) -> Result<TensorFile, TensorFileError> {
    let index: Index = serde_json::from_reader(BufReader::new(file.take(LONGEST)))
        .map_err(|error| damaged(format!("it is no index of files with tensors ({error})")))?;
    let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    let mut files = Vec::new();
    for name in &names {
        files.push(shard(path, name)?);
    }
    let mut entries = Vec::new();
    for (number, (name, file)) in names.iter().zip(&files).enumerate() {
        let own = file.entries.iter();
        let listed =
            own.filter(|entry| index.weight_map.get(&entry.name).map(String::as_str) == Some(name));
        entries.extend(listed.map(|entry| in_shard(number, entry)));
    }
    let found: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let mut missing = index.weight_map.iter();
    if let Some((tensor, name)) = missing.find(|(tensor, _)| !found.contains(tensor.as_str())) {
        return Err(damaged(format!(
            "its file `{name}` has no tensor `{tensor}`"
        )));
    }
    if entries.is_empty() {
        return Err(TensorFileError::NoTensors);
    }
    Ok(TensorFile {
        entries,
        size: files.iter().map(|file| file.size).max().unwrap_or(0),
        bytes: Source::Shards(files),
        format: Format::Index,
    })
}

/// Opens one of the files.
fn shard(index: &Path, name: &str) -> Result<TensorFile, TensorFileError> {
    let is_plain = Path::new(name).file_name().is_some_and(|file| file == name);
    if !is_plain {
        return Err(damaged(format!(
            "`{name}`, which it names, is no name of a file beside it"
        )));
    }
    let path = index.with_file_name(name);
    if is_index(&path) {
        return Err(damaged(format!(
            "`{name}`, which it names, is another index"
        )));
    }
    TensorFile::open(&path).map_err(|error| TensorFileError::Shard {
        path,
        error: Box::new(error),
    })
}

fn in_shard(number: usize, entry: &Entry) -> Entry {
    let storage = &entry.layout.storage;
    let storage = Storage {
        place: Place::InShard(number, Box::new(storage.place.clone())),
        length: storage.length,
    };
    Entry {
        name: entry.name.clone(),
        layout: Layout {
            storage,
            ..entry.layout.clone()
        },
    }
}

/// Returns the index beside a file that is one of several: that of `model-00001-of-00002.safetensors` is
/// `model.safetensors.index.json`.
pub fn index_of(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(number) || !are_digits(count) {
        return None;
    }
    let ending = path.extension()?.to_str()?;
    let index = path.with_file_name(format!("{name}.{ending}{ENDING}"));
    index.is_file().then_some(index)
}
