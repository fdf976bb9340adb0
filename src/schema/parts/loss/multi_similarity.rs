//! Multi-similarity loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Multi-similarity loss (Wang et al., CVPR 2019).
    pub struct MultiSimilarity {
        /// Sharpness on positive pairs.
        alpha: f64 = 2.0 => above(0.0),
        /// Sharpness on negative pairs.
        beta: f64 = 50.0 => above(0.0),
        /// Boundary between the similarities of positives and negatives (lambda in the paper).
        base: f64 = 0.5,
    }
    formula: "mean_a 1/alpha log(1 + sum_p e^(-alpha (s_ap - base))) + 1/beta log(1 + sum_n e^(beta (s_an - base)))",
    source: "Wang et al., CVPR 2019",
    published_search: "alpha [0.01, 100], beta [0.01, 100], base [0, 1]; with its miner epsilon [0, 1]",
}

impl LossPart for MultiSimilarity {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[
                Distance::Cosine,
                Distance::Euclidean,
                Distance::SquaredEuclidean,
                Distance::DotProduct,
                Distance::SignalToNoise,
            ],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
