//! The large transformer of DINOv2.

use super::{
    dinov2::{Registers, WITH_REGISTERS, dinov2_part},
    vit::{LAYERS, VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

dinov2_part! {
    /// DINOv2, large, with patches of 14 pixels: 1024 features.
    Dinov2L14,
    "24 blocks, 16 heads, layer scale; 1024 features",
    "large",
    1024,
    Footprint {
        evaluation: 204,
        training: 6250,
        parameters: 304369,
    }
}
