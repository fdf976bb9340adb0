//! Writes a trained network for use elsewhere.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsRawFd,
    path::Path,
};

use dml::model::Network;
use rustix::fs::{MemfdFlags, memfd_create};
use schema::{Event, ExportWork, Exported, NetworkFormat};
use tch::{Device, TchError};

use crate::{Emit, Failed, evaluate, files};

/// Writes the network in a run's folder to a file.
///
/// # Errors
/// The network cannot be used, or the file cannot be written.
pub(crate) fn export(work: &ExportWork, emit: Emit) -> Result<Exported, Failed> {
    emit(Event::Started { from: 0 });
    let network = evaluate::trained_network(&work.recipe, &work.run, Device::Cpu)?;
    if !network.is_exportable() {
        return Err(Failed::recipe(
            "its backbone is a TorchScript module, whose buffers are not accessible; the module itself is `backbone.pt` \
             in the folder of the run",
        ));
    }
    let tensors = network.named_tensors();
    match work.format {
        NetworkFormat::Safetensors => files::write(&tensors, &work.into)?,
        NetworkFormat::Torchscript => {
            durable::write(&work.into, &torchscript(&network)?)?;
        }
    }
    Ok(Exported {
        tensors: tensors.len() as u64,
        parameters: network.parameter_count() as u64,
        width: network.width() as u64,
    })
}

/// Returns a network as TorchScript. libtorch writes it to a file in main memory: on a full disk, it would end the
/// process.
fn torchscript(network: &Network) -> Result<Vec<u8>, Failed> {
    let unwritten = |error: io::Error| Failed::internal(format!("no file in memory: {error}"));
    let memory = memfd_create("network", MemfdFlags::CLOEXEC).map_err(|e| unwritten(e.into()))?;
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    network
        .save_torchscript(Path::new(&path))
        .map_err(|error| untraceable(&error))?;
    let mut bytes = Vec::new();
    let read = File::from(memory).read_to_end(&mut bytes);
    read.map_err(unwritten)?;
    Ok(bytes)
}

fn untraceable(error: &TchError) -> Failed {
    Failed::internal(format!(
        "the network cannot be written as TorchScript: {error}"
    ))
}
