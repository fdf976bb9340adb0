//! Contrastive loss on the signal-to-noise distance.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{Distance, Reduction, parts::part::part};

part! {
    /// Contrastive loss on the signal-to-noise distance (Yuan et al., CVPR 2019).
    pub struct SnrContrastive {
        /// Positive pairs closer than this cost nothing.
        pos_margin: f64 = 0.0,
        /// Negative pairs farther than this cost nothing.
        neg_margin: f64 = 1.0,
    }
    formula: "contrastive on d(a, x) = var(a - x) / var(a)",
    source: "Yuan et al., CVPR 2019",
    published_search: "pos_margin [0, 2], neg_margin [0, 2], zero_mean regularizer [0, 1]",
    also: ["SignalToNoiseRatioContrastiveLoss"],
}

impl LossPart for SnrContrastive {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::SignalToNoise],
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }
}
