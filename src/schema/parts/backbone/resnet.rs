//! What all ResNets have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parts::range::Setting;

/// The facts about a ResNet, given the width of its features and its memory.
macro_rules! resnet_part {
    ($name:ident, $torchvision:expr, $features:literal, $footprint:expr) => {
        impl $crate::BackbonePart for $name {
            fn features(&self) -> Option<u32> {
                Some($features)
            }

            fn footprint(&self) -> $crate::Footprint {
                $footprint
            }

            fn layers(&self) -> &'static [&'static str] {
                &["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
            }

            fn taps(&self) -> &'static [$crate::Tap] {
                const {
                    &[
                        $crate::Tap::new("layer1", $features / 8, 4),
                        $crate::Tap::new("layer2", $features / 4, 8),
                        $crate::Tap::new("layer3", $features / 2, 16),
                    ]
                }
            }

            fn classifiers(&self) -> &'static [&'static str] {
                &["fc."]
            }

            fn in_python(&self, _side: u32) -> Option<Vec<String>> {
                let call: fn(&$name) -> Option<&'static str> = $torchvision;
                let replaced = ["fc = torch.nn.Identity()"];
                Some($crate::parts::backbone::in_torchvision(
                    call(self)?,
                    &replaced,
                ))
            }

            $crate::parts::backbone::has_weights!();
        }
    };
}

pub(super) use resnet_part;

/// The convolution of a bottleneck that halves the map. Weights load into either, and are right in
/// one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrideOn {
    /// The 3x3 one, as in torchvision.
    #[default]
    #[serde(rename = "3x3")]
    Conv3x3,
    /// The first 1x1 one, as in the paper and in Caffe.
    #[serde(rename = "1x1")]
    Conv1x1,
}

impl StrideOn {
    pub(super) fn is_default(&self) -> bool {
        *self == StrideOn::default()
    }
}

impl Setting for StrideOn {}
