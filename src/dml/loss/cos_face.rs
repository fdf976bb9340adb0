//! CosFace. Wang et al., CVPR 2018, Eq. 4.
//!
//! Terms: one per image, the cross entropy of `scale cos` with its class, where `cos` are the cosines with the weights
//! of all classes, of length one, and that of its own class is reduced by `margin`; reduced to the mean. A miner gives
//! weights to images.
//! Reference: pytorch-metric-learning `CosFaceLoss`, which takes no distance but the cosine. Differs: none.

use schema::CosFace;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits, own_class},
};

impl ClassRows for CosFace {}

impl Logits for CosFace {
    fn logits(&self, batch: &LossInput, weights: &Tensor) -> Tensor {
        let cosines = batch.closeness_to(weights);
        let own = own_class(batch, cosines.size()[1]).to_kind(cosines.kind());
        (cosines - own * self.margin) * self.scale
    }
}

impl BuildLoss for CosFace {
    fn build(&self, init: &ClassInit) -> Box<dyn Loss> {
        Box::new(ClassLoss::new(self.clone(), init))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{cosines, in_double, is_stable, mean_cross_entropy},
        tests::of_all_pairs,
    };
    use super::*;

    #[test]
    fn it_is_the_sum_over_images_written_as_a_loop() {
        let loss = in_double(&CosFace {
            margin: 0.3,
            scale: 10.0,
        });
        let (mut logits, labels) = cosines(&*loss);
        logits
            .iter_mut()
            .zip(&labels)
            .for_each(|(row, &label)| row[label] -= 0.3);
        logits.iter_mut().flatten().for_each(|logit| *logit *= 10.0);
        assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn a_thousandfold_scale_does_not_overflow() {
        is_stable(&CosFace::default());
        is_stable(&CosFace {
            scale: 6e4,
            ..CosFace::default()
        });
    }
}
