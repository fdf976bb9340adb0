//! The image tower of CLIP ViT-B/16.

use super::{
    clip::{ClipActivation, ClipInput, LAYERS, clip_part},
    vit::{VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

clip_part! {
    /// The image tower of CLIP, base, with patches of 16 pixels, before its projection: 768 features.
    ClipB16,
    "12 blocks, 12 heads, a layer norm before them; 768 features",
    "base_patch16",
    16,
    768,
    Footprint {
        evaluation: 130,
        training: 1900,
        parameters: 85799,
    }
}
