//! Easy triplets.

use crate::{Distance, parts::part::part};

part! {
    /// Keeps triplets that satisfy a margin.
    pub struct EasyMiner {
        /// The negative is farther than the positive by more than this.
        margin: f64 = 0.2,
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "triplets with d_an - d_ap > margin",
    source: "pytorch-metric-learning",
}
