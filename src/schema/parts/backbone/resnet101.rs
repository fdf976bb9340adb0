//! ResNet-101.

use super::resnet::{StrideOn, resnet_part};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// ResNet-101 with torchvision's names: 2048 features.
    pub struct Resnet101 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// The convolution of a bottleneck that halves the map; by default, that of torchvision.
        #[serde(skip_serializing_if = "StrideOn::is_default")]
        stride_on: StrideOn = StrideOn::Conv3x3,
    }
    formula: "bottlenecks 3, 4, 23, 3; 2048 features",
    source: "He et al., CVPR 2016",
}

resnet_part!(
    Resnet101,
    |network| (network.stride_on == StrideOn::Conv3x3).then_some("resnet101()"),
    2048,
    Footprint {
        evaluation: 175,
        training: 2990,
        parameters: 42500,
    }
);
