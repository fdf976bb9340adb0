//! One orchestrator at a time: an operating-system lock on `results/LOCK`, released when its holder
//! dies.

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

/// The lock cannot be acquired.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another orchestrator holds it.
    #[error("another `sweep` ({holder}) is running in `{}`; wait for it, stop it, or use another folder with --results", folder.display())]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The holder, as written in the file.
        holder: String,
    },
    /// The folder cannot be used.
    #[error("failed to lock `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
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
                // The name of the holder only improves the message.
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held {
                    folder: root.to_owned(),
                    holder: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        write_holder(&mut file).map_err(io)?;
        Ok(Lock { _file: file })
    }
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())
}
