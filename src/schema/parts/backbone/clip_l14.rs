//! The image tower of CLIP ViT-L/14.

use super::{
    clip::{ClipActivation, ClipInput, LAYERS, clip_part},
    vit::{VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

clip_part! {
    /// The image tower of CLIP, large, with patches of 14 pixels, before its projection: 1024 features.
    ClipL14,
    "24 blocks, 16 heads, a layer norm before them; 1024 features",
    "large_patch14",
    14,
    1024,
    Footprint {
        evaluation: 204,
        training: 6250,
        parameters: 303180,
    }
}
