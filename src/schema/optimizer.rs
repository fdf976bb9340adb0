//! Optimisers, as a recipe names them, with PyTorch's update rules and defaults.

use serde::{Deserialize, Serialize};

use crate::Card;

/// An optimiser with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// See [`Adam`].
    Adam(Adam),
    /// See [`AdamW`].
    AdamW(AdamW),
    /// See [`RmsProp`].
    RmsProp(RmsProp),
    /// See [`Sgd`].
    Sgd(Sgd),
}

/// Adam (Kingma & Ba, 2015) with bias correction; weight decay is added to the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub epsilon: f64,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { lr: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Adam with weight decay apart from the gradient (Loshchilov & Hutter, 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub epsilon: f64,
    /// By how much of itself, times the learning rate, a weight shrinks in each step.
    pub weight_decay: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        AdamW { lr: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

/// RMSprop (Tieleman & Hinton, 2012), not centred; weight decay is added to the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay rate of the mean of squared gradients.
    pub alpha: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Momentum.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp { lr: 1e-2, alpha: 0.99, epsilon: 1e-8, momentum: 0.0, weight_decay: 0.0 }
    }
}

/// Stochastic gradient descent with momentum; weight decay is added to the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum, without dampening.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Sgd { lr: 1e-3, momentum: 0.0, weight_decay: 0.0 }
    }
}

impl Optimizer {
    /// Every optimiser with its default settings.
    pub fn every() -> Vec<Optimizer> {
        vec![
            Optimizer::Adam(Adam::default()),
            Optimizer::AdamW(AdamW::default()),
            Optimizer::RmsProp(RmsProp::default()),
            Optimizer::Sgd(Sgd::default()),
        ]
    }

    /// What there is to know about each, in the order of [`Optimizer::every`].
    pub const CARDS: &[Card] = &[
        Card::new("adam", "PyTorch's Adam; weight decay is added to the gradient", "Kingma & Ba, ICLR 2015", ""),
        Card::new("adam_w", "PyTorch's AdamW; weight decay shrinks the weights", "Loshchilov & Hutter, ICLR 2019", ""),
        Card::new(
            "rms_prop",
            "PyTorch's RMSprop, with momentum; what the Reality Check trains with",
            "Hinton, 2012",
            "",
        ),
        Card::new("sgd", "PyTorch's SGD, with momentum", "Robbins & Monro, 1951; Polyak, 1964", ""),
    ];
}
