//! NCA over the nearest neighbors.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// NCA over the nearest neighbors, as intended by Deep_Metric.
    pub struct NcaDm {
        /// Factor of the similarities.
        alpha: f64 = 16.0 => above(0.0),
        /// Number of nearest neighbors that count.
        k: u32 = 32 => above(0.0),
    }
    formula: "1/n sum_a -log( sum_p e^(alpha s_ap) / sum e^(alpha s) ) over the nearest neighbors",
    source: "Deep_Metric repository, its intent",
}

impl LossPart for NcaDm {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::PerImage,
            references: ReferenceKind::WeightedImages,
        }
    }
}
