//! The tiny ConvNeXt.

use super::convnext::convnext_part;
use crate::Footprint;

convnext_part! {
    /// ConvNeXt, tiny: 768 features.
    ConvnextT,
    "depthwise blocks 3, 3, 9, 3; 768 features",
    "tiny",
    768,
    Footprint {
        evaluation: 150,
        training: 2000,
        parameters: 27820,
    }
}
