//! Conv4, for small images.

use super::{BackbonePart, ImageInput};
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

    fn taps(&self) -> &'static [(&'static str, u32)] {
        &[("block1", 64), ("block2", 64), ("block3", 64)]
    }

    fn prefers_channels_last(&self) -> bool {
        false
    }
}
