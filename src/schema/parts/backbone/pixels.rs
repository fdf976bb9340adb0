//! No network.

use super::{BackbonePart, ImageInput};
use crate::{Footprint, Part};

/// The pixels themselves: a baseline that cannot be trained.
pub struct Pixels;

impl Part for Pixels {
    const FORMULA: &'static str = "the pixels themselves; nothing can be trained";
}

impl BackbonePart for Pixels {
    fn features(&self) -> Option<u32> {
        None
    }

    fn input(&self) -> Option<ImageInput> {
        None
    }

    fn least_image(&self) -> u32 {
        1
    }

    fn footprint(&self) -> Footprint {
        Footprint::PIXELS
    }

    fn layers(&self) -> &'static [&'static str] {
        &[]
    }

    fn gives_a_map(&self) -> bool {
        false
    }

    fn prefers_channels_last(&self) -> bool {
        false
    }
}
