//! EfficientNet-lite0.

use super::{BackbonePart, ImageInput, has_weights};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// EfficientNet-lite0 with the names of the PyTorch ports of its TensorFlow weights: 1280 features.
    pub struct EfficientnetLite0 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "EfficientNet without squeeze-and-excitation, with ReLU6; 1280 features",
    source: "Tan & Le, ICML 2019; its TensorFlow weights",
}

impl BackbonePart for EfficientnetLite0 {
    /// Red, green, blue, minus 127, divided by 128.
    fn input(&self) -> Option<ImageInput> {
        Some(ImageInput {
            white: 255.0,
            mean: [127.0; 3],
            deviation: [128.0; 3],
            ..ImageInput::IMAGENET
        })
    }

    fn features(&self) -> Option<u32> {
        Some(1280)
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            evaluation: 249,
            training: 1622,
            parameters: 3372,
        }
    }

    fn layers(&self) -> &'static [&'static str] {
        &["_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1"]
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["_fc."]
    }

    has_weights!();
}
