//! Pairs that violate a margin.

use crate::{Distance, parts::part::part};

part! {
    /// Keeps positives farther than one margin and negatives closer than another.
    pub struct PairMarginMiner {
        /// Positives are farther than this.
        pos_margin: f64 = 0.2,
        /// Negatives are closer than this.
        neg_margin: f64 = 0.8,
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "positives with d > pos_margin and negatives with d < neg_margin",
    source: "pytorch-metric-learning",
}
