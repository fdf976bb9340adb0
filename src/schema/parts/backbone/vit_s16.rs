//! The small vision transformer.

use super::{
    BackbonePart, ImageInput, has_weights,
    vit::{self, CLASSIFIERS, LAYERS, PATCH, VitInput},
};
use crate::{Weights, parts::part::part};

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

impl BackbonePart for VitS16 {
    fn features(&self) -> Option<u32> {
        Some(384)
    }

    fn input(&self) -> Option<ImageInput> {
        Some(self.input.image_input())
    }

    fn least_image(&self) -> u32 {
        PATCH
    }

    fn obstacle(&self, side: u32) -> Option<String> {
        vit::obstacle(side)
    }

    fn layers(&self) -> &'static [&'static str] {
        LAYERS
    }

    fn classifiers(&self) -> &'static [&'static str] {
        CLASSIFIERS
    }

    fn gives_a_map(&self) -> bool {
        false
    }

    fn prefers_channels_last(&self) -> bool {
        false
    }

    has_weights!();
}
