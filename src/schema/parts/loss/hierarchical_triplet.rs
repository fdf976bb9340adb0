//! Hierarchical triplet loss.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{
    Distance, Reduction,
    parts::{part::part, range::above},
};

part! {
    /// Hierarchical triplet loss (Ge et al., ECCV 2018).
    pub struct HierarchicalTriplet {
        /// Added to the margin of each triplet (beta in the paper).
        margin: f64 = 0.1,
        /// Number of levels of the class tree.
        levels: u32 = 16 => above(0.0),
    }
    formula: "triplet with a margin that grows with the distance of the classes in a tree",
    source: "Ge et al., ECCV 2018",
}

impl LossPart for HierarchicalTriplet {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::SquaredEuclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::Tuples,
        }
    }
}
