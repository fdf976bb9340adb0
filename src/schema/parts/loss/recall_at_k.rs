//! Recall@k surrogate.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Recall@k surrogate (Patel et al., CVPR 2022).
    pub struct RecallAtK {
        /// The values of k to average over.
        ks: Vec<u32> = vec![1, 2, 4, 8, 16] => above(0.0),
        /// Width of the sigmoid that compares similarities.
        rank_temperature: f64 = 0.01 => above(0.0),
        /// Width of the sigmoid that compares ranks.
        k_temperature: f64 = 1.0 => above(0.0),
    }
    formula: "1 - mean over k and anchors of sum_p sigmoid((k - rank(p)) / k_temperature) / min(k, P)",
    source: "Patel, Tolias & Matas, CVPR 2022",
}

impl LossPart for RecallAtK {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::AllImages,
        }
    }
}
