//! ProxyNCA++.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// ProxyNCA++ (Teh et al., ECCV 2020).
    pub struct ProxyNcaPp {
        /// Divides the squared distances.
        temperature: f64 = 1.0 / 9.0 => above(0.0),
    }
    formula: "mean_a -log softmax over classes of -|x - proxy|^2 / temperature",
    source: "Teh, DeVries & Taylor, ECCV 2020",
}

impl LossPart for ProxyNcaPp {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::SquaredEuclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
