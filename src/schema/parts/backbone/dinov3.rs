//! What the transformers of DINOv3 have in common.

/// Layers that can be frozen, by the beginning of their names. Positions have no parameters.
pub(super) const LAYERS: &[&str] = &["cls_token", "reg_token", "patch_embed", "blocks", "norm"];

/// Declares one size, given its formula, the name that timm has for it, its width and its memory.
macro_rules! dinov3_part {
    ($(#[$doc:meta])* $name:ident, $formula:literal, $timm:literal, $width:literal, $footprint:expr) => {
        $crate::parts::part::part! {
            $(#[$doc])*
            pub struct $name {
                /// Trained weights. Absent: random initial parameters.
                #[serde(skip_serializing_if = "Option::is_none")]
                weights: Option<$crate::Weights> = None,
                /// The tokens that are the features.
                #[serde(skip_serializing_if = "VitFeatures::is_default")]
                features: VitFeatures = VitFeatures::Class,
            }
            formula: $formula,
            source: "Siméoni et al., 2025",
        }

        impl VitPart for $name {
            const PATCH: u32 = 16;
            const WIDTH: u32 = $width;
            const FOOTPRINT: $crate::Footprint = $footprint;

            fn in_timm(&self) -> (&'static str, &'static str) {
                ($timm, ", global_pool=\"token\"")
            }

            fn named(&self) -> &'static [&'static str] {
                LAYERS
            }

            vit_fields!();
        }
    };
}

pub(super) use dinov3_part;
