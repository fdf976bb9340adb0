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

/// Declares one size.
macro_rules! dinov2_part {
    ($(#[$doc:meta])* $name:ident, $formula:literal, $python:literal, $features:literal, $footprint:expr) => {
        $crate::parts::part::part! {
            $(#[$doc])*
            pub struct $name {
                /// Trained weights. Absent: random initial parameters.
                #[serde(skip_serializing_if = "Option::is_none")]
                weights: Option<$crate::Weights> = None,
                /// Register tokens of the weights.
                #[serde(skip_serializing_if = "Registers::is_default")]
                registers: Registers = Registers::None,
            }
            formula: $formula,
            source: "Oquab et al., TMLR 2024",
        }

        impl $name {
            fn input_of_weights(&self) -> $crate::ImageInput {
                $crate::ImageInput::IMAGENET
            }

            fn own_layers(&self) -> &'static [&'static str] {
                match self.registers {
                    Registers::None => LAYERS,
                    Registers::Four => WITH_REGISTERS,
                }
            }

            /// Returns the network with and without registers.
            fn own_forms(&self) -> Vec<$crate::Backbone> {
                let forms = [Registers::None, Registers::Four].map(|registers| {
                    let weights = self.weights.clone();
                    $name { weights, registers }
                });
                forms.map(Into::into).to_vec()
            }

            fn in_timm(&self) -> &'static str {
                match self.registers {
                    Registers::None => concat!("vit_", $python, "_patch14_dinov2"),
                    Registers::Four => concat!("vit_", $python, "_patch14_reg4_dinov2"),
                }
            }
        }

        vit_part!(
            $name,
            $name::in_timm,
            14,
            $features,
            $name::own_layers,
            $footprint
        );
    };
}

pub(super) use dinov2_part;
