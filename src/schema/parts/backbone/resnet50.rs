//! ResNet-50.

use super::resnet::{StrideOn, resnet_part};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// ResNet-50 with torchvision's names: 2048 features.
    pub struct Resnet50 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The convolution of a bottleneck that halves the map; by default, that of torchvision.
        #[serde(skip_serializing_if = "StrideOn::is_default")]
        stride_on: StrideOn = StrideOn::Conv3x3,
    }
    formula: "bottlenecks 3, 4, 6, 3; 2048 features",
    source: "He et al., CVPR 2016",
}

resnet_part!(
    Resnet50,
    |network| (network.stride_on == StrideOn::Conv3x3).then_some("resnet50()"),
    2048,
    Footprint {
        evaluation: 175,
        training: 1984,
        parameters: 23508,
    }
);
