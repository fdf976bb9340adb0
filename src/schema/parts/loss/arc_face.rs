//! ArcFace.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// ArcFace (Deng et al., CVPR 2019).
    pub struct ArcFace {
        /// Added to the angle to the target class, in degrees.
        margin: f64 = 28.6,
        /// Factor of the cosines.
        scale: f64 = 64.0 => above(0.0),
    }
    formula: "cross entropy of scale cos(angle(x, w) + margin of the target)",
    source: "Deng et al., CVPR 2019",
    published_search: "margin [0, 90] degrees, scale [0.01, 200], loss lr log [1e-6, 1]",
}

impl LossPart for ArcFace {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
