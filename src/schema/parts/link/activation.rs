//! Diversity of activations.

use crate::parts::{part::part, range::at_least};

part! {
    /// A penalty on numbers of two heads that are large for the same images.
    pub struct Activation {
        /// Weight of the penalty.
        weight: f64 = 5e-5 => at_least(0.0),
        /// Relative weight of what keeps the rows of the last layers at length one, so that small weights do not help.
        norm: f64 = 1e5 => at_least(0.0),
    }
    formula: "sum over heads i < j of mean (f_i f_j)^2, over images and pairs of numbers",
    source: "Opitz et al., ICCV 2017; constants of the command in mop/bier",
}
