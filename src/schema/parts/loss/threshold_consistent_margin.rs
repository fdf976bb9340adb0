//! Contrastive loss on cosine similarity, under the name that pytorch-metric-learning gives it.

use super::{BeyondMargin, LossFacts, LossPart, ReferenceKind};
use crate::{Distance, Reduction, parts::part::part};

part! {
    /// Contrastive loss on cosine similarity. This is what pytorch-metric-learning calls threshold-consistent margin; the
    /// paper of that name (Zhang et al., ICLR 2024) adds it to another loss, as `loss.sum` does.
    pub struct ThresholdConsistentMargin {
        /// Positive pairs of a larger cosine cost nothing.
        pos_margin: f64 = 0.9,
        /// Negative pairs of a smaller cosine cost nothing.
        neg_margin: f64 = 0.5,
    }
    formula: "contrastive on cosine similarity: mean+ [pos_margin - s_ap]+ + mean+ [s_an - neg_margin]+, mean+ over terms above 0",
    source: "Zhang et al., ICLR 2024",
    also: ["TCM"],
}

impl LossPart for ThresholdConsistentMargin {
    fn beyond_margin(&self) -> BeyondMargin {
        BeyondMargin::Zero
    }

    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }
}
