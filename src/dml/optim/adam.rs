//! Adam. Kingma & Ba, ICLR 2015, Algorithm 1; `epsilon` is added after the bias correction of the second moment.
//! Reference: `torch.optim.Adam`; weight decay is added to the gradient (not decoupled as in AdamW).

use schema::Adam;
use tch::Tensor;

use super::{StepInfo, UpdateRule, with_weight_decay};

impl UpdateRule for Adam {
    fn buffers(&self) -> &'static [&'static str] {
        match self.amsgrad {
            true => &["first_moment", "second_moment", "largest_moment"],
            false => &["first_moment", "second_moment"],
        }
    }

    fn update(
        &self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        at: StepInfo,
    ) {
        let [first, second, largest @ ..] = buffers else {
            unreachable!("Adam has two moments")
        };
        let gradient = with_weight_decay(gradient, parameters, self.weight_decay * at.decay);
        let _ = first.lerp_(&gradient, 1.0 - self.betas.0[0]);
        *second *= self.betas.0[1];
        *second += gradient.square() * (1.0 - self.betas.0[1]);
        let correction = |beta: f64| 1.0 - beta.powf(at.number as f64);
        let scale = match largest.first_mut() {
            Some(largest) => {
                let now = largest.maximum(second);
                largest.copy_(&now);
                now.sqrt()
            }
            None => second.sqrt(),
        };
        let denominator = scale / correction(self.betas.0[1]).sqrt() + self.epsilon;
        *parameters -= &*first / denominator * (self.lr * at.rate / correction(self.betas.0[0]));
    }
}

#[cfg(test)]
mod tests {
    use schema::{Betas, Optimizer};

    use super::super::tests::{agrees_with_golden_values, continues_bit_for_bit};
    use super::*;

    #[test]
    fn twenty_steps_are_those_of_the_reference() {
        agrees_with_golden_values("adam");
    }

    #[test]
    fn a_restored_optimizer_continues_bit_for_bit() {
        let settings = Adam {
            lr: 0.1,
            betas: Betas([0.9, 0.99]),
            epsilon: 1e-8,
            amsgrad: true,
            weight_decay: 0.01,
        };
        continues_bit_for_bit(&Optimizer::Adam(settings));
    }
}
