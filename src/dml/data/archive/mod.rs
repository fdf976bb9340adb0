//! Archives that come from elsewhere.
//!
//! The kind of an archive is known by its [`content`]. Nothing is written outside of the folder into which it
//! is unpacked, no links are made, and the number and the size of the unpacked files are bounded: a small file
//! can unpack to any size.

mod content;
mod tarred;
#[cfg(test)]
mod tests;
mod zipped;

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

pub(super) use self::content::{Content, head};
use super::{DataError, Progress};

/// How many times its own size an archive may unpack to.
const LARGEST_RATIO: u64 = 100;
/// The bytes to which any archive may unpack.
const SMALLEST_BOUND: u64 = 1 << 30;
/// The files that an archive may hold.
const MOST_FILES: u64 = 10_000_000;

/// The most characters of an entry's name that a message repeats.
const LONGEST_NAME: usize = 100;

/// Unpacks a whole archive into a folder, which must hold no links. `progress` receives the archive's bytes.
///
/// # Errors
/// If it is damaged, would write outside of the folder, has a file twice or unpacks to too much, or the disk
/// does not take it.
pub(super) fn unpack(
    archive: &Path,
    content: Content,
    into: &Path,
    progress: Progress,
) -> Result<(), DataError> {
    let bytes = fs::metadata(archive).map_or(0, |metadata| metadata.len());
    let mut target = Target {
        archive,
        into,
        bound: Bound::of_archive(bytes),
    };
    match content {
        Content::Zip => zipped::unpack(&mut target, bytes, progress),
        Content::Tar(compression) => tarred::unpack(&mut target, compression, bytes, progress),
        Content::Other => Err(DataError::unreadable(archive, "it is no archive")),
    }
}

/// Returns true if a file or folder of this name is hidden or added by macOS.
pub(super) fn is_clutter(name: &str) -> bool {
    name == "__MACOSX" || name.starts_with('.')
}

/// What may still be unpacked.
#[derive(Clone, Copy, Debug)]
struct Bound {
    bytes: u64,
    files: u64,
}

impl Bound {
    fn of_archive(bytes: u64) -> Bound {
        Bound {
            bytes: bytes.saturating_mul(LARGEST_RATIO).max(SMALLEST_BOUND),
            files: MOST_FILES,
        }
    }
}

/// The folder into which an archive is unpacked.
struct Target<'a> {
    archive: &'a Path,
    into: &'a Path,
    bound: Bound,
}

impl Target<'_> {
    /// Writes one file of the archive, unless it is clutter.
    fn write(&mut self, name: &str, content: &mut dyn Read) -> Result<(), DataError> {
        let parts = self.parts(name)?;
        if parts.iter().any(|part| is_clutter(part)) {
            return Ok(());
        }
        let path = self.into.join(parts.join("/"));
        let mut file = self.create(name, &path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = content
                .read(&mut buffer)
                .map_err(|error| self.damaged(name, &error))?;
            if count == 0 {
                return Ok(());
            }
            self.take_bytes(count as u64)?;
            file.write_all(&buffer[..count])
                .map_err(DataError::disk("write", &path))?;
        }
    }

    /// Returns the parts of an entry's path.
    fn parts<'n>(&self, name: &'n str) -> Result<Vec<&'n str>, DataError> {
        if name.contains('\0') {
            return Err(self.refused(name, "its name has a zero byte"));
        }
        if is_absolute(name) || name.split('/').any(|part| part == "..") {
            return Err(self.refused(
                name,
                "it would land outside of the folder it is unpacked into",
            ));
        }
        let parts = name
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".");
        Ok(parts.collect())
    }

    fn create(&mut self, name: &str, path: &Path) -> Result<File, DataError> {
        self.bound.files = self
            .bound
            .files
            .checked_sub(1)
            .ok_or_else(|| self.unbounded(&format!("it has more than {MOST_FILES} files")))?;
        let folder = path.parent().unwrap_or(self.into);
        let created = fs::create_dir_all(folder).and_then(|()| File::create_new(path));
        created.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => self
                .refused(
                    name,
                    "another file or folder of this name is in it, or was given before",
                ),
            ErrorKind::InvalidFilename => self.refused(name, "its name is too long"),
            _ => DataError::disk("write", path)(error),
        })
    }

    fn take_bytes(&mut self, count: u64) -> Result<(), DataError> {
        self.bound.bytes = self.bound.bytes.checked_sub(count).ok_or_else(|| {
            self.unbounded(&format!(
                "it unpacks to more than {LARGEST_RATIO} times its size, and to more than 1 GB"
            ))
        })?;
        Ok(())
    }

    fn unbounded(&self, what: &str) -> DataError {
        DataError::unreadable(
            self.archive,
            format!(
                "{what}, as no archive of images does; to use it all the same, unpack it and give the folder"
            ),
        )
    }

    fn damaged(&self, name: &str, error: &io::Error) -> DataError {
        self.refused(name, &format!("{error}; download the archive again"))
    }

    fn refused(&self, name: &str, why: &str) -> DataError {
        DataError::unreadable(
            self.archive,
            format!("its entry `{}` is not acceptable: {why}", shown(name)),
        )
    }
}

/// True for `/etc`, `C:/` and `//server`.
fn is_absolute(name: &str) -> bool {
    let is_drive = |part: &str| {
        let letter = part.strip_suffix(':').unwrap_or_default();
        letter.len() == 1 && letter.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    name.starts_with('/') || name.split('/').next().is_some_and(is_drive)
}

/// Returns a name in which nothing is invisible, cut if it is long.
fn shown(name: &str) -> String {
    let visible = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let mut shown: String = name.chars().map(visible).take(LONGEST_NAME).collect();
    if name.chars().nth(LONGEST_NAME).is_some() {
        shown.push('…');
    }
    shown
}

fn damaged_archive(path: &Path, error: &impl std::fmt::Display) -> DataError {
    DataError::unreadable(
        path,
        format!("it is a damaged or incomplete archive ({error}); download it again"),
    )
}

/// Opens an archive.
fn open(path: &Path) -> Result<File, DataError> {
    durable::open(path).map_err(|error| DataError::unreadable(path, error))
}
