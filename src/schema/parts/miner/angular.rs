//! Triplets with a wide angle.

use crate::parts::{part::part, range::at_least};

part! {
    /// Keeps triplets with a wide angle at the negative (Wang et al., ICCV 2017).
    pub struct AngularMiner {
        /// The angle is wider than this.
        degrees: f64 = 20.0 => at_least(0.0).below(90.0),
    }
    formula: "triplets whose angle at the negative is wider than degrees",
    source: "Wang et al., ICCV 2017",
}
