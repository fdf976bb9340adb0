//! Binomial deviance loss.

use super::{BeyondMargin, LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Binomial deviance loss (Yi et al., 2014).
    pub struct Binomial {
        /// Sharpness.
        alpha: f64 = 2.0 => above(0.0),
        /// Boundary between the similarities of positives and negatives (beta in the paper).
        base: f64 = 0.5,
        /// Factor of the sharpness on negatives.
        cost: f64 = 25.0 => above(0.0),
    }
    formula: "mean_p log(1 + e^(-alpha (s_ap - base))) + mean_n log(1 + e^(alpha cost (s_an - base)))",
    source: "Yi, Lei & Li, 2014",
}

impl LossPart for Binomial {
    fn beyond_margin(&self) -> BeyondMargin {
        BeyondMargin::Small
    }

    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
