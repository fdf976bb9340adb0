//! ProxyNCA.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// ProxyNCA (Movshovitz-Attias et al., ICCV 2017), with the target's proxy in the denominator.
    pub struct ProxyNca {
        /// Factor of the squared distances.
        scale: f64 = 1.0 => above(0.0),
    }
    formula: "mean_a -log softmax over classes of -scale |x - proxy|^2, the target's proxy included",
    source: "Movshovitz-Attias et al., ICCV 2017",
    published_search: "scale [0.01, 100], loss lr log [1e-6, 1]",
}

impl LossPart for ProxyNca {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::SquaredEuclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
