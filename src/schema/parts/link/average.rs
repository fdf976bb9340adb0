//! Online gradient boosting.

use crate::Part;

/// Weights by the negative slope of the loss at the running mean of the margins: online gradient boosting.
pub struct Average;

impl Part for Average {
    const FORMULA: &'static str =
        "w_(k+1) = -l'(A_k); A_k = (1 - nu_k) A_(k-1) + nu_k a_k, nu_k = 2 / (k + 1); w_1 = 1";
    const SOURCE: &'static str = "Beygelzimer et al., NIPS 2015; mop/bier with --eta-style";
}
