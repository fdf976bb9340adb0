//! What all vision transformers have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ImageInput;
use crate::parts::range::Setting;

/// Side of a patch, in pixels.
pub(super) const PATCH: u32 = 16;

/// The facts about a vision transformer, given the width of its features and its memory.
macro_rules! vit_part {
    ($name:ident, $python:literal, $features:literal, $footprint:expr) => {
        impl $crate::BackbonePart for $name {
            fn features(&self) -> Option<u32> {
                Some($features)
            }

            fn input(&self) -> Option<$crate::ImageInput> {
                Some(self.input.image_input())
            }

            fn least_image(&self) -> u32 {
                $crate::parts::backbone::vit::PATCH
            }

            fn obstacle(&self, side: u32) -> Option<String> {
                $crate::parts::backbone::vit::obstacle(side)
            }

            fn footprint(&self) -> $crate::Footprint {
                $footprint
            }

            fn layers(&self) -> &'static [&'static str] {
                &["cls_token", "pos_embed", "patch_embed", "blocks", "norm"]
            }

            fn classifiers(&self) -> &'static [&'static str] {
                &["head."]
            }

            fn gives_a_map(&self) -> bool {
                false
            }

            fn prefers_channels_last(&self) -> bool {
                false
            }

            fn in_python(&self, side: u32) -> Option<Vec<String>> {
                Some(vec![
                    "import timm".to_owned(),
                    format!(
                        "trunk = timm.create_model(\"{}\", num_classes=0, img_size={side})",
                        $python
                    ),
                ])
            }

            $crate::parts::backbone::has_weights!();
        }
    };
}

pub(super) use vit_part;

/// The input of a vision transformer, which differs between published weights of one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VitInput {
    /// ImageNet's mean and deviation: DINO, DeiT.
    #[default]
    Imagenet,
    /// Pixels from -1 to 1: timm's "augreg".
    Symmetric,
}

impl VitInput {
    pub(super) fn is_default(&self) -> bool {
        *self == VitInput::default()
    }

    pub(super) fn image_input(self) -> ImageInput {
        match self {
            VitInput::Imagenet => ImageInput::IMAGENET,
            VitInput::Symmetric => ImageInput::SYMMETRIC,
        }
    }
}

impl Setting for VitInput {}

pub(super) fn obstacle(side: u32) -> Option<String> {
    if side.is_multiple_of(PATCH) {
        return None;
    }
    Some(format!(
        "cuts the image into patches of {PATCH} pixels: expected a multiple of {PATCH}"
    ))
}
