//! The base Swin transformer.

use super::swin::{COVERED, swin_part};
use crate::Footprint;

swin_part! {
    /// Swin transformer, base: 1024 features.
    SwinB,
    "attention in windows of 7x7, blocks 2, 2, 18, 2; 1024 features",
    "base",
    1024,
    Footprint {
        evaluation: 461,
        training: 5400,
        parameters: 86743,
    }
}
