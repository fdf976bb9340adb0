//! Neighborhood components analysis.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Neighborhood components analysis (Goldberger et al., 2004).
    pub struct Nca {
        /// Factor of the squared distances.
        scale: f64 = 1.0 => above(0.0),
    }
    formula: "mean_a -log( sum_p e^(-scale d_ap^2) / sum_(k != a) e^(-scale d_ak^2) )",
    source: "Goldberger et al., NIPS 2004",
}

impl LossPart for Nca {
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
