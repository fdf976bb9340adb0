//! One orchestrator at a time: an operating-system lock on `results/LOCK`, which dies with its holder.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Held while an orchestrator writes under `results/`.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not to be had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another orchestrator works here.
    #[error("another `sweep` ({holder}) is running in `{}`; wait for it, stop it, or use another folder with --results", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// What the holder wrote of itself.
        holder: String,
    },
    /// The folder cannot be used.
    #[error("failed to lock `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    pub(super) fn acquire(root: &Path) -> Result<Lock, LockError> {
        let path = root.join("LOCK");
        let io = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(root).map_err(io)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // Only to be helpful: the lock itself is the fact.
                return Err(LockError::Held {
                    folder: root.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        let sign = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "process {}", std::process::id())
        };
        sign(&mut file).map_err(io)?;
        Ok(Lock { _file: file })
    }
}
