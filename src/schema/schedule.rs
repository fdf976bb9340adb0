//! How a training goes on and when it ends early: learning rates over time, bounds on gradients, guards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Card, settings::settings};

/// A time of training: `{ steps = 100 }` or `{ epochs = 2 }`.
///
/// An epoch is [`Training::epoch_steps`](crate::Training::epoch_steps) steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Span<T = u64> {
    /// Steps.
    Steps(T),
    /// Epochs. What changes with epochs stays the same within one.
    Epochs(T),
}

impl<T> Span<T> {
    /// Returns the number of steps or epochs.
    pub fn amount(&self) -> &T {
        match self {
            Span::Steps(amount) | Span::Epochs(amount) => amount,
        }
    }

    /// The name of its key, and the number.
    pub fn named(&self) -> (&'static str, &T) {
        match self {
            Span::Steps(number) => ("steps", number),
            Span::Epochs(number) => ("epochs", number),
        }
    }
}

/// What learning rates, of weights and of losses, are multiplied by as training goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// By 1.
    Constant,
    /// By `factor` once more after each `every`.
    Step(StepSchedule),
    /// By `factor` once more at each time of `at`.
    MultiStep(MultiStep),
    /// By half a cosine from 1 down to `floor`.
    Cosine(Cosine),
    /// By `factor` once more when validation no longer improves.
    Plateau(Plateau),
}

/// PyTorch's `StepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSchedule {
    /// Time between two changes.
    pub every: Span,
    /// Of each change.
    #[serde(default = "a_tenth")]
    pub factor: f64,
}

/// PyTorch's `MultiStepLR`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiStep {
    /// Times of the changes.
    pub at: Span<Vec<u64>>,
    /// Of each change.
    #[serde(default = "a_tenth")]
    pub factor: f64,
}

fn a_tenth() -> f64 {
    0.1
}

/// PyTorch's `CosineAnnealingLR`, which stays at its floor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// How long it falls. Absent: as long as training lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<Span>,
    /// The least.
    pub floor: f64,
}

settings! {
    /// PyTorch's `ReduceLROnPlateau` with `mode="max"`, on the metric that selects the best weights.
    Plateau {
        /// Validations without improvement that are waited for; the next one lowers the rates.
        patience: u64 = 10,
        /// Of each change.
        factor: f64 = 0.1,
        /// By how much of itself the best score must be exceeded to count as improved.
        threshold: f64 = 1e-4,
        /// Validations after a change that are not held against it.
        cooldown: u64 = 0,
        /// The least that rates are multiplied by.
        floor: f64 = 0.0,
    }

    /// What ends a training that has gone wrong. Its outcome is then no number.
    Guards {
        /// A training is dead when in so many steps in a row nothing contributed to the loss. 0: it goes on.
        dead_steps: u64 = 1000,
        /// A training has collapsed when the mean cosine similarity of two images of a batch is above this for a
        /// hundred steps. 1: it goes on.
        collapse: f64 = 0.999,
    }
}

impl Guards {
    /// Whether nothing was chosen.
    pub fn are_default(&self) -> bool {
        *self == Guards::default()
    }
}

/// Learning rates rise linearly from `from` times what they would be, at the first step, to what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// How long that takes.
    pub over: Span,
    /// The factor at first.
    #[serde(default = "a_tenth")]
    pub from: f64,
}

/// A bound on gradients. The weights of the network are clipped together, and so are the parameters of each loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// On the Euclidean norm.
    Norm(f64),
    /// On each number.
    Value(f64),
}

impl Schedule {
    /// Whether it changes nothing.
    pub fn is_constant(&self) -> bool {
        *self == Schedule::Constant
    }

    /// Every schedule with its default settings, and examples of those that have none.
    pub fn every() -> Vec<Schedule> {
        vec![
            Schedule::Constant,
            Schedule::Step(StepSchedule {
                every: Span::Epochs(10),
                factor: 0.1,
            }),
            Schedule::MultiStep(MultiStep {
                at: Span::Steps(vec![1200, 2400]),
                factor: 0.1,
            }),
            Schedule::Cosine(Cosine::default()),
            Schedule::Plateau(Plateau::default()),
        ]
    }

    /// What there is to know about each, in the order of [`Schedule::every`].
    pub const CARDS: &[Card] = &[
        Card::new("constant", "learning rates stay what they are"),
        Card::new("step", "rates x factor after each `every.steps` or `every.epochs`").from("PyTorch's StepLR"),
        Card::new("multi_step", "rates x factor at each of `at.steps` or `at.epochs`").from("PyTorch's MultiStepLR"),
        Card::new("cosine", "rates x floor + (1 - floor) (1 + cos(pi t / over)) / 2; `over` is all of training if left out").from("Loshchilov & Hutter, ICLR 2017, without restarts; PyTorch's CosineAnnealingLR"),
        Card::new("plateau", "rates x factor when more than `patience` validations brought no better score; needs folds").from("PyTorch's ReduceLROnPlateau"),
    ];
}
