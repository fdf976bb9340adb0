//! Hard triplets.

use crate::{Distance, parts::part::part};

part! {
    /// Keeps triplets whose negative is not farther than the positive.
    pub struct HardMiner {
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "triplets with d_an <= d_ap",
    source: "pytorch-metric-learning",
}
