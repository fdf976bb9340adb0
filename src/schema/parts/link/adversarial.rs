//! Diversity by adversaries.

use crate::parts::{
    part::part,
    range::{above, at_least},
};

part! {
    /// A penalty on heads that a small network can predict from later ones. The predictors are trained by the
    /// optimizer of losses to predict well, and the heads so that they predict badly.
    pub struct Adversarial {
        /// Weight of the penalty.
        weight: f64 = 5e-5 => at_least(0.0),
        /// Relative weight of what keeps the weights of heads and predictors from growing.
        norm: f64 = 1e5 => at_least(0.0),
        /// Width of the hidden layer of the predictors.
        hidden: u32 = 512 => above(0.0),
    }
    formula: "sum over heads i < j of mean (f_i g_ij(f_j))^2, g_ij: a hidden layer with ReLU",
    source: "Opitz et al., 2018 (A-BIER); constants of the command in mop/bier",
}
