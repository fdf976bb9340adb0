//! Smooth-AP.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Smooth-AP (Brown et al., ECCV 2020).
    pub struct SmoothAp {
        /// Width of the sigmoid that replaces the step function.
        temperature: f64 = 0.01 => above(0.0),
        /// Counts the query among its own positives, as the authors and PML do.
        itself: bool = true,
    }
    formula: "1 - mean_a 1/P sum_p R+(p) / R(p), ranks by sigmoids of differences of similarities over temperature",
    source: "Brown et al., ECCV 2020",
}

impl LossPart for SmoothAp {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::WeightedImages,
        }
    }
}
