//! Margin loss.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ANY_DISTANCE, LossFacts, LossPart, ReferenceKind};
use crate::{
    Reduction, Setting,
    parts::{part::part, range::at_least},
};

/// Whether the boundary of the margin loss is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// It is a constant.
    Fixed,
    /// One boundary for all classes.
    #[serde(
        rename(serialize = "learnt", deserialize = "learned"),
        alias = "learnt"
    )]
    Learned,
    /// One boundary for each class.
    PerClass,
}

impl Setting for Boundary {}

part! {
    /// Margin loss (Wu et al., ICCV 2017).
    pub struct Margin {
        /// Half the width of the band around the boundary (alpha in the paper).
        margin: f64 = 0.2,
        /// Initial boundary.
        beta: f64 = 1.2,
        /// Weight of the mean boundary in the loss.
        nu: f64 = 0.0 => at_least(0.0),
        /// Whether the boundary is learned.
        boundary: Boundary = Boundary::Fixed,
    }
    formula: "( sum [d_ap - beta + margin]+ + sum [beta - d_an + margin]+ + nu mean beta ) / pairs above 0",
    source: "Wu et al., ICCV 2017",
    published_search: "margin [-0.2, 2], beta [-0.2, 2], loss lr log [1e-6, 1]",
}

impl LossPart for Margin {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: ANY_DISTANCE,
            reduction: Reduction::AvgNonZero,
            references: ReferenceKind::Tuples,
        }
    }

    fn has_parameters(&self) -> bool {
        self.boundary != Boundary::Fixed
    }
}
