//! The image tower of CLIP ViT-B/32.

use super::{
    clip::{ClipActivation, ClipInput, LAYERS, clip_part},
    vit::{VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

clip_part! {
    /// The image tower of CLIP, base, with patches of 32 pixels, before its projection: 768 features.
    ClipB32,
    "12 blocks, 12 heads, a layer norm before them; 768 features",
    "base_patch32",
    32,
    768,
    Footprint {
        evaluation: 45,
        training: 500,
        parameters: 87456,
    }
}
