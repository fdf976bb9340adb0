//! Files of a run that appear whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tch::Tensor;

use crate::Failed;

/// Named tensors, as safetensors files hold them.
pub(crate) type Tensors = Vec<(String, Tensor)>;

/// The file of the trained network in a run's folder.
pub(crate) fn model(run: &Path) -> PathBuf {
    run.join("model.safetensors")
}

/// The file with the module of TorchScript that the network is made of, if it is, in a run's folder.
pub(crate) fn script(run: &Path) -> PathBuf {
    run.join("backbone.pt")
}

/// The file of an unfinished training in a run's folder.
pub(crate) fn checkpoint(run: &Path) -> PathBuf {
    run.join("checkpoint.safetensors")
}

/// Writes tensors, from whatever device, to a file that gets its name only when it is complete and on disk.
///
/// # Errors
/// If the disk does not take it.
pub(crate) fn write(tensors: &Tensors, path: &Path) -> Result<(), Failed> {
    let temporary = path.with_extension("safetensors.incomplete");
    let written = write_through(tensors, &temporary).and_then(|()| publish(&temporary, path));
    written.map_err(|cause| {
        // Half a file helps nobody, and its space may be needed.
        let _ = fs::remove_file(&temporary);
        Failed::disk(path, &cause)
    })
}

/// Writes plain data, under its name only when it is whole and on disk.
///
/// # Errors
/// If the disk does not take it.
pub(crate) fn write_json<T: Serialize>(value: &T, path: &Path) -> Result<(), Failed> {
    let temporary = path.with_extension("incomplete");
    let text =
        serde_json::to_vec_pretty(value).map_err(|error| Failed::disk(path, &error.into()))?;
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written
        .and_then(|()| publish(&temporary, path))
        .map_err(|error| Failed::disk(path, &error))
}

fn write_through(tensors: &Tensors, temporary: &Path) -> io::Result<()> {
    let plain: Tensors = tensors
        .iter()
        .map(|(name, tensor)| {
            (
                name.clone(),
                tensor.detach().to_device(tch::Device::Cpu).contiguous(),
            )
        })
        .collect();
    Tensor::write_safetensors(&plain, temporary).map_err(into_io)
}

fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    File::open(temporary)?.sync_all()?;
    fs::rename(temporary, path)?;
    sync_folder_of(path)
}

/// Makes what happened to names in the folder of `path` survive a power failure.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Keeps the kind of the system's error, which tells a full disk from others.
fn into_io(error: tch::TchError) -> io::Error {
    match error {
        tch::TchError::Io(error) => error,
        other => {
            let full = other.to_string().contains("No space left")
                || other.to_string().contains("StorageFull");
            io::Error::new(
                if full {
                    io::ErrorKind::StorageFull
                } else {
                    io::ErrorKind::Other
                },
                other.to_string(),
            )
        }
    }
}
