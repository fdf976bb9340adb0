//! The hardest share of all pairs.

use crate::{
    Distance,
    parts::{part::part, range::above},
};

part! {
    /// Keeps the hardest share of the positive and of the negative pairs (HDC; Yuan et al., ICCV 2017).
    pub struct HardAwareMiner {
        /// The share that is kept.
        share: f64 = 0.5 => above(0.0).at_most(1.0),
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "the hardest share of positive and of negative pairs",
    source: "Yuan, Yang & Zhang, ICCV 2017",
    also: ["HDCMiner"],
}
