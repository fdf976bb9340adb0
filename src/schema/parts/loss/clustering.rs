//! Clustering loss by facility location.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::at_least},
};

part! {
    /// Clustering loss by facility location (Oh Song et al., CVPR 2017).
    pub struct Clustering {
        /// Weight of the dissimilarity between clusters and classes.
        gamma: f64 = 1.0 => at_least(0.0),
        /// Number of refinement rounds of the medoids.
        refinements: u32 = 5,
    }
    formula: "[ max over medoids (F(S) + gamma margin(S, y)) - F of the true clustering ]+",
    source: "Oh Song et al., CVPR 2017",
}

impl LossPart for Clustering {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Euclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Batch,
        }
    }
}
