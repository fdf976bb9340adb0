//! ResNet-18.

use super::resnet::resnet_part;
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// ResNet-18 with torchvision's names: 512 features.
    pub struct Resnet18 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "basic blocks 2, 2, 2, 2; 512 features",
    source: "He et al., CVPR 2016",
}

resnet_part!(
    Resnet18,
    |_| Some("resnet18()"),
    512,
    Footprint {
        evaluation: 127,
        training: 443,
        parameters: 11177,
    }
);
