//! SphereFace, or A-Softmax. Liu et al., CVPR 2017.
//!
//! Terms: those of [`LargeMarginSoftmax`](super::large_margin_softmax) with weights of length one; reduced to the mean. A
//! miner gives weights to images.
//! Reference: pytorch-metric-learning `SphereFaceLoss`. Differs: as [`LargeMarginSoftmax`](super::large_margin_softmax).

use schema::SphereFace;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits},
    large_margin_softmax::with_multiplied_angle,
};

impl ClassRows for SphereFace {}

impl Logits for SphereFace {
    fn logits(&self, batch: &LossInput, weights: &Tensor) -> Tensor {
        with_multiplied_angle(batch, weights, self.margin) * self.scale
    }
}

impl BuildLoss for SphereFace {
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
        let loss = in_double(&SphereFace {
            margin: 2,
            scale: 7.0,
        });
        let (mut logits, labels) = cosines(&*loss);
        for (row, &label) in logits.iter_mut().zip(&labels) {
            let double = 2.0 * row[label] * row[label] - 1.0;
            row[label] = if row[label] > 0.0 {
                double
            } else {
                -double - 2.0
            };
            row.iter_mut().for_each(|logit| *logit *= 7.0);
        }
        assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn angles_of_0_and_180_degrees_and_great_scales_give_finite_gradients() {
        for (margin, scale) in [(4, 1.0), (1, 300.0), (3, 6e4)] {
            is_stable(&SphereFace { margin, scale });
        }
    }
}
