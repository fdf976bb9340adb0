//! A file that is written piece by piece and published at the end.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::{
    DiskError, create_folder, parent, sync_parent,
    turn::{Superseded, Turn},
    whole_folder::remove_leftover,
};

/// A file that gets its name only when it is complete and on disk.
///
/// Dropped before [`publish`](WholeFile::publish), it leaves nothing behind.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    /// The turn in which it is written, if processes take turns at it.
    turn: Option<Turn>,
    published: bool,
}

impl WholeFile {
    /// Begins a file, and creates its folder if necessary. What a killed process left is overwritten. If this process
    /// [has a turn](Turn::of_process) at it, it is written in that turn.
    ///
    /// # Errors
    /// The folder or the temporary file cannot be created.
    pub fn create(path: &Path) -> Result<WholeFile, DiskError> {
        create_folder(parent(path))?;
        WholeFile::begin(path, Turn::for_file(path))
    }

    /// Begins a file that is published only if no later turn has begun.
    ///
    /// # Errors
    /// As for [`create`](WholeFile::create).
    pub fn create_in_turn(path: &Path, turn: &Turn) -> Result<WholeFile, DiskError> {
        create_folder(parent(path))?;
        WholeFile::begin(path, Some(turn.clone()))
    }

    fn begin(path: &Path, turn: Option<Turn>) -> Result<WholeFile, DiskError> {
        let temporary = match &turn {
            Some(turn) => with_suffix(path, &(turn.mark() + SUFFIX)),
            None => with_suffix(path, SUFFIX),
        };
        let file = open_locked(&temporary).map_err(DiskError::at("write", path))?;
        Ok(WholeFile {
            file,
            temporary,
            path: path.to_owned(),
            turn,
            published: false,
        })
    }

    /// True if a process writes the file at `path` now, or was killed while it did.
    pub fn is_begun(path: &Path) -> bool {
        fs::symlink_metadata(with_suffix(path, SUFFIX)).is_ok()
    }

    /// Returns the path of the temporary file, for libraries that write to a path only. They must
    /// write into the existing file, not replace it.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// The disk does not accept them.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.write_all(bytes)
            .map_err(|cause| DiskError::at("write", &self.path)(cause))
    }

    /// Gives the file its name, replacing an earlier file.
    ///
    /// # Errors
    /// The content does not reach the disk, the file cannot be renamed, or a later turn has begun
    /// ([`DiskError::is_superseded`]).
    pub fn publish(mut self) -> Result<(), DiskError> {
        self.sync_and_rename()
            .map_err(DiskError::at("write", &self.path))?;
        self.published = true;
        sync_parent(&self.path)
    }

    /// Gives the file its name without waiting for the disk.
    ///
    /// # Errors
    /// The file cannot be renamed.
    pub(crate) fn publish_soon(mut self) -> Result<(), DiskError> {
        self.rename().map_err(DiskError::at("write", &self.path))?;
        self.published = true;
        Ok(())
    }

    fn sync_and_rename(&self) -> io::Result<()> {
        self.file.sync_all()?;
        let Some(turn) = &self.turn else {
            return self.rename();
        };
        turn.require()?;
        self.rename().map_err(superseded_if_removed)
    }

    pub(crate) fn rename(&self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)
    }
}

/// A later turn removes the temporary files of others.
fn superseded_if_removed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(Superseded),
        _ => error,
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.published {
            // The first error is the one to report; a leftover is overwritten by the next attempt.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Removes the temporary files and folders in a folder that no process writes any more. A missing folder has none.
///
/// # Errors
/// The folder cannot be listed, or a file in it cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), DiskError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DiskError::at("list", folder)(error)),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Some(_lock) = lock_abandoned(&path) {
            fs::remove_file(&path).map_err(DiskError::at("remove", &path))?;
        }
        remove_leftover(&path).map_err(DiskError::at("remove", &path))?;
    }
    Ok(())
}

/// Locks a temporary file that no process writes any more. While the lock is held, none can begin to.
fn lock_abandoned(path: &Path) -> Option<File> {
    let is_temporary = path
        .as_os_str()
        .as_encoded_bytes()
        .ends_with(SUFFIX.as_bytes());
    if !is_temporary || !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let file = crate::open(path).ok()?;
    file.try_lock().ok()?;
    metadata_if_at(&file, path).ok()?.map(|_| file)
}

/// What a temporary file has behind its final name.
pub(crate) const SUFFIX: &str = ".incomplete";

/// Returns the path with something appended to its last component.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the temporary file, empty, once no other writer holds it.
fn open_locked(temporary: &Path) -> io::Result<File> {
    loop {
        let file = create_or_open(temporary)?;
        // Some network file systems have no locks; there, one file must have one writer at a time.
        let _ = file.lock();
        // The previous writer may have renamed or removed the file that was opened.
        if let Some(opened) = metadata_if_at(&file, temporary)? {
            if opened.len() > 0 {
                file.set_len(0)?;
            }
            return Ok(file);
        }
    }
}

/// Creates the temporary file, or opens the one that is there.
fn create_or_open(temporary: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true);
    match options.clone().create_new(true).open(temporary) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created,
    }
    refuse_pipe(temporary)?;
    options.create(true).truncate(false).open(temporary)
}

/// Returns an error for a pipe, which would block until another process reads it.
fn refuse_pipe(temporary: &Path) -> io::Result<()> {
    if fs::metadata(temporary).is_ok_and(|found| found.file_type().is_fifo()) {
        let why = format!("`{}` is a pipe", temporary.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    Ok(())
}

/// Returns what an open file is, if it is the one that `path` names now.
fn metadata_if_at(file: &File, path: &Path) -> io::Result<Option<Metadata>> {
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => {
            let is_same = named.dev() == opened.dev() && named.ino() == opened.ino();
            Ok(is_same.then_some(opened))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
