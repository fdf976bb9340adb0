//! Stochastic gradient descent.

use super::fraction;
use crate::{
    OutOfRange,
    parts::{
        part::part,
        range::{above, at_least},
    },
};

part! {
    /// Stochastic gradient descent with momentum; weight decay is added to the gradient.
    pub struct Sgd {
        /// Learning rate.
        #[schemars(extend("x-also" = ["learning_rate"]))]
        lr: f64 = 1e-3 => above(0.0),
        /// Momentum.
        momentum: f64 = 0.0 => fraction(),
        /// Fraction of a gradient that does not enter the velocity, except in the first step.
        dampening: f64 = 0.0 => fraction(),
        /// True for Nesterov's momentum.
        nesterov: bool = false,
        /// L2 penalty.
        #[schemars(extend("x-also" = ["wd"]))]
        weight_decay: f64 = 0.0 => at_least(0.0),
    }
    formula: "PyTorch's SGD, with momentum",
    source: "Robbins & Monro, 1951; Polyak, 1964",
    check: nesterov_has_momentum,
}

fn nesterov_has_momentum(sgd: &Sgd) -> Result<(), OutOfRange> {
    if !sgd.nesterov || (sgd.momentum > 0.0 && sgd.dampening == 0.0) {
        return Ok(());
    }
    Err(OutOfRange::new(
        "nesterov",
        "it needs `momentum` above 0, and no `dampening`",
    ))
}
