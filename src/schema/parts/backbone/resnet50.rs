//! ResNet-50.

use super::{
    BackbonePart, has_weights,
    resnet::{CLASSIFIERS, LAYERS, StrideOn},
};
use crate::{Weights, parts::part::part};

part! {
    /// ResNet-50 with torchvision's names: 2048 features.
    pub struct Resnet50 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The convolution of a bottleneck that halves the map.
        #[serde(skip_serializing_if = "StrideOn::is_default")]
        stride_on: StrideOn = StrideOn::Conv3x3,
    }
    formula: "bottlenecks 3, 4, 6, 3; 2048 features",
    source: "He et al., CVPR 2016",
}

impl BackbonePart for Resnet50 {
    fn features(&self) -> Option<u32> {
        Some(2048)
    }

    fn layers(&self) -> &'static [&'static str] {
        LAYERS
    }

    fn classifiers(&self) -> &'static [&'static str] {
        CLASSIFIERS
    }

    has_weights!();
}
