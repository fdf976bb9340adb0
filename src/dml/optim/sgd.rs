//! Stochastic gradient descent with momentum. Polyak 1964, in the form of Sutskever et al., ICML 2013, where the
//! learning rate scales the step and not the velocity.
//! Reference: `torch.optim.SGD` without dampening or Nesterov.

use tch::Tensor;

use super::{Rule, decayed};

/// Stochastic gradient descent with momentum.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// L2 penalty.
    pub weight_decay: f64,
}

impl Rule for Sgd {
    fn kept(&self) -> &'static [&'static str] {
        &["velocity"]
    }

    fn update(&self, parameters: &mut Tensor, gradient: &Tensor, kept: &mut [Tensor], _step: i64) {
        let [velocity] = kept else { unreachable!("SGD keeps one velocity") };
        *velocity *= self.momentum;
        *velocity += decayed(gradient, parameters, self.weight_decay);
        *parameters -= &*velocity * self.lr;
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
        let rule = Sgd { lr: 0.1, momentum: 0.9, weight_decay: 0.01 };
        continues_bit_for_bit(|parameters| Optimizer::new(rule.clone(), parameters));
    }
}
