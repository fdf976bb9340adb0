//! Writes a trained network for use elsewhere.

use durable::WholeFile;
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
            let file = WholeFile::create(&work.into)?;
            network
                .save_torchscript(file.temporary())
                .map_err(|error| untraceable(&error))?;
            file.publish()?;
        }
    }
    Ok(Exported {
        tensors: tensors.len() as u64,
        parameters: network.parameter_count() as u64,
        width: network.width() as u64,
    })
}

fn untraceable(error: &TchError) -> Failed {
    Failed::internal(format!(
        "the network cannot be written as TorchScript: {error}"
    ))
}
