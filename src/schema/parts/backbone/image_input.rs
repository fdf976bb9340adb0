//! The input of a backbone: order of the channels, range, mean and deviation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parts::range::Setting;

/// The input that a backbone makes of the bytes of an image: `(byte * white / 255 - mean) / deviation`
/// in each channel. A gray image counts as three equal channels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImageInput {
    /// Order of the channels. `mean` and `deviation` have the same order.
    #[serde(
        rename(serialize = "colours", deserialize = "colors"),
        alias = "colours"
    )]
    pub colors: ColorOrder,
    /// Value of white before the mean is subtracted, usually 1 or 255.
    pub white: f64,
    /// Mean of each channel, which is subtracted.
    pub mean: [f64; 3],
    /// Standard deviation of each channel, the divisor.
    pub deviation: [f64; 3],
}

/// An order of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColorOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl ImageInput {
    /// The mean and deviation of ImageNet, as torchvision's weights need.
    pub const IMAGENET: ImageInput = ImageInput {
        colors: ColorOrder::Rgb,
        white: 1.0,
        mean: [0.485, 0.456, 0.406],
        deviation: [0.229, 0.224, 0.225],
    };

    /// Pixels from -1 to 1.
    pub const SYMMETRIC: ImageInput = ImageInput {
        mean: [0.5; 3],
        deviation: [0.5; 3],
        ..ImageInput::IMAGENET
    };

    pub(super) fn is_default(&self) -> bool {
        *self == ImageInput::default()
    }
}

impl Default for ImageInput {
    fn default() -> Self {
        ImageInput::IMAGENET
    }
}

impl Setting for ImageInput {}
