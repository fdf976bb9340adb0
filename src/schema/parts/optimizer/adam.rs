//! Adam.

use super::{Betas, fraction};
use crate::parts::{
    part::part,
    range::{above, at_least},
};

part! {
    /// Adam (Kingma & Ba, 2015) with bias correction; weight decay is added to the gradient.
    pub struct Adam {
        /// Learning rate.
        #[schemars(extend("x-also" = ["learning_rate"]))]
        lr: f64 = 1e-3 => above(0.0),
        /// Decay rates of the first and the second moment.
        betas: Betas = Betas([0.9, 0.999]) => fraction(),
        /// Added to the denominator.
        epsilon: f64 = 1e-8 => above(0.0),
        /// True to divide by the largest second moment so far (Reddi, Kale & Kumar, 2018).
        amsgrad: bool = false,
        /// L2 penalty.
        #[schemars(extend("x-also" = ["wd"]))]
        weight_decay: f64 = 0.0 => at_least(0.0),
    }
    formula: "PyTorch's Adam; weight decay is added to the gradient",
    source: "Kingma & Ba, ICLR 2015",
}
