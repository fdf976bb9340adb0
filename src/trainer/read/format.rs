//! What a file is, by its first bytes: its name is not trusted.

use std::{
    io::{self, Read},
    path::Path,
};

use dml::foreign::{Foreign, HEAD};

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    /// A zip archive, such as `.npz`.
    Zip,
    Safetensors,
    Text,
}

/// What to do with a format that is not read.
pub(super) const REMEDY: &str = "save the array with `numpy.save` and use the .npy file";

/// Returns the format of a file.
///
/// # Errors
/// It cannot be opened, is empty, or has a format that is not read.
pub(super) fn of(path: &Path) -> Result<Format, String> {
    let (start, length) = beginning(path)?;
    if start.is_empty() {
        return Err("it is empty".to_owned());
    }
    if start.starts_with(b"\x93NUMPY") {
        Ok(Format::Npy)
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Ok(Format::Zip)
    } else if is_safetensors(&start, length) {
        Ok(Format::Safetensors)
    } else if let Some(foreign) = Foreign::of(&start) {
        Err(foreign.clause(REMEDY))
    } else {
        Ok(Format::Text)
    }
}

/// Returns the first bytes of a regular file, and its length.
fn beginning(path: &Path) -> Result<(Vec<u8>, u64), String> {
    let metadata = path.metadata().map_err(describe)?;
    if metadata.is_dir() {
        return Err("it is a folder, not a file".to_owned());
    }
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut start = Vec::new();
    let file = durable::open(path).map_err(describe)?;
    file.take(HEAD as u64)
        .read_to_end(&mut start)
        .map_err(describe)?;
    Ok((start, metadata.len()))
}

/// True if the file begins with the length of a JSON object that fits into it.
fn is_safetensors(start: &[u8], length: u64) -> bool {
    let Some((header, rest)) = start.split_first_chunk::<8>() else {
        return false;
    };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*header) <= length.saturating_sub(8)
}

/// Returns an error of the file system in plain words.
pub(super) fn describe(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read by you".to_owned(),
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => error.to_string(),
    }
}
