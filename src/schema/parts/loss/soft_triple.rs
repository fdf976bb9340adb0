//! SoftTriple.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{
        part::part,
        range::{above, at_least},
    },
};

part! {
    /// SoftTriple (Qian et al., ICCV 2019).
    pub struct SoftTriple {
        /// Number of centers per class.
        #[serde(rename(serialize = "centres", deserialize = "centers"))]
        #[serde(alias = "centres")]
        centers: u32 = 10 => above(0.0),
        /// Factor of the similarities (lambda in the paper).
        la: f64 = 20.0 => above(0.0),
        /// Temperature of the softmax over the centers of a class.
        gamma: f64 = 0.1 => above(0.0),
        /// Subtracted from the similarity to the target class.
        delta: f64 = 0.01,
        /// Weight of the penalty that merges centers (tau in the paper).
        #[serde(rename(serialize = "regulariser", deserialize = "regularizer"))]
        #[serde(alias = "regulariser")]
        regularizer: f64 = 0.2 => at_least(0.0),
    }
    formula: "cross entropy of la (soft maximum over a class's centers of cos(x, w) - delta) + regularizer",
    source: "Qian et al., ICCV 2019",
    published_search: "la [0.01, 100], gamma [0.01, 100], regularizer [0, 1], delta [0, 1], loss lr log [1e-6, 1]",
}

impl LossPart for SoftTriple {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
