//! The error for a disk that does not accept a file.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::turn::Superseded;

/// A file or folder could not be created, written, renamed or removed.
#[derive(Debug, Error)]
#[error("{}", sentence(action, path, cause))]
pub struct DiskError {
    /// What was attempted, as a verb: `write`, `create`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    #[source]
    pub cause: io::Error,
}

impl DiskError {
    /// Returns a function for `map_err` that adds the action and the path to a system error.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
        let path = path.to_owned();
        move |cause| DiskError {
            action,
            path,
            cause,
        }
    }

    /// True if there is no space left, on the disk or in the user's quota.
    pub fn is_full(&self) -> bool {
        is_full(&self.cause)
    }

    /// True if the file was not published because a later [`Turn`](crate::Turn) has begun.
    pub fn is_superseded(&self) -> bool {
        let cause = self.cause.get_ref();
        cause.is_some_and(|cause| cause.is::<Superseded>())
    }
}

fn is_full(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

fn sentence(action: &str, path: &Path, cause: &io::Error) -> String {
    let path = path.display();
    if is_full(cause) {
        format!("the disk is full: cannot {action} `{path}`")
    } else if cause.kind() == io::ErrorKind::FileTooLarge {
        format!(
            "cannot {action} `{path}`: it would be larger than a file may be here (`ulimit -f`)"
        )
    } else {
        format!("cannot {action} `{path}`: {cause}")
    }
}
