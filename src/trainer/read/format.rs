//! What a file is, by its first bytes: its name is not trusted.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    /// A zip archive, such as `.npz`.
    Zip,
    Safetensors,
    Text,
}

/// Formats that are not read: their first bytes and what they are.
const FOREIGN: [(&[u8], &str); 18] = [
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\x1f\x8b", COMPRESSED),
    (b"BZh", COMPRESSED),
    (b"\xfd7zXZ\0", COMPRESSED),
    (b"\x28\xb5\x2f\xfd", COMPRESSED),
    (b"\xd0\xcf\x11\xe0", "an Excel file"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"%PDF", "a PDF file"),
    (b"SQLite format 3", "a database"),
];

const PICKLE: &str = "a Python pickle, as `torch.save` and `pickle.dump` write";
const COMPRESSED: &str = "a compressed file; unpack it first";

/// What to do with a format that is not read.
pub(super) const REMEDY: &str = "save the array with `numpy.save` and use the .npy file";

/// Bytes from which a format is known.
const BEGINNING: u64 = 1 << 10;

/// Returns the format of a file.
///
/// # Errors
/// It cannot be opened, is empty, or has a format that is not read.
pub(super) fn of(path: &Path) -> Result<Format, String> {
    let (start, length) = beginning(path)?;
    if start.is_empty() {
        return Err("it is empty".to_owned());
    }
    if let Some((_, what)) = FOREIGN.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(format!("it is {what}; {REMEDY}"));
    }
    if start.starts_with(b"\x93NUMPY") {
        Ok(Format::Npy)
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Ok(Format::Zip)
    } else if is_safetensors(&start, length) {
        Ok(Format::Safetensors)
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
    let file = File::open(path).map_err(describe)?;
    file.take(BEGINNING)
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
