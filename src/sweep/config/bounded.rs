//! Files that a sweep file names beside other sweep files: regular ones of limited size.

use std::{fs, io::Read, path::Path};

/// Returns the content of a regular file of at most `largest` bytes.
///
/// # Errors
/// Returns in words why it is not to be had.
pub(super) fn content(file: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = durable::open(file).map_err(|error| error.to_string())?;
    let read = file.take(largest + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    match bytes.len() as u64 > largest {
        true => Err(format!("it is larger than {} MiB", largest >> 20)),
        false => Ok(bytes),
    }
}
