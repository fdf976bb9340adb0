//! Stochastic gradient descent with momentum. Polyak 1964, in the form of Sutskever et al., ICML 2013, where the
//! learning rate scales the step and not the velocity.
//! Reference: `torch.optim.SGD`: the first gradient enters the velocity undamped; Nesterov looks one step ahead.

use schema::Sgd;
use tch::Tensor;

use super::{StepInfo, UpdateRule, with_weight_decay};

impl UpdateRule for Sgd {
    fn buffers(&self) -> &'static [&'static str] {
        &["velocity"]
    }

    fn update(
        &self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        at: StepInfo,
    ) {
        let [velocity] = buffers else {
            unreachable!("SGD has one velocity")
        };
        let gradient = with_weight_decay(gradient, parameters, self.weight_decay * at.decay);
        let undamped = at.number == 1 || self.momentum == 0.0;
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
    use schema::Optimizer;

    use super::super::tests::{agrees_with_golden_values, continues_bit_for_bit};
    use super::*;

    #[test]
    fn twenty_steps_are_those_of_the_reference() {
        agrees_with_golden_values("sgd");
    }

    #[test]
    fn a_restored_optimizer_continues_bit_for_bit() {
        let settings = Sgd {
            lr: 0.1,
            momentum: 0.9,
            dampening: 0.1,
            nesterov: false,
            weight_decay: 0.01,
        };
        continues_bit_for_bit(&Optimizer::Sgd(settings));
    }
}
