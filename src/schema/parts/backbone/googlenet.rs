//! GoogLeNet.

use super::{BackbonePart, ImageInput, Tap, has_weights, in_torchvision};
use crate::{Footprint, Weights, parts::part::part};

part! {
    /// GoogLeNet as torchvision has it: 1024 features.
    pub struct Googlenet {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
    }
    formula: "nine inception blocks with batch norms; 1024 features",
    source: "Szegedy et al., CVPR 2015; torchvision",
}

impl BackbonePart for Googlenet {
    /// Pixels from -1 to 1, as torchvision's `transform_input` makes them.
    fn input(&self) -> Option<ImageInput> {
        Some(ImageInput::SYMMETRIC)
    }

    fn features(&self) -> Option<u32> {
        Some(1024)
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            evaluation: 121,
            training: 1034,
            parameters: 5600,
        }
    }

    fn layers(&self) -> &'static [&'static str] {
        &[
            "conv1",
            "conv2",
            "conv3",
            "inception3a",
            "inception3b",
            "inception4a",
            "inception4b",
            "inception4c",
            "inception4d",
            "inception4e",
            "inception5a",
            "inception5b",
        ]
    }

    fn taps(&self) -> &'static [Tap] {
        const {
            &[
                Tap::new("inception3a", 256, 8),
                Tap::new("inception3b", 480, 8),
                Tap::new("inception4a", 512, 16),
                Tap::new("inception4b", 512, 16),
                Tap::new("inception4c", 512, 16),
                Tap::new("inception4d", 528, 16),
                Tap::new("inception4e", 832, 16),
                Tap::new("inception5a", 832, 32),
            ]
        }
    }

    /// The pooling before the last blocks rounds up, those before it down.
    fn side_at(&self, tap: &Tap, image: u32) -> u32 {
        let of_fourth = image.div_ceil(2) / 8;
        match tap.stride {
            32 => of_fourth.div_ceil(2),
            stride => image.div_ceil(2) / (stride / 2),
        }
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["fc.", "aux1.", "aux2."]
    }

    fn in_python(&self, _side: u32) -> Option<Vec<String>> {
        Some(in_torchvision(
            "googlenet(init_weights=False, aux_logits=False, transform_input=False)",
            &["fc = torch.nn.Identity()"],
        ))
    }

    has_weights!();
}
