//! Lifted loss of Deep_Metric.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Lifted loss of Deep_Metric: soft extrema of similarities, without a hinge.
    pub struct LiftedDm {
        /// Sharpness on negatives.
        alpha: f64 = 40.0 => above(0.0),
        /// Sharpness on positives.
        beta: f64 = 2.0 => above(0.0),
    }
    formula: "1/n sum_a ( 2/beta log sum_p e^(-beta s_ap) + 2/alpha log sum_n e^(alpha s_an) )",
    source: "Deep_Metric repository",
}

impl LossPart for LiftedDm {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::PerImage,
            references: ReferenceKind::Tuples,
        }
    }
}
