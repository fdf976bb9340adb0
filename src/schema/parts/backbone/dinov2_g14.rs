//! The giant transformer of DINOv2.

use super::{
    dinov2::{Registers, WITH_REGISTERS, dinov2_part},
    vit::{LAYERS, VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

dinov2_part! {
    /// DINOv2, giant, with patches of 14 pixels: 1536 features.
    Dinov2G14,
    "40 blocks, 24 heads, SwiGLU, layer scale; 1536 features",
    "giant",
    1536,
    Footprint {
        evaluation: 306,
        training: 15500,
        parameters: 1136480,
    }
}
