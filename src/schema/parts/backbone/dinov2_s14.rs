//! The small transformer of DINOv2.

use super::{
    dinov2::{Registers, WITH_REGISTERS, dinov2_part},
    vit::{LAYERS, VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

dinov2_part! {
    /// DINOv2, small, with patches of 14 pixels: 384 features.
    Dinov2S14,
    "12 blocks, 6 heads, layer scale; 384 features",
    "small",
    384,
    Footprint {
        evaluation: 150,
        training: 1650,
        parameters: 22057,
    }
}
