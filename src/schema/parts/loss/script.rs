//! What a loss of the user declares.

use super::{LossFacts, LossPart, ReferenceKind};
use crate::{Distance, Reduction, Script};

impl LossPart for Script {
    fn facts(&self) -> LossFacts {
        LossFacts {
            distances: &[Distance::Euclidean],
            reduction: Reduction::Mean,
            references: ReferenceKind::AllImages,
        }
    }

    /// The file tells whether it has some.
    fn has_parameters(&self) -> bool {
        true
    }
}
