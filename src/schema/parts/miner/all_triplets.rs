//! All triplets that violate a margin.

use crate::{Distance, parts::part::part};

part! {
    /// Keeps all triplets that violate a margin.
    pub struct AllTripletsMiner {
        /// The negative is farther than the positive by at most this, or closer.
        margin: f64 = 0.2,
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "triplets with d_an - d_ap <= margin",
    source: "pytorch-metric-learning",
}
