//! The files of a run's folder, and how tensors, JSON and pictures are written durably.

use std::{
    io::{self, Cursor},
    path::{Path, PathBuf},
};

use durable::{DiskError, WholeFile};
use image::{ImageFormat, RgbImage};
use safetensors::SafeTensorError;
use schema::{canonical_json, run_files};
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

/// The name of the tensor that seals a file: a BLAKE3 hash of all the others.
const SEAL: &str = "hash";

/// Writes tensors with a seal, so that damage is noticed when they are read.
///
/// # Errors
/// The disk does not accept the file.
pub(crate) fn write_sealed(mut tensors: Tensors, path: &Path) -> Result<(), Failed> {
    let seal = hash(&tensors).map_err(Failed::internal)?;
    tensors.push((SEAL.to_owned(), Tensor::from_slice(seal.as_bytes())));
    write(&tensors, path)
}

/// Reads the tensors of a sealed file.
///
/// # Errors
/// The reason why they must not be used.
pub(crate) fn read_sealed(path: &Path) -> Result<Tensors, String> {
    // Reading a pipe would wait for its writer.
    if !path.is_file() {
        let why = match path.exists() {
            true => "it is not a file",
            false => "it is not there",
        };
        return Err(why.to_owned());
    }
    let mut tensors =
        Tensor::read_safetensors(path).map_err(|_| "it is damaged or cannot be read")?;
    let expected = bytes(&take(&mut tensors, SEAL)?)?;
    if hash(&tensors)?.as_bytes() != expected.as_slice() {
        return Err("it is damaged".to_owned());
    }
    Ok(tensors)
}

/// Removes a tensor from a list and returns it.
///
/// # Errors
/// There is none with this name.
pub(crate) fn take(tensors: &mut Tensors, name: &str) -> Result<Tensor, String> {
    let place = tensors.iter().position(|(candidate, _)| candidate == name);
    place
        .map(|place| tensors.swap_remove(place).1)
        .ok_or_else(|| format!("it has no {name}"))
}

/// Returns the hash of names and contents, independent of the order.
fn hash(tensors: &Tensors) -> Result<blake3::Hash, String> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut hasher = blake3::Hasher::new();
    for (name, tensor) in sorted {
        let content = bytes(tensor)?;
        hasher.update(canonical_json(&(name, content.len())).as_bytes());
        hasher.update(&content);
    }
    Ok(hasher.finalize())
}

/// Returns the content of a tensor.
///
/// # Errors
/// libtorch cannot copy it.
pub(crate) fn bytes(tensor: &Tensor) -> Result<Vec<u8>, String> {
    let plain = tensor.detach().to_device(tch::Device::Cpu).contiguous();
    let mut bytes = vec![0; plain.numel() * plain.kind().elt_size_in_bytes()];
    plain
        .f_copy_data_u8(&mut bytes, plain.numel())
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Returns the BLAKE3 hash of a file's content in hexadecimal.
///
/// # Errors
/// It cannot be read.
pub(crate) fn hash_of(path: &Path) -> io::Result<String> {
    Ok(blake3::hash(&durable::read(path)?).to_hex().to_string())
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
