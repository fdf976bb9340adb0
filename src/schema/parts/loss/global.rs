//! Global loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::at_least},
};

part! {
    /// Global loss (Kumar et al., CVPR 2016): of the distances in triplets, it minimizes the variances and separates the
    /// means. Usually in a sum with a triplet loss.
    pub struct Global {
        /// By how much the mean distance of negatives is to exceed that of positives. Distances are from 0 to 1.
        margin: f64 = 0.4,
        /// Weight of the means relative to the variances.
        weight: f64 = 0.8 => at_least(0.0),
    }
    formula: "var(d+) + var(d-) + weight [mean d+ - mean d- + margin]+, d = |x - y|^2 / 4 in all triplets",
    source: "Kumar, Carneiro & Reid, CVPR 2016",
}

impl LossPart for Global {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::SquaredEuclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
