//! The base vision transformer.

use super::vit::{VitFeatures, VitInput, VitPart, vit_fields};
use crate::{Footprint, ImageInput, Weights, parts::part::part};

part! {
    /// Vision transformer, base, with patches of 16 pixels: 768 features.
    pub struct VitB16 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The input that the weights were trained on.
        #[serde(skip_serializing_if = "VitInput::is_default")]
        input: VitInput = VitInput::Imagenet,
        /// The tokens that are the features.
        #[serde(skip_serializing_if = "VitFeatures::is_default")]
        features: VitFeatures = VitFeatures::Class,
    }
    formula: "12 blocks, 12 heads; 768 features",
    source: "Dosovitskiy et al., ICLR 2021",
}

impl VitPart for VitB16 {
    const PATCH: u32 = 16;
    const WIDTH: u32 = 768;
    const FOOTPRINT: Footprint = Footprint {
        evaluation: 117,
        training: 1796,
        parameters: 85799,
    };

    fn in_timm(&self) -> (&'static str, &'static str) {
        ("vit_base_patch16_224", "")
    }

    fn seen(&self) -> ImageInput {
        self.input.image_input()
    }

    vit_fields!();
}
