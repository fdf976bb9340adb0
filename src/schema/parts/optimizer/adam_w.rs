//! AdamW.

use super::{Betas, fraction};
use crate::parts::{
    part::part,
    range::{above, at_least},
};

part! {
    /// Adam with decoupled weight decay (Loshchilov & Hutter, 2019).
    pub struct AdamW {
        /// Learning rate.
        #[schemars(extend("x-also" = ["learning_rate"]))]
        lr: f64 = 1e-3 => above(0.0),
        /// Decay rates of the first and the second moment.
        betas: Betas = Betas([0.9, 0.999]) => fraction(),
        /// Added to the denominator.
        epsilon: f64 = 1e-8 => above(0.0),
        /// True to divide by the largest second moment so far.
        amsgrad: bool = false,
        /// Fraction by which a weight shrinks in each step, times the learning rate.
        #[schemars(extend("x-also" = ["wd"]))]
        weight_decay: f64 = 1e-2 => at_least(0.0),
    }
    formula: "PyTorch's AdamW; weight decay shrinks the weights",
    source: "Loshchilov & Hutter, ICLR 2019",
}
