//! The files of a run's folder, and how tensors, JSON and pictures are written durably.

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use durable::{DiskError, WholeFile};
use image::{ImageFormat, RgbImage};
use safetensors::SafeTensorError;
use schema::run_files;
use tch::{TchError, Tensor};

use crate::Failed;

/// Named tensors, as safetensors files hold them.
pub(crate) type Tensors = Vec<(String, Tensor)>;

/// Returns the path of the trained network in a run's folder.
pub(crate) fn model(run: &Path) -> PathBuf {
    run.join(run_files::MODEL)
}

/// Returns the path of the TorchScript module that a network consists of, in a run's folder.
pub(crate) fn script(run: &Path) -> PathBuf {
    run.join(run_files::SCRIPT)
}

/// Returns the path of the checkpoint of an unfinished training, in a run's folder.
pub(crate) fn checkpoint(run: &Path) -> PathBuf {
    run.join(run_files::CHECKPOINT)
}

/// Returns the path of the embeddings of the test images, in a run's folder.
pub(crate) fn embeddings(run: &Path) -> PathBuf {
    run.join(run_files::EMBEDDINGS)
}

/// Returns the path of the scores of each query, in a run's or ensemble's folder.
pub(crate) fn queries(folder: &Path) -> PathBuf {
    folder.join(run_files::QUERIES)
}

/// Writes tensors, from whatever device, as a safetensors file.
///
/// # Errors
/// The disk does not accept the file.
pub(crate) fn write(tensors: &Tensors, path: &Path) -> Result<(), Failed> {
    let file = WholeFile::create(path)?;
    let on_cpu: Tensors = tensors.iter().map(to_cpu).collect();
    match Tensor::write_safetensors(&on_cpu, file.temporary()) {
        Ok(()) => Ok(file.publish()?),
        Err(
            TchError::Io(cause)
            | TchError::SafeTensorError {
                err: SafeTensorError::IoError(cause),
                ..
            },
        ) => Err(DiskError::at("write", path)(cause).into()),
        Err(other) => Err(Failed::internal(other.to_string())),
    }
}

fn to_cpu((name, tensor): &(String, Tensor)) -> (String, Tensor) {
    let plain = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    (name.clone(), plain)
}

/// Writes a picture as PNG.
///
/// # Errors
/// The disk does not accept the file.
pub(crate) fn write_png(picture: &RgbImage, path: &Path) -> Result<(), Failed> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|error| Failed::internal(error.to_string()))?;
    Ok(durable::write(path, bytes.get_ref())?)
}
