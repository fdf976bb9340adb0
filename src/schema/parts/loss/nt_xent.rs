//! Normalized temperature-scaled cross entropy.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Normalized temperature-scaled cross entropy (Sohn, 2016; Chen et al., 2020).
    pub struct NtXent {
        /// Divides the similarities.
        temperature: f64 = 0.07 => above(0.0),
    }
    formula: "mean over positive pairs of -log( e^(s_ap/T) / (e^(s_ap/T) + sum_n e^(s_an/T)) )",
    source: "Sohn, NIPS 2016; Chen et al., ICML 2020",
    published_search: "temperature log [1e-5, 100]",
    also: ["InfoNCE", "SimCLR"],
}

impl LossPart for NtXent {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine, Distance::Euclidean, Distance::DotProduct],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
