//! FastAP.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// FastAP (Cakir et al., CVPR 2019): average precision from histograms of distances.
    pub struct FastAp {
        /// Number of histogram bins.
        bins: u32 = 10 => above(0.0),
    }
    formula: "1 - mean_a 1/P sum_bins h+ H+ / H of soft histograms of squared distances",
    source: "Cakir et al., CVPR 2019",
    published_search: "bins grid 2 to 32",
}

impl LossPart for FastAp {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[
                Distance::SquaredEuclidean,
                Distance::Euclidean,
                Distance::Cosine,
            ],
            reduction: Reduction::Mean,
            references: ReferenceKind::WeightedImages,
        }
    }
}
