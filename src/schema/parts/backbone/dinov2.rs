//! What the transformers of DINOv2 have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parts::range::Setting;

/// Layers of a network with registers that can be frozen, by the beginning of their names.
pub(super) const WITH_REGISTERS: &[&str] = &[
    "cls_token",
    "reg_token",
    "pos_embed",
    "patch_embed",
    "blocks",
    "norm",
];

/// Whether the network has register tokens, which published weights come with or without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Registers {
    /// None, as in DINOv2 (Oquab et al., TMLR 2024).
    #[default]
    None,
    /// Four, as in "Vision Transformers Need Registers" (Darcet et al., ICLR 2024).
    Four,
}

impl Registers {
    /// Returns the number of tokens.
    pub fn count(self) -> i64 {
        match self {
            Registers::None => 0,
            Registers::Four => 4,
        }
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Registers::default()
    }
}

impl Setting for Registers {}

/// Declares one size, given its formula, timm's word for it, its width and its memory.
macro_rules! dinov2_part {
    ($(#[$doc:meta])* $name:ident, $formula:literal, $timm:literal, $width:literal, $footprint:expr) => {
        $crate::parts::part::part! {
            $(#[$doc])*
            pub struct $name {
                /// Trained weights. Absent: random initial parameters.
                #[serde(skip_serializing_if = "Option::is_none")]
                weights: Option<$crate::Weights> = None,
                /// Register tokens of the weights.
                #[serde(skip_serializing_if = "Registers::is_default")]
                registers: Registers = Registers::None,
                /// The tokens that are the features.
                #[serde(skip_serializing_if = "VitFeatures::is_default")]
                features: VitFeatures = VitFeatures::Class,
            }
            formula: $formula,
            source: "Oquab et al., TMLR 2024",
        }

        impl VitPart for $name {
            const PATCH: u32 = 14;
            const WIDTH: u32 = $width;
            const FOOTPRINT: $crate::Footprint = $footprint;

            fn in_timm(&self) -> (&'static str, &'static str) {
                let name = match self.registers {
                    Registers::None => concat!("vit_", $timm, "_patch14_dinov2"),
                    Registers::Four => concat!("vit_", $timm, "_patch14_reg4_dinov2"),
                };
                (name, "")
            }

            fn named(&self) -> &'static [&'static str] {
                match self.registers {
                    Registers::None => LAYERS,
                    Registers::Four => WITH_REGISTERS,
                }
            }

            fn shown(&self) -> Vec<$crate::Backbone> {
                let forms = [Registers::None, Registers::Four].map(|registers| $name {
                    registers,
                    ..self.clone()
                });
                forms.map(Into::into).to_vec()
            }

            vit_fields!();
        }
    };
}

pub(super) use dinov2_part;
