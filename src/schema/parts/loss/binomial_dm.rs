//! Binomial deviance loss of Deep_Metric.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Binomial deviance loss of Deep_Metric.
    pub struct BinomialDm {
        /// Sharpness on negatives.
        alpha: f64 = 40.0 => above(0.0),
        /// Sharpness on positives.
        beta: f64 = 2.0 => above(0.0),
        /// Boundary between the similarities of positives and negatives.
        base: f64 = 0.5,
        /// Divides by the sharpness, as Deep_Metric does with its miner.
        scaled: bool = false,
    }
    formula: "1/n sum_a ( mean_p log(1 + e^(-beta (s_ap - base))) + mean_n log(1 + e^(alpha (s_an - base))) )",
    source: "Deep_Metric repository",
}

impl LossPart for BinomialDm {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::PerImage,
            references: ReferenceKind::Tuples,
        }
    }
}
