//! The base vision transformer.

use super::vit::{LAYERS, VitInput, vit_part};
use crate::{Backbone, Footprint, ImageInput, Weights, parts::part::part};

part! {
    /// Vision transformer, base, with patches of 16 pixels: 768 features.
    pub struct VitB16 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The input that the weights were trained on.
        #[serde(skip_serializing_if = "VitInput::is_default")]
        input: VitInput = VitInput::Imagenet,
    }
    formula: "12 blocks, 12 heads; 768 features",
    source: "Dosovitskiy et al., ICLR 2021",
}

vit_part!(
    VitB16,
    |_| "vit_base_patch16_224",
    16,
    768,
    |_| LAYERS,
    Footprint {
        evaluation: 117,
        training: 1796,
        parameters: 85799,
    }
);

impl VitB16 {
    fn input_of_weights(&self) -> ImageInput {
        self.input.image_input()
    }

    fn own_forms(&self) -> Vec<Backbone> {
        Vec::new()
    }
}
