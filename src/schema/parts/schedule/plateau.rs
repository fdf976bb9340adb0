//! Steps when validation no longer improves.

use crate::parts::{part::part, range::at_least};

part! {
    /// PyTorch's `ReduceLROnPlateau` with `mode="max"`, on the metric that selects the best weights.
    pub struct Plateau {
        /// Validations without improvement before the next one lowers the rates.
        patience: u64 = 10,
        /// Factor of each change.
        factor: f64 = 0.1 => at_least(0.0).below(1.0),
        /// Fraction of the best score by which it must be exceeded to count as improved.
        threshold: f64 = 1e-4 => at_least(0.0),
        /// Validations after a change that are not counted.
        cooldown: u64 = 0,
        /// The least factor of the rates.
        floor: f64 = 0.0 => at_least(0.0).below(1.0),
    }
    formula: "rates x factor when more than `patience` validations brought no better score; needs folds",
    source: "PyTorch's ReduceLROnPlateau",
}
