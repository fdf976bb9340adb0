//! Conv4, for small images.

use super::{BackbonePart, ImageInput, Tap};
use crate::{Footprint, Part};

/// Four blocks of 3x3 convolution with 64 channels, batch norm, ReLU and 2x2 max pooling. For 28x28
/// or 64x64 images.
pub struct Conv4;

impl Part for Conv4 {
    const FORMULA: &'static str =
        "four blocks of 3x3 convolution, batch norm, ReLU and pooling; 64 features";
    const SOURCE: &'static str = "Vinyals et al., NeurIPS 2016; Snell et al., NeurIPS 2017";
}

impl BackbonePart for Conv4 {
    fn features(&self) -> Option<u32> {
        Some(64)
    }

    fn input(&self) -> Option<ImageInput> {
        None
    }

    fn least_image(&self) -> u32 {
        16
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            evaluation: 527,
            training: 933,
            parameters: 113,
        }
    }

    fn layers(&self) -> &'static [&'static str] {
        &["block1", "block2", "block3", "block4"]
    }

    fn taps(&self) -> &'static [Tap] {
        const {
            &[
                Tap::new("block1", 64, 2),
                Tap::new("block2", 64, 4),
                Tap::new("block3", 64, 8),
            ]
        }
    }

    fn side_at(&self, tap: &Tap, image: u32) -> u32 {
        image / tap.stride
    }

    fn prefers_channels_last(&self) -> bool {
        false
    }
}
