//! Hard-mining loss of Deep_Metric.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{Distance, Reduction, parts::part::part};

part! {
    /// Hard-mining loss of Deep_Metric: the mean similarities of hard pairs, without weights.
    pub struct HardMiningDm {
        /// Positives count up to this much above the most similar negative, negatives down to this
        /// much below the least similar positive.
        margin: f64 = 0.1,
    }
    formula: "1/n sum_a ( mean_p (1 - s_ap) where s_ap < max_n s_an + margin, + mean_n s_an where s_an > min_p s_ap - margin )",
    source: "Deep_Metric repository",
}

impl LossPart for HardMiningDm {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::PerImage,
            references: ReferenceKind::Tuples,
        }
    }
}
