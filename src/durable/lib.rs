//! Files and folders that appear whole or not at all, also after a power cut.
//!
//! Every file that the project reads back later is written here: into a temporary file beside it,
//! then fsync, rename and fsync of the folder. A reader sees the old content or the new one, never a
//! mixture. [`write`] takes bytes, [`copy`] a file, and [`WholeFile`] a stream; a [`WholeFolder`] is the same for a folder. The temporary file
//! has a fixed name, so that the next attempt overwrites what a killed process left; a lock on it
//! lets concurrent writers of one file take turns. [`remove_leftovers`] removes those that no attempt
//! overwrites. Where processes on different machines may work on the same files, each has a [`Turn`]. [`read`], [`read_to_string`] and [`open`] refuse pipes and devices, which could
//! block for ever; clippy refuses the functions of `std::fs` that do not.
//!
//! This is a crate of its own because `dml`, `trainer` and `sweep` all write such files, `dml` must
//! not depend on `sweep`, and `schema` holds data only. [`DiskError`] is the one error for a disk
//! that does not accept a file; it keeps the system's error kind.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod error;
mod turn;
mod whole_file;
mod whole_folder;

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, retry_on_intr},
};

pub use error::DiskError;
pub use turn::Turn;
pub use whole_file::{WholeFile, remove_leftovers};
pub use whole_folder::WholeFolder;

/// Opens a file for reading.
///
/// # Errors
/// There is no such file, it cannot be read, or it is a folder, a pipe or a device.
pub fn open(path: &Path) -> io::Result<File> {
    open_with_metadata(path).map(|(file, _)| file)
}

fn open_with_metadata(path: &Path) -> io::Result<(File, Metadata)> {
    // Without waiting for the writer of a pipe.
    let reading = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match retry_on_intr(|| rustix::fs::open(path, reading, Mode::empty())) {
        Ok(file) => File::from(file),
        // A socket, or a device that is not there.
        Err(Errno::NXIO | Errno::NODEV) => return Err(no_file()),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(no_file()),
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")
}

/// Reads a file.
///
/// # Errors
/// As for [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_with_metadata(path).map(|(bytes, _)| bytes)
}

/// Reads a file. Returns its content, and what it was before it was read.
///
/// # Errors
/// As for [`open`].
pub fn read_with_metadata(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let (mut file, metadata) = open_with_metadata(path)?;
    let expected = usize::try_from(metadata.len()).unwrap_or(0);
    // A read of all that there should be, which would have got one byte more, has reached the end.
    let mut bytes = vec![0; expected.saturating_add(1)];
    let read = retry_on_intr(|| rustix::io::read(&file, &mut bytes[..]))?;
    bytes.truncate(read);
    if read == 0 || read != expected {
        file.read_to_end(&mut bytes)?;
    }
    Ok((bytes, metadata))
}

/// Reads a file of text.
///
/// # Errors
/// As for [`open`], or it is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes or replaces the file at `path`, and creates its folder if necessary.
///
/// # Errors
/// A step failed. An earlier file of this name is unchanged, and the temporary file is removed.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = WholeFile::create(path)?;
    file.append(bytes)?;
    file.publish()
}

/// Writes or replaces the file at `path`, if no later turn has begun.
///
/// # Errors
/// As for [`write`], or a later turn has begun ([`DiskError::is_superseded`]).
pub fn write_in_turn(path: &Path, bytes: &[u8], turn: &Turn) -> Result<(), DiskError> {
    let mut file = WholeFile::create_in_turn(path, turn)?;
    file.append(bytes)?;
    file.publish()
}

/// Does the same as [`write`] without waiting for the disk: no reader sees half a file, but a power cut may lose it. For what can be
/// done without.
///
/// # Errors
/// As for [`write`].
pub fn write_soon(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let mut file = WholeFile::create(path)?;
    file.append(bytes)?;
    file.publish_soon()
}

/// Copies the content of `from` to `to`, which is written like any other file.
///
/// # Errors
/// `from` cannot be read, or `to` cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<(), DiskError> {
    let mut source = open(from).map_err(DiskError::at("read", from))?;
    let mut file = WholeFile::create(to)?;
    io::copy(&mut source, &mut file).map_err(DiskError::at("write", to))?;
    file.publish()
}

/// Gives a file that is already on disk another name in its folder, replacing an earlier file.
///
/// # Errors
/// The file cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(DiskError::at("write", to))?;
    sync_parent(to)
}

/// Creates a folder and its missing parents; their names survive a power cut.
///
/// # Errors
/// One of them cannot be created.
pub fn create_folder(path: &Path) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    create_folder(parent(path))?;
    match fs::create_dir(path) {
        Ok(()) => sync_parent(path),
        // Another process was faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(cause) => Err(DiskError::at("create", path)(cause)),
    }
}

/// Makes the creation, renaming or removal of `path` survive a power cut: fsync of its folder.
///
/// # Errors
/// The folder cannot be opened or synchronized.
pub fn sync_parent(path: &Path) -> Result<(), DiskError> {
    let folder = parent(path);
    open_folder(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(DiskError::at("write", folder))
}

/// Opens a folder, to lock or synchronize it.
fn open_folder(path: &Path) -> io::Result<File> {
    let folder = OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, folder, Mode::empty())?.into())
}

/// Returns the folder that contains `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

#[cfg(test)]
mod tests;
