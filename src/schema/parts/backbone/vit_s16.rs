//! The small vision transformer.

use super::vit::{LAYERS, VitInput, vit_part};
use crate::{Backbone, Footprint, ImageInput, Weights, parts::part::part};

part! {
    /// Vision transformer, small, with patches of 16 pixels: 384 features.
    pub struct VitS16 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The input that the weights were trained on.
        #[serde(skip_serializing_if = "VitInput::is_default")]
        input: VitInput = VitInput::Imagenet,
    }
    formula: "12 blocks, 6 heads; 384 features",
    source: "Dosovitskiy et al., ICLR 2021",
}

vit_part!(
    VitS16,
    |_| "vit_small_patch16_224",
    16,
    384,
    |_| LAYERS,
    Footprint {
        evaluation: 108,
        training: 1076,
        parameters: 21666,
    }
);

impl VitS16 {
    fn input_of_weights(&self) -> ImageInput {
        self.input.image_input()
    }

    fn own_forms(&self) -> Vec<Backbone> {
        Vec::new()
    }
}
