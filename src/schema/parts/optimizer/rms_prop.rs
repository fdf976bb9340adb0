//! RMSprop.

use super::fraction;
use crate::parts::{
    part::part,
    range::{above, at_least},
};

part! {
    /// RMSprop (Tieleman & Hinton, 2012); weight decay is added to the gradient.
    pub struct RmsProp {
        /// Learning rate.
        #[schemars(extend("x-also" = ["learning_rate"]))]
        lr: f64 = 1e-2 => above(0.0),
        /// Decay rate of the mean of squared gradients.
        alpha: f64 = 0.99 => fraction(),
        /// Added to the denominator.
        epsilon: f64 = 1e-8 => above(0.0),
        /// Momentum.
        momentum: f64 = 0.0 => fraction(),
        /// True to divide by the standard deviation of gradients, not by their root mean square.
        centered: bool = false,
        /// L2 penalty.
        #[schemars(extend("x-also" = ["wd"]))]
        weight_decay: f64 = 0.0 => at_least(0.0),
    }
    formula: "PyTorch's RMSprop, with momentum; the optimizer of the Reality Check",
    source: "Hinton, 2012",
}
