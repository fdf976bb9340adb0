//! Any module of TorchScript.

use super::{BackbonePart, ImageInput, has_weights};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// Any module of TorchScript that makes features or a map of images.
    pub struct Torchscript {
        /// The file of the module, with its weights. Required.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The input that it was trained on.
        #[serde(skip_serializing_if = "ImageInput::is_default")]
        input: ImageInput = ImageInput::IMAGENET,
    }
    formula: "a file of torch.jit.save",
    source: "PyTorch",
}

impl BackbonePart for Torchscript {
    fn features(&self) -> Option<u32> {
        None
    }

    fn input(&self) -> Option<ImageInput> {
        Some(self.input)
    }

    fn least_image(&self) -> u32 {
        1
    }

    fn footprint(&self) -> Footprint {
        Footprint::UNKNOWN
    }

    fn layers(&self) -> &'static [&'static str] {
        &[]
    }

    fn prefers_channels_last(&self) -> bool {
        false
    }

    has_weights!();
}
