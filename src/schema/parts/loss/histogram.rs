//! Histogram loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Histogram loss (Ustinova & Lempitsky, NeurIPS 2016).
    pub struct Histogram {
        /// Number of histogram bins.
        bins: u32 = 100 => above(0.0),
    }
    formula: "the probability that a random negative pair is more similar than a random positive one",
    source: "Ustinova & Lempitsky, NIPS 2016",
}

impl LossPart for Histogram {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[
                Distance::Cosine,
                Distance::Euclidean,
                Distance::SquaredEuclidean,
            ],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
