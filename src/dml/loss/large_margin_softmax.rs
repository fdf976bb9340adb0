//! Large-margin softmax. Liu et al., ICML 2016, Eq. 6 and 7.
//!
//! Terms: one per image, the cross entropy of `scale |x| |w| cos(angle)` with its class, where the angles are those with
//! the weights of all classes, and that with its own class is multiplied by `margin`; reduced to the mean. So that the
//! logit falls with the angle on all of 0 to 180 degrees, the cosine of the multiple is `(-1)^k cos(margin angle) - 2 k`
//! on the k-th of `margin` equal parts. A miner gives weights to images.
//! Reference: pytorch-metric-learning `LargeMarginSoftmaxLoss`. Differs: the paper mixes the margin in during training,
//! which neither does.

use std::f64::consts::PI;

use schema::LargeMarginSoftmax;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits, own_class},
};
use crate::distance::{lengths, normalize};

impl ClassRows for LargeMarginSoftmax {
    fn compared(&self, rows: &Tensor) -> Tensor {
        rows.shallow_clone()
    }
}

impl Logits for LargeMarginSoftmax {
    fn logits(&self, batch: &LossInput, weights: &Tensor) -> Tensor {
        with_multiplied_angle(batch, &normalize(weights), self.margin)
            * lengths(weights).tr()
            * self.scale
    }
}

/// Returns `|x| cos(angle(x, w))` of all images and `weights` `[classes, d]` of length one, with the angle to the own class
/// multiplied by `margin`: `[n, classes]`.
pub(super) fn with_multiplied_angle(batch: &LossInput, weights: &Tensor, margin: u32) -> Tensor {
    let lengths = lengths(batch.embeddings);
    let cosines = normalize(batch.embeddings).matmul(&weights.tr());
    let own = cosines.gather(1, &batch.labels.unsqueeze(1), false);
    let own = falling(&own, margin);
    own.where_self(&own_class(batch, cosines.size()[1]), &cosines) * lengths
}

/// Returns the cosine of `margin` times the angle, reflected and lowered so that it falls with the angle.
fn falling(cosine: &Tensor, margin: u32) -> Tensor {
    let margin = f64::from(margin);
    let angle = cosine.detach().clamp(-1.0, 1.0).acos();
    let part = (angle * (margin / PI)).floor().clamp_max(margin - 1.0);
    let sign = 1.0 - part.remainder(2.0) * 2.0;
    sign * multiple(cosine, margin as u32) - part * 2.0
}

/// Returns the cosine of a multiple of an angle, from its cosine: Chebyshev's polynomials, whose slopes are finite.
fn multiple(cosine: &Tensor, times: u32) -> Tensor {
    let (mut before, mut last) = (cosine.ones_like(), cosine.shallow_clone());
    for _ in 1..times {
        let next = cosine * &last * 2.0 - before;
        (before, last) = (last, next);
    }
    last
}

impl BuildLoss for LargeMarginSoftmax {
    fn build(&self, init: &ClassInit) -> Box<dyn Loss> {
        Box::new(ClassLoss::new(self.clone(), init))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{cosines, in_double, is_stable, mean_cross_entropy, only_parameter},
        tests::of_all_pairs,
    };
    use super::*;
    use crate::testing::rows;

    #[test]
    fn it_is_the_sum_over_images_written_as_a_loop() {
        for margin in [1, 2, 3, 4] {
            let scale = 3.0;
            let loss = in_double(&LargeMarginSoftmax { margin, scale });
            let lengths = rows(&lengths(&only_parameter(&*loss).detach()));
            let (mut logits, labels) = cosines(&*loss);
            for (row, &label) in logits.iter_mut().zip(&labels) {
                let angle = row[label].acos() * f64::from(margin);
                let part = (angle / PI).floor();
                row[label] = (part * PI).cos() * angle.cos() - 2.0 * part;
                for (logit, length) in row.iter_mut().zip(&lengths) {
                    *logit *= scale * length[0];
                }
            }
            assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_logit_of_the_own_class_falls_with_the_angle() {
        let angles = Tensor::linspace(0.0, PI, 400, (tch::Kind::Double, tch::Device::Cpu));
        for margin in [1, 2, 5] {
            let falls = falling(&angles.cos(), margin).diff::<Tensor>(1, 0, None, None);
            assert!(falls.max().double_value(&[]) < 1e-9, "margin {margin}");
        }
    }

    #[test]
    fn angles_of_0_and_180_degrees_and_great_scales_give_finite_gradients() {
        for (margin, scale) in [(4, 1.0), (1, 300.0), (3, 6e4)] {
            is_stable(&LargeMarginSoftmax { margin, scale });
        }
    }
}
