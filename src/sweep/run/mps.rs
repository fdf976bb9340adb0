//! NVIDIA's Multi-Process Service: runs that share a GPU compute at the same time instead of in turns.
//!
//! The service belongs to one sweep: its pipes are in a temporary folder, and it ends with the sweep.

use std::{
    io::{self, Write},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;
use thiserror::Error;

/// The program that starts and ends the service.
const CONTROL: &str = "nvidia-cuda-mps-control";

/// The variables in which CUDA finds the service, and the service its folder for logs.
const PIPES: &str = "CUDA_MPS_PIPE_DIRECTORY";
const LOGS: &str = "CUDA_MPS_LOG_DIRECTORY";

/// The service cannot be used.
#[derive(Debug, Error)]
pub enum MpsError {
    /// Its program cannot be started.
    #[error(
        "`resources.mps` needs `{CONTROL}`, which cannot be started: {0}; install it, or remove `mps`"
    )]
    NoProgram(#[source] io::Error),
    /// Its program reports an error.
    #[error("`{CONTROL}` failed: {0}; set `resources.mps = false` to share GPUs without it")]
    Failed(String),
}

/// The service of a sweep. Dropping it ends it.
#[derive(Debug)]
pub struct Mps {
    folder: TempDir,
}

impl Mps {
    /// Starts the service.
    ///
    /// # Errors
    /// Its program is missing or fails.
    pub fn start() -> Result<Mps, MpsError> {
        let folder = tempfile::tempdir().map_err(MpsError::NoProgram)?;
        let output = control(folder.path())
            .arg("-d")
            .stdin(Stdio::null())
            .output()
            .map_err(MpsError::NoProgram)?;
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            return Err(MpsError::Failed(log.trim().to_owned()));
        }
        Ok(Mps { folder })
    }

    /// Lets a program use the service.
    pub(super) fn serve(&self, command: &mut Command) {
        command.env(PIPES, self.folder.path());
    }
}

impl Drop for Mps {
    fn drop(&mut self) {
        let child = control(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        // An error means that the service has ended already.
        if let Ok(mut child) = child {
            if let Some(mut input) = child.stdin.take() {
                let _ = input.write_all(b"quit\n");
            }
            let _ = child.wait();
        }
    }
}

fn control(folder: &Path) -> Command {
    let mut command = Command::new(CONTROL);
    command.env(PIPES, folder).env(LOGS, folder);
    command
}
