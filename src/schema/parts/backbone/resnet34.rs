//! ResNet-34.

use super::resnet::resnet_part;
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// ResNet-34 with torchvision's names: 512 features.
    pub struct Resnet34 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "basic blocks 3, 4, 6, 3; 512 features",
    source: "He et al., CVPR 2016",
}

resnet_part!(
    Resnet34,
    |_| Some("resnet34()"),
    512,
    Footprint {
        evaluation: 127,
        training: 618,
        parameters: 21285,
    }
);
