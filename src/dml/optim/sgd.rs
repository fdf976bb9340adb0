//! Stochastic gradient descent with momentum. Polyak 1964, in the form of Sutskever et al., ICML 2013, where the
//! learning rate scales the step and not the velocity.
//! Reference: `torch.optim.SGD`: the first gradient enters the velocity undamped; Nesterov looks one step ahead.

use tch::Tensor;

use super::{Moment, Rule, decayed};

/// Stochastic gradient descent with momentum.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// By how much of itself a gradient is less, when it enters a velocity that is not zero any more.
    pub dampening: f64,
    /// Nesterov's momentum: the step is what the next one would be with the same gradient.
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Rule for Sgd {
    fn kept(&self) -> &'static [&'static str] {
        &["velocity"]
    }

    fn update(&self, parameters: &mut Tensor, gradient: &Tensor, kept: &mut [Tensor], at: Moment) {
        let [velocity] = kept else {
            unreachable!("SGD keeps one velocity")
        };
        let gradient = decayed(gradient, parameters, self.weight_decay);
        let undamped = at.step == 1 || self.momentum == 0.0;
        *velocity *= self.momentum;
        *velocity += &gradient * if undamped { 1.0 } else { 1.0 - self.dampening };
        let rate = self.lr * at.rate;
        match self.nesterov {
            true => *parameters -= (gradient + &*velocity * self.momentum) * rate,
            false => *parameters -= &*velocity * rate,
        }
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
        agrees_with_golden_values("sgd");
    }

    #[test]
    fn a_restored_optimiser_continues_bit_for_bit() {
        let rule = Sgd {
            lr: 0.1,
            momentum: 0.9,
            dampening: 0.1,
            nesterov: false,
            weight_decay: 0.01,
        };
        continues_bit_for_bit(|parameters| Optimizer::new(rule.clone(), parameters));
    }
}
