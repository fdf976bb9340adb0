//! BN-Inception.

use super::{BackbonePart, ColorOrder, ImageInput, Tap, has_weights};
use crate::{Footprint, Weights, is_true, parts::part::part};

part! {
    /// BN-Inception, the backbone of the Reality Check and of most papers before it: 1024 features.
    pub struct BnInception {
        /// Trained weights. Absent: random initial parameters.
        #[serde(skip_serializing_if = "Option::is_none")]
        weights: Option<Weights> = None,
        /// True if average poolings count the padding at the border, as Caffe does and its weights
        /// need.
        #[serde(skip_serializing_if = "is_true")]
        count_padding: bool = true,
    }
    formula: "ten inception blocks with batch norms; 1024 features",
    source: "Ioffe & Szegedy, ICML 2015",
}

impl BackbonePart for BnInception {
    /// Blue, green, red from 0 to 255, minus 104, 117, 128, as in Caffe.
    fn input(&self) -> Option<ImageInput> {
        Some(ImageInput {
            colors: ColorOrder::Bgr,
            white: 255.0,
            mean: [104.0, 117.0, 128.0],
            deviation: [1.0; 3],
        })
    }

    fn features(&self) -> Option<u32> {
        Some(1024)
    }

    /// Poolings and strided convolutions halve an odd map in two ways, and their outputs are joined.
    fn obstacle(&self, side: u32) -> Option<String> {
        if comes_out_even(side) {
            return None;
        }
        let smaller = (self.least_image()..side)
            .rev()
            .find(|&side| comes_out_even(side));
        let larger = (side..).find(|&side| comes_out_even(side));
        let near: Vec<String> = smaller
            .into_iter()
            .chain(larger)
            .map(|side| side.to_string())
            .collect();
        Some(format!(
            "halves the image again and again, and {side} pixels do not come out even: expected {}",
            near.join(" or ")
        ))
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            evaluation: 127,
            training: 949,
            parameters: 10365,
        }
    }

    fn layers(&self) -> &'static [&'static str] {
        &[
            "conv1_7x7_s2",
            "conv2_3x3_reduce",
            "conv2_3x3",
            "inception_3a",
            "inception_3b",
            "inception_3c",
            "inception_4a",
            "inception_4b",
            "inception_4c",
            "inception_4d",
            "inception_4e",
            "inception_5a",
            "inception_5b",
        ]
    }

    fn taps(&self) -> &'static [Tap] {
        const {
            &[
                Tap::new("inception_3a", 256, 8),
                Tap::new("inception_3b", 320, 8),
                Tap::new("inception_3c", 576, 16),
                Tap::new("inception_4a", 576, 16),
                Tap::new("inception_4b", 576, 16),
                Tap::new("inception_4c", 576, 16),
                Tap::new("inception_4d", 576, 16),
                Tap::new("inception_4e", 1024, 32),
                Tap::new("inception_5a", 1024, 32),
            ]
        }
    }

    fn side_at(&self, tap: &Tap, image: u32) -> u32 {
        image.div_ceil(2) / (tap.stride / 2)
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["last_linear."]
    }

    fn usual_weights(&self) -> Option<&'static str> {
        Some("http://data.lip6.fr/cadene/pretrainedmodels/bn_inception-52deb4733.pth")
    }

    has_weights!();
}

fn comes_out_even(side: u32) -> bool {
    (side.div_ceil(2) / 4).is_multiple_of(4)
}
