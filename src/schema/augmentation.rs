//! Policies that draw operations on images from a fixed list: RandAugment, TrivialAugment and AutoAugment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::settings;

/// How operations on an image are drawn: as by the class of the same name of torchvision, without fill color.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AugmentationPolicy {
    /// Operations of one magnitude, each drawn from fourteen (Cubuk et al., 2020).
    RandAugment(RandAugment),
    /// One operation of a random magnitude (Müller & Hutter, 2021): torchvision's `TrivialAugmentWide`.
    TrivialAugment(TrivialAugment),
    /// One of the 25 pairs of operations that were learned on ImageNet (Cubuk et al., 2019).
    AutoAugment(AutoAugment),
}

/// How a pixel between pixels is computed when an image is sheared, moved or rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// Linearly in both directions.
    Bilinear,
}

settings! {
    /// Operations of one magnitude.
    RandAugment {
        /// The number of operations, one after the other.
        operations: u32 = 2,
        /// The magnitude of all of them, from 0 to `bins - 1`.
        magnitude: u32 = 9,
        /// The number of magnitudes, from no change to the strongest.
        bins: u32 = 31,
        /// Between pixels.
        interpolation: Interpolation = Interpolation::Nearest,
    }

    /// One operation of a random magnitude.
    TrivialAugment {
        /// The number of magnitudes, from no change to the strongest.
        bins: u32 = 31,
        /// Between pixels.
        interpolation: Interpolation = Interpolation::Nearest,
    }

    /// A learned pair of operations, each with its own probability and magnitude.
    AutoAugment {
        /// Between pixels.
        interpolation: Interpolation = Interpolation::Nearest,
    }
}
