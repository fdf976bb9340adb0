//! Times, warm-up, clipping, averaging and guards of a training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OutOfRange, Setting, settings::settings};

/// A time of training: `{ steps = 100 }` or `{ epochs = 2 }`.
///
/// An epoch has `epoch_steps` steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Span<T = u64> {
    /// Steps.
    Steps(T),
    /// Epochs. What changes with epochs stays the same within one.
    Epochs(T),
}

impl Span {
    /// Checks that the time is not zero; `setting` is its key.
    ///
    /// # Errors
    /// If it is zero.
    pub fn check_positive(&self, setting: &str) -> Result<(), OutOfRange> {
        let (unit, &amount) = self.named();
        if amount > 0 {
            return Ok(());
        }
        let setting = format!("{setting}.{unit}");
        Err(OutOfRange::new(&setting, "expected at least 1"))
    }
}

impl<T> Setting for Span<T> {}

impl<T> Span<T> {
    /// Returns the number of steps or epochs.
    pub fn amount(&self) -> &T {
        match self {
            Span::Steps(amount) | Span::Epochs(amount) => amount,
        }
    }

    /// Returns the key, `steps` or `epochs`, and the number of them.
    pub fn named(&self) -> (&'static str, &T) {
        match self {
            Span::Steps(number) => ("steps", number),
            Span::Epochs(number) => ("epochs", number),
        }
    }
}

settings! {
    /// What ends a training that has gone wrong. Its outcome is then no number.
    Guards {
        /// Ends a training after this number of successive steps without a contribution to the loss. 0: never.
        dead_steps: u64 = 1000,
        /// A training has collapsed when the mean cosine similarity of two images of a batch is above this for a
        /// hundred steps. 1: it goes on.
        collapse: f64 = 0.999,
    }
}

settings! {
    /// The exponential moving average of a network's weights and running statistics.
    Ema {
        /// Weight of the average so far in each step.
        decay: f64 = 0.9998,
        /// True if this weight is at most `1 - (1 + t)^(-2/3)` at step `t`, from 0.
        warm_up: bool = false,
    }
}

impl Guards {
    /// True if all guards have their defaults.
    pub fn are_default(&self) -> bool {
        *self == Guards::default()
    }
}

fn a_tenth() -> f64 {
    0.1
}

/// A linear rise of the learning rates, from `from` times the scheduled rate at the first step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Length of the rise.
    pub over: Span,
    /// Factor at the first step.
    #[serde(default = "a_tenth")]
    pub from: f64,
}

/// Gradient clipping. The weights of the network are clipped together, and so are the parameters of each loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Bound of the Euclidean norm.
    Norm(f64),
    /// Bound of the magnitude of each element.
    Value(f64),
}
