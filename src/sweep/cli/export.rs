//! `sweep export`: a trained network for use elsewhere, with a card.

mod card;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use clap::Args;
use schema::{ExportWork, NetworkFormat};

use super::{Exit, evaluate::ResultsArgs, progress::Bar, show, tell, writable};
use crate::ledger::absolute;

/// Export a trained network
///
/// Writes safetensors with the names of torchvision or timm, or TorchScript, which maps bytes of images to embeddings. A
/// card beside the file says how to prepare images, how to make ONNX from TorchScript, what the network was trained on and how
/// it was measured.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep export 6b1c5a0e --into network.safetensors
  sweep export best:Triplet --sweep sweeps/omniglot.toml --into triplet.pt")]
pub(super) struct Export {
    /// Id of a run or its beginning, the folder of a run, or best:METHOD with --sweep
    run: String,
    /// File to write: NAME.safetensors, or NAME.pt for TorchScript; the card is NAME.md
    #[arg(long, value_name = "FILE")]
    into: PathBuf,
    #[command(flatten)]
    place: ResultsArgs,
}

impl Export {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let format = format_of(&self.into)?;
        let card = self.into.with_extension("md");
        writable::check_pair(&self.into, &card, card::is_card)?;
        let found = self.place.find(&self.run)?;
        let work = ExportWork {
            recipe: found.identity.recipe.clone(),
            run: found.run.path().to_owned(),
            format,
            into: absolute(&self.into),
        };
        let exported = self
            .place
            .trainer
            .attempt(work, &Bar::images("exporting"))?;
        let text = card::card(&found, &exported, format, &self.into)?;
        durable::write(&card, text.as_bytes())?;
        tell(&format!(
            "{} tensors, {} parameters, embeddings of {} numbers; how to use it: {}",
            exported.tensors,
            exported.parameters,
            exported.width,
            card.display()
        ));
        show(&format!("{}\n", self.into.display()))
    }
}

/// Returns the format that the name of a file asks for.
fn format_of(file: &Path) -> Result<NetworkFormat, Exit> {
    let extension = file.extension().and_then(OsStr::to_str);
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("safetensors") => Ok(NetworkFormat::Safetensors),
        Some("pt" | "pth") => Ok(NetworkFormat::Torchscript),
        Some("onnx") => Err(Exit::mistake(
            "ONNX is not written; export to a file `.pt`, whose card has the lines of Python that make ONNX from it",
        )),
        _ => Err(Exit::mistake(format!(
            "`{}` names no format: `--into` takes NAME.safetensors, or NAME.pt for TorchScript",
            file.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_file_chooses_the_format() {
        let format = |name: &str| format_of(Path::new(name)).map_err(|exit| exit.reason());
        assert_eq!(format("a.safetensors"), Ok(NetworkFormat::Safetensors));
        assert_eq!(format("a.PT"), Ok(NetworkFormat::Torchscript));
        assert!(format("a.onnx").is_err_and(|why| why.contains("`.pt`")));
        assert!(format("a").is_err_and(|why| why.contains("names no format")));
    }
}
