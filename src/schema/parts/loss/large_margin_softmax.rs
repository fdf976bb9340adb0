//! Large-margin softmax.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{
        part::part,
        range::{above, at_least},
    },
};

part! {
    /// Large-margin softmax (Liu et al., ICML 2016). The paper leaves embeddings and weights at any length: use
    /// `model.normalize = false`.
    pub struct LargeMarginSoftmax {
        /// Multiplies the angle to the target class.
        margin: u32 = 4 => at_least(1.0),
        /// Factor of the logits.
        scale: f64 = 1.0 => above(0.0),
    }
    formula: "cross entropy of scale |x| |w| cos(angle(x, w)); of the target cos becomes (-1)^k cos(margin angle) - 2 k, k = floor(margin angle / pi)",
    source: "Liu et al., ICML 2016",
    also: ["L-Softmax"],
}

impl LossPart for LargeMarginSoftmax {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::DotProduct],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
