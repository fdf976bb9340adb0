//! Supervised contrastive loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Supervised contrastive loss (Khosla et al., NeurIPS 2020).
    pub struct SupCon {
        /// Divides the similarities.
        temperature: f64 = 0.1 => above(0.0),
    }
    formula: "mean+_a -1/P sum_p log( e^(s_ap/T) / sum_(k != a) e^(s_ak/T) )",
    source: "Khosla et al., NeurIPS 2020",
    also: ["SupervisedContrastiveLoss"],
}

impl LossPart for SupCon {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine, Distance::Euclidean, Distance::DotProduct],
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }
}
