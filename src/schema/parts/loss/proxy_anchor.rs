//! Proxy-Anchor.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Proxy-Anchor (Kim et al., CVPR 2020).
    pub struct ProxyAnchor {
        /// Relaxation (delta in the paper).
        margin: f64 = 0.1,
        /// Sharpness.
        alpha: f64 = 32.0 => above(0.0),
    }
    formula: "1/P+ sum log(1 + sum_p e^(-alpha (s - margin))) + 1/C sum log(1 + sum_n e^(alpha (s + margin)))",
    source: "Kim et al., CVPR 2020",
}

impl LossPart for ProxyAnchor {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
