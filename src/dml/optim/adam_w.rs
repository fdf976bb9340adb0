//! AdamW. Loshchilov & Hutter, ICLR 2019, Algorithm 2 with a schedule of the learning rate.
//! Reference: `torch.optim.AdamW`: weights shrink before Adam's step, by the learning rate times the weight decay.

use schema::{Adam, AdamW};
use tch::Tensor;

use super::{StepInfo, UpdateRule};

/// Returns the Adam of the same settings, without weight decay.
fn adam(settings: &AdamW) -> Adam {
    Adam {
        lr: settings.lr,
        betas: settings.betas,
        epsilon: settings.epsilon,
        amsgrad: settings.amsgrad,
        weight_decay: 0.0,
    }
}

impl UpdateRule for AdamW {
    fn buffers(&self) -> &'static [&'static str] {
        adam(self).buffers()
    }

    fn update(
        &self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        at: StepInfo,
    ) {
        *parameters *= 1.0 - self.lr * at.rate * (self.weight_decay * at.decay);
        adam(self).update(parameters, gradient, buffers, at);
    }
}

#[cfg(test)]
mod tests {
    use schema::{Betas, Optimizer};

    use super::super::tests::{agrees_with_golden_values, continues_bit_for_bit};
    use super::*;

    #[test]
    fn twenty_steps_are_those_of_the_reference() {
        agrees_with_golden_values("adam_w");
    }

    #[test]
    fn a_restored_optimizer_continues_bit_for_bit() {
        let settings = AdamW {
            lr: 0.1,
            betas: Betas([0.9, 0.99]),
            epsilon: 1e-8,
            amsgrad: false,
            weight_decay: 0.01,
        };
        continues_bit_for_bit(&Optimizer::AdamW(settings));
    }
}
