//! Optimisers, as a recipe names them, with PyTorch's update rules and defaults.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Card, settings::settings};

/// An optimiser with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

settings! {
    /// Adam (Kingma & Ba, 2015) with bias correction; weight decay is added to the gradient.
    Adam {
        /// Learning rate.
        lr: f64 = 1e-3,
        /// Decay rates of the first and the second moment.
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator.
        epsilon: f64 = 1e-8,
        /// Divides by the largest second moment so far (Reddi, Kale & Kumar, 2018).
        amsgrad: bool = false,
        /// L2 penalty.
        weight_decay: f64 = 0.0,
    }

    /// Adam with weight decay apart from the gradient (Loshchilov & Hutter, 2019).
    AdamW {
        /// Learning rate.
        lr: f64 = 1e-3,
        /// Decay rates of the first and the second moment.
        betas: [f64; 2] = [0.9, 0.999],
        /// Added to the denominator.
        epsilon: f64 = 1e-8,
        /// Divides by the largest second moment so far.
        amsgrad: bool = false,
        /// By how much of itself, times the learning rate, a weight shrinks in each step.
        weight_decay: f64 = 1e-2,
    }

    /// RMSprop (Tieleman & Hinton, 2012); weight decay is added to the gradient.
    RmsProp {
        /// Learning rate.
        lr: f64 = 1e-2,
        /// Decay rate of the mean of squared gradients.
        alpha: f64 = 0.99,
        /// Added to the denominator.
        epsilon: f64 = 1e-8,
        /// Momentum.
        momentum: f64 = 0.0,
        /// Divides by the deviation of gradients from their mean, not by their root mean square.
        centered: bool = false,
        /// L2 penalty.
        weight_decay: f64 = 0.0,
    }

    /// Stochastic gradient descent with momentum; weight decay is added to the gradient.
    Sgd {
        /// Learning rate.
        lr: f64 = 1e-3,
        /// Momentum.
        momentum: f64 = 0.0,
        /// By how much of itself a gradient is less when it enters the velocity, but for the first.
        dampening: f64 = 0.0,
        /// Nesterov's momentum.
        nesterov: bool = false,
        /// L2 penalty.
        weight_decay: f64 = 0.0,
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
        Card::new(
            "adam",
            "PyTorch's Adam; weight decay is added to the gradient",
        )
        .from("Kingma & Ba, ICLR 2015"),
        Card::new(
            "adam_w",
            "PyTorch's AdamW; weight decay shrinks the weights",
        )
        .from("Loshchilov & Hutter, ICLR 2019"),
        Card::new(
            "rms_prop",
            "PyTorch's RMSprop, with momentum; what the Reality Check trains with",
        )
        .from("Hinton, 2012"),
        Card::new("sgd", "PyTorch's SGD, with momentum")
            .from("Robbins & Monro, 1951; Polyak, 1964"),
    ];
}
