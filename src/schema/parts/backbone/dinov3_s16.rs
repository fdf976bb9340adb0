//! The small transformer of DINOv3.

use super::{
    dinov3::{LAYERS, dinov3_part},
    vit::{VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

dinov3_part! {
    /// DINOv3, small, with patches of 16 pixels: 384 features.
    Dinov3S16,
    "12 blocks, 6 heads, rotary positions, 4 registers, layer scale; 384 features",
    "vit_small_patch16_dinov3",
    384,
    Footprint {
        evaluation: 125,
        training: 1500,
        parameters: 21587,
    }
}
