//! Generalized lifted structure loss.

use super::{ANY_DISTANCE, LossFacts, LossPart, ReferenceKind};
use crate::{Reduction, parts::part::part};

part! {
    /// Generalized lifted structure loss (Hermans et al., 2017).
    pub struct GeneralizedLifted {
        /// Negatives are pushed up to about this distance.
        neg_margin: f64 = 1.0,
        /// Positives closer than about this cost little.
        pos_margin: f64 = 0.0,
    }
    formula: "mean over anchors of [ log sum_p e^(d_ap - pos_margin) + log sum_n e^(neg_margin - d_an) ]+",
    source: "Hermans, Beyer & Leibe, 2017",
}

impl LossPart for GeneralizedLifted {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: ANY_DISTANCE,
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
