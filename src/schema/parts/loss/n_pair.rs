//! N-pair loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{Distance, Reduction, parts::part::part};

part! {
    /// N-pair loss (Sohn, NeurIPS 2016).
    pub struct NPair {}
    formula: "cross entropy of a p^T, one anchor and one positive of each class",
    source: "Sohn, NIPS 2016",
}

impl LossPart for NPair {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine, Distance::DotProduct],
            reduction: Reduction::Mean,
            references: ReferenceKind::WeightedImages,
        }
    }
}
