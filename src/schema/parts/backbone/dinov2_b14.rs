//! The base transformer of DINOv2.

use super::{
    dinov2::{Registers, WITH_REGISTERS, dinov2_part},
    vit::{LAYERS, VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

dinov2_part! {
    /// DINOv2, base, with patches of 14 pixels: 768 features.
    Dinov2B14,
    "12 blocks, 12 heads, layer scale; 768 features",
    "base",
    768,
    Footprint {
        evaluation: 153,
        training: 2350,
        parameters: 86581,
    }
}
