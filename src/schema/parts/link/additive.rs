//! Boosting by a sum of margins.

use crate::parts::{part::part, range::at_least};

part! {
    /// Weights by a shrunken sum of the margins of the heads before, as in the program of BIER by default.
    pub struct Additive {
        /// Factor of the margin of each head.
        shrinkage: f64 = 0.06 => at_least(0.0),
        /// The sum before the first head.
        initial: f64 = 0.5,
        /// Factor of the weights of negative pairs.
        negatives: f64 = 2.0 => at_least(0.0),
    }
    formula: "w_(k+1) = -l'(A_k), for negative pairs times negatives; A_k = A_(k-1) + shrinkage a_k, A_0 = initial; w_1 = 1",
    source: "Opitz et al., ICCV 2017; default of mop/bier",
}
