//! Normalized softmax.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Normalized softmax (Wang et al., 2017; Zhai & Wu, BMVC 2019).
    pub struct NormalizedSoftmax {
        /// Divides the similarities.
        temperature: f64 = 0.05 => above(0.0),
    }
    formula: "cross entropy of cos(x, w) / temperature",
    source: "Zhai & Wu, BMVC 2019",
    published_search: "temperature log [0.01, 100], loss lr log [1e-6, 1]",
}

impl LossPart for NormalizedSoftmax {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
