//! Contrastive loss.

use super::{ANY_DISTANCE, BeyondMargin, LossFacts, LossPart, ReferenceKind};
use crate::{
    Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Contrastive loss (Hadsell et al., CVPR 2006).
    pub struct Contrastive {
        /// Positive pairs closer than this cost nothing.
        pos_margin: f64 = 0.0,
        /// Negative pairs farther than this cost nothing.
        neg_margin: f64 = 1.0,
        /// Exponent of each term.
        power: f64 = 1.0 => above(0.0),
    }
    formula: "mean+ [d_ap - pos_margin]+ ^power + mean+ [neg_margin - d_an]+ ^power, mean+ over terms above 0",
    source: "Hadsell, Chopra & LeCun, CVPR 2006",
    published_search: "pos_margin [-0.2, 2], neg_margin [-0.2, 2]",
}

impl LossPart for Contrastive {
    fn beyond_margin(&self) -> BeyondMargin {
        BeyondMargin::Zero
    }

    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: ANY_DISTANCE,
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }
}
