//! Sub-center ArcFace.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{
        part::part,
        range::{above, at_least},
    },
};

part! {
    /// Sub-center ArcFace (Deng et al., ECCV 2020): several centers per class; the closest one
    /// counts.
    pub struct SubCenterArcFace {
        /// Added to the angle to the target class, in degrees.
        margin: f64 = 28.6,
        /// Factor of the cosines.
        scale: f64 = 64.0 => above(0.0),
        /// Number of centers per class.
        sub_centers: u32 = 3 => at_least(1.0),
    }
    formula: "ArcFace, the cosine of a class being the largest cosine with one of its centers",
    source: "Deng et al., ECCV 2020",
}

impl LossPart for SubCenterArcFace {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Cosine],
            reduction: Reduction::Mean,
            references: ReferenceKind::Classes,
        }
    }
}
