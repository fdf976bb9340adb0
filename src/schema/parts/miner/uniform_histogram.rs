//! Pairs uniform over distances.

use crate::{
    Distance,
    parts::{
        part::part,
        range::{above, at_least},
    },
};

part! {
    /// Draws the same number of pairs from every range of distances, with replacement.
    pub struct UniformHistogramMiner {
        /// Number of ranges.
        bins: u32 = 100 => at_least(1.0).at_most(100_000.0),
        /// Positive pairs drawn from each range.
        pos_per_bin: u32 = 10 => above(0.0),
        /// Negative pairs drawn from each range.
        neg_per_bin: u32 = 10 => above(0.0),
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "the same number of pairs from each range of distances",
    source: "pytorch-metric-learning",
}
