//! The miner of the multi-similarity loss.

use crate::{Distance, parts::part::part};

part! {
    /// Keeps a negative that is more similar than the least similar positive minus `epsilon`, and a
    /// positive that is less similar than the most similar negative plus `epsilon` (Wang et al.,
    /// CVPR 2019, Eq. 7 and 8).
    pub struct MultiSimilarityMiner {
        /// Width of the overlap.
        epsilon: f64 = 0.1,
        /// The distance by which it chooses. Absent: cosine.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "positives with s - epsilon < max s_an and negatives with s + epsilon > min s_ap",
    source: "Wang et al., CVPR 2019",
    published_search: "epsilon [0, 1]",
}
