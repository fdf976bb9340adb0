//! SphereFace.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{
        part::part,
        range::{above, at_least},
    },
};

part! {
    /// SphereFace (Liu et al., CVPR 2017): large-margin softmax with weights of length one. The paper leaves embeddings
    /// at any length: use `model.normalize = false`, or a larger scale.
    pub struct SphereFace {
        /// Multiplies the angle to the target class.
        margin: u32 = 4 => at_least(1.0),
        /// Factor of the logits.
        scale: f64 = 1.0 => above(0.0),
    }
    formula: "cross entropy of scale |x| cos(angle(x, w)); of the target cos becomes (-1)^k cos(margin angle) - 2 k, k = floor(margin angle / pi)",
    source: "Liu et al., CVPR 2017",
    also: ["A-Softmax"],
}

impl LossPart for SphereFace {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::DotProduct],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
