//! SqueezeNet.

use super::{BackbonePart, has_weights, in_torchvision};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// SqueezeNet 1.1 with torchvision's names: 512 features.
    pub struct Squeezenet {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "eight fire blocks without batch norms; 512 features",
    source: "Iandola et al., 2016",
}

impl BackbonePart for Squeezenet {
    fn features(&self) -> Option<u32> {
        Some(512)
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            evaluation: 159,
            training: 393,
            parameters: 735,
        }
    }

    fn layers(&self) -> &'static [&'static str] {
        &["features"]
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["classifier."]
    }

    fn in_python(&self, _side: u32) -> Option<Vec<String>> {
        let replaced = ["classifier = torch.nn.AdaptiveAvgPool2d(1)"];
        Some(in_torchvision("squeezenet1_1()", &replaced))
    }

    has_weights!();
}
