//! Angular loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Angular loss (Wang et al., ICCV 2017).
    pub struct Angular {
        /// Upper bound of the angle at the negative, in degrees.
        alpha: f64 = 40.0 => above(0.0),
    }
    formula: "mean over positive pairs of log(1 + sum_n e^(4 tan^2(alpha) (a + p) n - 2 (1 + tan^2(alpha)) a p))",
    source: "Wang et al., ICCV 2017",
}

impl LossPart for Angular {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Euclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
