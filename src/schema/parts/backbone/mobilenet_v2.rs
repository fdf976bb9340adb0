//! MobileNetV2.

use super::{BackbonePart, has_weights, in_torchvision};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// MobileNetV2 of width 1 with torchvision's names: 1280 features.
    pub struct MobilenetV2 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "inverted residuals; 1280 features",
    source: "Sandler et al., CVPR 2018",
}

impl BackbonePart for MobilenetV2 {
    fn features(&self) -> Option<u32> {
        Some(1280)
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            evaluation: 157,
            training: 1529,
            parameters: 2224,
        }
    }

    fn layers(&self) -> &'static [&'static str] {
        &["features"]
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["classifier."]
    }

    fn in_python(&self, _side: u32) -> Option<Vec<String>> {
        let replaced = ["classifier = torch.nn.Identity()"];
        Some(in_torchvision("mobilenet_v2()", &replaced))
    }

    has_weights!();
}
