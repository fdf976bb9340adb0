//! Files and folders that appear whole or not at all.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use super::DataError;

/// A file that gets its name only when it is complete and on disk.
pub(super) struct WholeFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl WholeFile {
    /// Begins a file. What an earlier, interrupted attempt left is overwritten.
    pub(super) fn create(path: &Path) -> Result<WholeFile, DataError> {
        let temporary = with_suffix(path, ".incomplete");
        let file = File::create(&temporary).map_err(DataError::disk("create", &temporary))?;
        Ok(WholeFile {
            file,
            temporary,
            path: path.into(),
        })
    }

    /// Adds to the file.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file
            .write_all(bytes)
            .map_err(DataError::disk("write", &self.path))
    }

    /// Puts the file under its name, for good.
    pub(super) fn finish(self) -> Result<(), DataError> {
        self.file
            .sync_all()
            .map_err(DataError::disk("write", &self.path))?;
        fs::rename(&self.temporary, &self.path).map_err(DataError::disk("write", &self.path))?;
        sync_folder_of(&self.path)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        // After a success there is nothing under this name; after a failure nobody needs it.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Creates a folder and all above it.
pub(super) fn create_folder(path: &Path) -> Result<(), DataError> {
    fs::create_dir_all(path).map_err(DataError::disk("create", path))
}

/// Makes what was renamed in the folder of `path` survive a power failure.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), DataError> {
    let folder = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(DataError::disk("write", folder))
}

/// The same path with something appended to its last part.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
