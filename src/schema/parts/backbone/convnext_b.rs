//! The base ConvNeXt.

use super::convnext::convnext_part;
use crate::Footprint;

convnext_part! {
    /// ConvNeXt, base: 1024 features.
    ConvnextB,
    "depthwise blocks 3, 3, 27, 3; 1024 features",
    "base",
    1024,
    Footprint {
        evaluation: 200,
        training: 4700,
        parameters: 87566,
    }
}
