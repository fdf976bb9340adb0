//! CosFace.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// CosFace (Wang et al., CVPR 2018).
    pub struct CosFace {
        /// Subtracted from the cosine of the target class.
        margin: f64 = 0.35,
        /// Factor of the cosines.
        scale: f64 = 64.0 => above(0.0),
    }
    formula: "cross entropy of scale (cos(x, w) - margin of the target)",
    source: "Wang et al., CVPR 2018",
    published_search: "margin [0, 1], scale [0.01, 200], loss lr log [1e-6, 1]",
}

impl LossPart for CosFace {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
