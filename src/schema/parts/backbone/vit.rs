//! What all vision transformers have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ImageInput;
use crate::parts::range::Setting;

/// The facts about a vision transformer, given the name that timm has for it, the pixels of a patch, the width of its
/// features, the names of its layers, and its memory.
macro_rules! vit_part {
    ($name:ident, $python:expr, $patch:literal, $features:literal, $layers:expr, $footprint:expr) => {
        impl $crate::BackbonePart for $name {
            fn features(&self) -> Option<u32> {
                Some($features)
            }

            fn input(&self) -> Option<$crate::ImageInput> {
                Some($name::input_of_weights(self))
            }

            fn least_image(&self) -> u32 {
                $patch
            }

            fn obstacle(&self, side: u32) -> Option<String> {
                $crate::parts::backbone::vit::obstacle(side, $patch)
            }

            fn footprint(&self) -> $crate::Footprint {
                $footprint
            }

            fn layers(&self) -> &'static [&'static str] {
                let layers: fn(&Self) -> &'static [&'static str] = $layers;
                layers(self)
            }

            fn classifiers(&self) -> &'static [&'static str] {
                &["head.", "mask_token"]
            }

            fn gives_a_map(&self) -> bool {
                false
            }

            fn prefers_channels_last(&self) -> bool {
                false
            }

            fn in_python(&self, side: u32) -> Option<Vec<String>> {
                let model: fn(&Self) -> &'static str = $python;
                Some(vec![
                    "import timm".to_owned(),
                    format!(
                        "trunk = timm.create_model(\"{}\", num_classes=0, img_size={side})",
                        model(self)
                    ),
                ])
            }

            fn forms(&self) -> Vec<$crate::Backbone> {
                self.own_forms()
            }

            $crate::parts::backbone::has_weights!();
        }
    };
}

pub(super) use vit_part;

/// Layers of a vision transformer that can be frozen, by the beginning of their names.
pub(super) const LAYERS: &[&str] = &["cls_token", "pos_embed", "patch_embed", "blocks", "norm"];

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

pub(super) fn obstacle(side: u32, patch: u32) -> Option<String> {
    if side.is_multiple_of(patch) {
        return None;
    }
    Some(format!(
        "cuts the image into patches of {patch} pixels: expected a multiple of {patch}"
    ))
}
