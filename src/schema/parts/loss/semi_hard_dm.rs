//! Semi-hard loss intended by Deep_Metric.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Semi-hard loss intended by Deep_Metric: binomial costs of mined pairs.
    pub struct SemiHardDm {
        /// Sharpness on negatives.
        alpha: f64 = 40.0 => above(0.0),
        /// Sharpness on positives.
        beta: f64 = 2.0 => above(0.0),
        /// Boundary between the similarities of positives and negatives.
        base: f64 = 0.5,
    }
    formula: "2/beta log(1 + sum_p e^(-beta (s_ap - base))) + 2/alpha log(1 + sum_n e^(alpha (s_an - base))) over overlapping pairs",
    source: "Deep_Metric repository, its intent",
}

impl LossPart for SemiHardDm {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::PerImage,
            references: ReferenceKind::Tuples,
        }
    }
}
