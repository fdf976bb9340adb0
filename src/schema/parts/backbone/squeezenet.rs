//! SqueezeNet.

use super::{BackbonePart, has_weights};
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

    has_weights!();
}
