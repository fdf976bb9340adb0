//! AdamW. Loshchilov & Hutter, ICLR 2019, Algorithm 2 with a schedule of the learning rate.
//! Reference: `torch.optim.AdamW`: weights shrink before Adam's step, by the learning rate times the weight decay.

use tch::Tensor;

use super::{Adam, Moment, Rule};

/// Adam with weight decay apart from the gradient.
#[derive(Clone, Debug)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates of the first and the second moment.
    pub betas: [f64; 2],
    /// Added to the denominator.
    pub epsilon: f64,
    /// Divides by the largest second moment so far.
    pub amsgrad: bool,
    /// By how much of itself, times the learning rate, a weight shrinks in each step.
    pub weight_decay: f64,
}

impl AdamW {
    fn adam(&self) -> Adam {
        Adam {
            lr: self.lr,
            betas: self.betas,
            epsilon: self.epsilon,
            amsgrad: self.amsgrad,
            weight_decay: 0.0,
        }
    }
}

impl Rule for AdamW {
    fn kept(&self) -> &'static [&'static str] {
        self.adam().kept()
    }

    fn update(&self, parameters: &mut Tensor, gradient: &Tensor, kept: &mut [Tensor], at: Moment) {
        *parameters *= 1.0 - self.lr * at.rate * self.weight_decay;
        self.adam().update(parameters, gradient, kept, at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Optimizer,
        tests::{agrees_with_golden_values, continues_bit_for_bit},
    };
    use super::*;

    #[test]
    fn twenty_steps_are_those_of_the_reference() {
        agrees_with_golden_values("adam_w");
    }

    #[test]
    fn a_restored_optimiser_continues_bit_for_bit() {
        let rule = AdamW {
            lr: 0.1,
            betas: [0.9, 0.99],
            epsilon: 1e-8,
            amsgrad: false,
            weight_decay: 0.01,
        };
        continues_bit_for_bit(|parameters| Optimizer::new(rule.clone(), parameters));
    }
}
