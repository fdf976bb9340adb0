//! Semi-hard triplets.

use crate::{
    Distance,
    parts::{part::part, range::above},
};

part! {
    /// Keeps triplets whose negative is farther than the positive by at most a margin (Schroff et al.,
    /// CVPR 2015).
    pub struct SemiHardMiner {
        /// The negative is farther than the positive by at most this.
        margin: f64 = 0.2 => above(0.0),
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "triplets with 0 < d_an - d_ap <= margin",
    source: "Schroff et al., CVPR 2015",
    also: ["TripletMarginMiner"],
}
