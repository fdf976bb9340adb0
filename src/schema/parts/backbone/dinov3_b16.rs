//! The base transformer of DINOv3.

use super::{
    dinov3::{LAYERS, dinov3_part},
    vit::{VitFeatures, VitPart, vit_fields},
};
use crate::Footprint;

dinov3_part! {
    /// DINOv3, base, with patches of 16 pixels: 768 features.
    Dinov3B16,
    "12 blocks, 12 heads, rotary positions, 4 registers, layer scale; 768 features",
    "vit_base_patch16_dinov3",
    768,
    Footprint {
        evaluation: 150,
        training: 2600,
        parameters: 85641,
    }
}
