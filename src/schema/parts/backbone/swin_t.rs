//! The tiny Swin transformer.

use super::swin::{COVERED, swin_part};
use crate::Footprint;

swin_part! {
    /// Swin transformer, tiny: 768 features.
    SwinT,
    "attention in windows of 7x7, blocks 2, 2, 6, 2; 768 features",
    "tiny",
    768,
    Footprint {
        evaluation: 350,
        training: 2419,
        parameters: 27519,
    }
}
