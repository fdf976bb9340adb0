//! The image tower of SigLIP ViT-B/16.

use super::vit::{VitFeatures, VitPart, weights_field};
use crate::{Footprint, ImageInput, Weights, parts::part::part};

/// Layers that can be frozen, by the beginning of their names.
const LAYERS: &[&str] = &["pos_embed", "patch_embed", "blocks", "norm", "attn_pool"];

part! {
    /// The image tower of SigLIP, base, with patches of 16 pixels: 768 features.
    pub struct SiglipB16 {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "12 blocks, 12 heads, no class token, pooling by attention; 768 features",
    source: "Zhai et al., ICCV 2023",
}

impl VitPart for SiglipB16 {
    const PATCH: u32 = 16;
    const WIDTH: u32 = 768;
    const FOOTPRINT: Footprint = Footprint {
        evaluation: 130,
        training: 1950,
        parameters: 92884,
    };

    /// The authors and Hugging Face compute the tanh form of GELU, timm by default the exact one.
    fn in_timm(&self) -> (&'static str, &'static str) {
        ("vit_base_patch16_siglip_224", ", act_layer=\"gelu_tanh\"")
    }

    fn seen(&self) -> ImageInput {
        ImageInput::SYMMETRIC
    }

    fn named(&self) -> &'static [&'static str] {
        LAYERS
    }

    fn tokens(&self) -> Option<VitFeatures> {
        None
    }

    weights_field!();
}
