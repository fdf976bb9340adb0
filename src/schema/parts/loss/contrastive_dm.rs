//! Contrastive loss of Deep_Metric.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{Distance, Reduction, parts::part::part};

part! {
    /// Contrastive loss of the Deep_Metric, MS and XBM programs: sums of similarities divided by the
    /// number of images in the batch.
    pub struct ContrastiveDm {
        /// Negative pairs less similar than this cost nothing.
        margin: f64 = 0.5,
    }
    formula: "1/n sum_a ( sum_p (1 - s_ap) + sum_n s_an where s_an > margin )",
    source: "Deep_Metric, research-ms-loss and research-xbm repositories",
}

impl LossPart for ContrastiveDm {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::PerImage,
            references: ReferenceKind::Tuples,
        }
    }
}
