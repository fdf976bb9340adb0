//! What the image towers of CLIP have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ImageInput;
use crate::parts::range::Setting;

/// Layers that can be frozen, by the beginning of their names.
pub(super) const LAYERS: &[&str] = &[
    "cls_token",
    "pos_embed",
    "patch_embed",
    "norm_pre",
    "blocks",
    "norm",
];

/// The activation of the weights. Weights load into either, and are right in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClipActivation {
    /// `x sigmoid(1.702 x)`: OpenAI's weights, and those of OpenCLIP with "quickgelu" in their names.
    #[default]
    QuickGelu,
    /// GELU: most weights of OpenCLIP.
    Gelu,
}

impl ClipActivation {
    pub(super) fn is_default(&self) -> bool {
        *self == ClipActivation::default()
    }
}

impl Setting for ClipActivation {}

/// The input that the weights were trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClipInput {
    /// The mean and deviation of CLIP's own images.
    #[default]
    Clip,
    /// Pixels from -1 to 1: OpenCLIP's ViT-L/14 of LAION-2B.
    Symmetric,
}

impl ClipInput {
    pub(super) fn is_default(&self) -> bool {
        *self == ClipInput::default()
    }

    pub(super) fn image_input(self) -> ImageInput {
        match self {
            ClipInput::Clip => ImageInput {
                mean: [0.48145466, 0.4578275, 0.40821073],
                deviation: [0.26862954, 0.26130258, 0.27577711],
                ..ImageInput::IMAGENET
            },
            ClipInput::Symmetric => ImageInput::SYMMETRIC,
        }
    }
}

impl Setting for ClipInput {}

/// Declares one size, given its formula, timm's words for it, the pixels of a patch, its width and its memory.
macro_rules! clip_part {
    ($(#[$doc:meta])* $name:ident, $formula:literal, $timm:literal, $patch:literal, $width:literal, $footprint:expr) => {
        $crate::parts::part::part! {
            $(#[$doc])*
            pub struct $name {
                /// Trained weights. Absent: random initial parameters.
                #[serde(skip_serializing_if = "Option::is_none")]
                weights: Option<$crate::Weights> = None,
                /// The activation of the weights.
                #[serde(skip_serializing_if = "ClipActivation::is_default")]
                activation: ClipActivation = ClipActivation::QuickGelu,
                /// The input that the weights were trained on.
                #[serde(skip_serializing_if = "ClipInput::is_default")]
                input: ClipInput = ClipInput::Clip,
                /// The tokens that are the features.
                #[serde(skip_serializing_if = "VitFeatures::is_default")]
                features: VitFeatures = VitFeatures::Class,
            }
            formula: $formula,
            source: "Radford et al., ICML 2021",
        }

        impl VitPart for $name {
            const PATCH: u32 = $patch;
            const WIDTH: u32 = $width;
            const FOOTPRINT: $crate::Footprint = $footprint;

            fn in_timm(&self) -> (&'static str, &'static str) {
                let name = match self.activation {
                    ClipActivation::QuickGelu => concat!("vit_", $timm, "_clip_quickgelu_224"),
                    ClipActivation::Gelu => concat!("vit_", $timm, "_clip_224"),
                };
                (name, "")
            }

            fn seen(&self) -> $crate::ImageInput {
                self.input.image_input()
            }

            fn named(&self) -> &'static [&'static str] {
                LAYERS
            }

            vit_fields!();
        }
    };
}

pub(super) use clip_part;
