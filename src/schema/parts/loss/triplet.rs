//! Triplet margin loss.

use super::{ANY_DISTANCE, BeyondMargin, LossFacts, LossPart, ReferenceKind};
use crate::{Reduction, parts::part::part};

part! {
    /// Triplet margin loss (Weinberger & Saul, 2009).
    pub struct Triplet {
        /// Negatives farther than the positive by at least this cost nothing.
        margin: f64 = 0.05,
        /// Uses the distance from the negative to the anchor or to the positive, whichever is smaller.
        swap: bool = false,
        /// Uses a softplus instead of a hinge.
        smooth: bool = false,
    }
    formula: "mean+ [d_ap - d_an + margin]+; swap: d_an is min(d_an, d_pn); smooth: softplus",
    source: "Weinberger & Saul, JMLR 2009; Schroff et al., CVPR 2015",
    published_search: "margin [-0.2, 2]",
}

impl LossPart for Triplet {
    fn beyond_margin(&self) -> BeyondMargin {
        match (self.swap, self.smooth) {
            (true, _) => BeyondMargin::NoMargin,
            (false, true) => BeyondMargin::Small,
            (false, false) => BeyondMargin::Zero,
        }
    }

    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: ANY_DISTANCE,
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }
}
