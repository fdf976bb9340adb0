//! Optimizers: how parameters follow their gradient, with PyTorch's update rules and defaults. One
//! file each.

mod adam;
mod adam_w;
mod rms_prop;
mod sgd;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    part::parts,
    range::{Range, Setting, at_least},
};

parts! {
    ($)
    /// An optimizer with its settings.
    pub enum Optimizer, for_each_optimizer {
        Adam(adam::Adam),
        AdamW(adam_w::AdamW),
        RmsProp(rms_prop::RmsProp),
        Sgd(sgd::Sgd),
    }
}

/// From 0 to below 1: decay rates and momentum.
fn fraction() -> Range {
    at_least(0.0).below(1.0)
}

/// Decay rates of the first and the second moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Betas(pub [f64; 2]);

impl Setting for Betas {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        self.0.iter().try_for_each(|beta| beta.check(ranges))
    }
}
