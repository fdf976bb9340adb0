//! Lifted structure loss.

use super::{ANY_DISTANCE, LossFacts, LossPart, ReferenceKind};
use crate::{Reduction, parts::part::part};

part! {
    /// Lifted structure loss (Oh Song et al., CVPR 2016).
    pub struct Lifted {
        /// Negatives are pushed up to about this distance.
        neg_margin: f64 = 1.0,
        /// Positives closer than about this cost little.
        pos_margin: f64 = 0.0,
    }
    formula: "mean over positive pairs of [ log sum_n (e^(neg_margin - d_an) + e^(neg_margin - d_pn)) + d_ap - pos_margin ]+^2 / 2",
    source: "Oh Song et al., CVPR 2016",
}

impl LossPart for Lifted {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: ANY_DISTANCE,
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
