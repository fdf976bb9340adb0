//! Clustering loss by facility location.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction, Setting,
    parts::{part::part, range::at_least},
};

/// How a refinement round chooses the medoid of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refinement {
    /// The member that makes the objective largest, if it is larger than before. All images are assigned anew for
    /// each cluster.
    #[default]
    Objective,
    /// The rule of the published program (partitioning around medoids): the best member by its distances from the
    /// cluster, even if the objective falls. Images are assigned once a round.
    Pam,
}

impl Refinement {
    fn is_default(&self) -> bool {
        *self == Refinement::default()
    }
}

impl Setting for Refinement {}

part! {
    /// Clustering loss by facility location (Oh Song et al., CVPR 2017).
    pub struct Clustering {
        /// Weight of the dissimilarity between clusters and classes.
        gamma: f64 = 1.0 => at_least(0.0),
        /// Number of refinement rounds of the medoids.
        refinements: u32 = 5,
        /// How a refinement round chooses medoids.
        #[serde(skip_serializing_if = "Refinement::is_default")]
        refinement: Refinement = Refinement::Objective,
    }
    formula: "[ max over medoids (F(S) + gamma margin(S, y)) - F of the true clustering ]+",
    source: "Oh Song et al., CVPR 2017",
}

impl LossPart for Clustering {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Euclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Batch,
        }
    }
}
