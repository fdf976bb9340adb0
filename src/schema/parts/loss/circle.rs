//! Circle loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Circle loss (Sun et al., CVPR 2020).
    pub struct Circle {
        /// Relaxation (m in the paper).
        margin: f64 = 0.4,
        /// Scale (gamma in the paper).
        gamma: f64 = 80.0 => above(0.0),
    }
    formula: "mean+_a softplus( lse_n gamma [s_an + m]+ (s_an - m) + lse_p -gamma [1 + m - s_ap]+ (s_ap - 1 + m) )",
    source: "Sun et al., CVPR 2020",
}

impl LossPart for Circle {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }
}
