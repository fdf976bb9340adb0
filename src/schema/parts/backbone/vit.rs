//! What all vision transformers have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ImageInput;
use crate::parts::range::Setting;

/// Side of a patch, in pixels.
pub(super) const PATCH: u32 = 16;

pub(super) const LAYERS: &[&str] = &["cls_token", "pos_embed", "patch_embed", "blocks", "norm"];

pub(super) const CLASSIFIERS: &[&str] = &["head."];

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
