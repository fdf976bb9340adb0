//! The hardest positive and negative of each anchor.

use crate::{Distance, parts::part::part};

part! {
    /// Keeps the farthest positive and the closest negative of each anchor (Hermans et al., 2017).
    pub struct BatchHardMiner {
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "the farthest positive and the closest negative of each anchor",
    source: "Hermans, Beyer & Leibe, 2017",
}
