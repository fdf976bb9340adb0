//! RMSprop. Tieleman & Hinton, Coursera lecture 6.5, 2012; `epsilon` is added to the root, the learning rate scales
//! the step and not the velocity.
//! Reference: `torch.optim.RMSprop`; weight decay is added to the gradient.

use schema::RmsProp;
use tch::Tensor;

use super::{StepInfo, UpdateRule, with_weight_decay};

impl UpdateRule for RmsProp {
    fn buffers(&self) -> &'static [&'static str] {
        if self.centered {
            &["mean_square", "velocity", "mean"]
        } else {
            &["mean_square", "velocity"]
        }
    }

    fn update(
        &self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        at: StepInfo,
    ) {
        let [mean_square, velocity, means @ ..] = buffers else {
            unreachable!("RMSprop has a mean and a velocity")
        };
        let gradient = with_weight_decay(gradient, parameters, self.weight_decay * at.decay);
        *mean_square *= self.alpha;
        *mean_square += gradient.square() * (1.0 - self.alpha);
        let spread = match means.first_mut() {
            Some(mean) => {
                let _ = mean.lerp_(&gradient, 1.0 - self.alpha);
                (&*mean_square - mean.square()).sqrt()
            }
            None => mean_square.sqrt(),
        };
        *velocity *= self.momentum;
        *velocity += gradient / (spread + self.epsilon);
        *parameters -= &*velocity * (self.lr * at.rate);
    }
}

#[cfg(test)]
mod tests {
    use schema::Optimizer;

    use super::super::tests::{agrees_with_golden_values, continues_bit_for_bit};
    use super::*;

    #[test]
    fn twenty_steps_are_those_of_the_reference() {
        agrees_with_golden_values("rms_prop");
    }

    #[test]
    fn a_restored_optimizer_continues_bit_for_bit() {
        let settings = RmsProp {
            lr: 0.1,
            alpha: 0.9,
            epsilon: 1e-8,
            momentum: 0.9,
            centered: true,
            weight_decay: 0.01,
        };
        continues_bit_for_bit(&Optimizer::RmsProp(settings));
    }
}
