//! The type of a file, known by its first bytes. Its name is ignored.

use std::{
    io::{self, Read},
    path::Path,
};

use super::super::DataError;
use crate::foreign::{Foreign, HEAD};

/// The endings of archives that are read, for messages.
const READ: &str = ".zip, .tar, .tar.gz, .tar.bz2, .tar.xz";

/// The most characters of a text that a message repeats.
const EXCERPT: usize = 60;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Content {
    /// A zip archive.
    Zip,
    /// A tar archive.
    Tar(Compression),
    /// Anything else that can be taken as it is.
    Other,
}

/// How a tar archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
}

impl Content {
    /// Returns what a file holds.
    ///
    /// # Errors
    /// If it cannot be read, is an archive that is not read, or stands in the place of another file: a
    /// page of a web server, a pointer of Git LFS, a text where the name promises an archive.
    pub(in crate::data) fn of(path: &Path) -> Result<Content, DataError> {
        let head = head(path).map_err(|error| DataError::unreadable(path, error))?;
        of_head(&head, path).map_err(|why| DataError::unreadable(path, why))
    }
}

fn of_head(head: &[u8], path: &Path) -> Result<Content, String> {
    if let Some(found @ (Foreign::LfsPointer | Foreign::WebPage)) = Foreign::of(head) {
        return Err(found.clause(""));
    }
    if is_zip(head) {
        return Ok(Content::Zip);
    }
    let kind = infer::get(head);
    match kind.map(|kind| kind.extension()) {
        Some("tar") => Ok(Content::Tar(Compression::None)),
        Some("gz") => Ok(Content::Tar(Compression::Gzip)),
        Some("bz2") => Ok(Content::Tar(Compression::Bzip2)),
        Some("xz") => Ok(Content::Tar(Compression::Xz)),
        Some(other) if infer::is_archive(head) => Err(format!(
            "it is a `.{other}` file, which is not read; unpack it and give the folder, or give one of {READ}"
        )),
        _ if promises_archive(path) => Err(no_archive(head)),
        _ => Ok(Content::Other),
    }
}

/// Returns the first bytes of a file.
pub(in crate::data) fn head(path: &Path) -> io::Result<Vec<u8>> {
    beginning(&mut durable::open(path)?)
}

/// Returns the first bytes.
pub(super) fn beginning(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    from.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// True if bytes that begin like this are a tar archive.
pub(super) fn is_tar(head: &[u8]) -> bool {
    infer::get(head).is_some_and(|kind| kind.extension() == "tar")
}

fn is_zip(head: &[u8]) -> bool {
    let starts = [b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"];
    starts.iter().any(|start| head.starts_with(*start))
}

/// True if a file of this name should be an archive.
fn promises_archive(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["zip", "tar", "gz", "tgz", "bz2", "tbz2", "xz", "txz"]
        .iter()
        .any(|archive| ending.eq_ignore_ascii_case(archive))
}

/// Says what a file holds that is named as an archive but is none.
fn no_archive(head: &[u8]) -> String {
    let is_text = |text: &&str| !text.contains(|c: char| c.is_control() && !c.is_whitespace());
    let text = std::str::from_utf8(head).ok().filter(is_text);
    match text.and_then(|text| text.lines().find(|line| !line.trim().is_empty())) {
        _ if head.is_empty() => "it is empty; download it again".to_owned(),
        Some(line) => {
            let line: String = line.trim().chars().take(EXCERPT).collect();
            format!("it is no archive but a text that begins with `{line}`; download it again")
        }
        None => format!("it is named as an archive but is none ({READ}); download it again"),
    }
}
