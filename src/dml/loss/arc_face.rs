//! ArcFace. Deng et al., CVPR 2019, Eq. 3.
//!
//! Terms: one per image, the cross entropy of `scale cos(angle)` with its class, where the angles are those with the
//! weights of all classes and that with its own class is widened by `margin`; reduced to the mean. Beyond 180 degrees,
//! where the cosine would rise again, it is `cos(angle) - margin sin(margin)` instead. A miner gives weights to images.
//! Reference: pytorch-metric-learning (PML) `ArcFaceLoss`, which takes no distance but the cosine. Differs: an image
//! whose cosine with its own class is within 1e-7 of 1 or -1 is not pulled further; the slope of the angle is infinite
//! there, and PML's gradient no number.

use std::f64::consts::PI;

use schema::ArcFace;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits, own_class},
};

/// The largest cosine at which the slope of the angle is finite.
const NEARLY_ONE: f64 = 1.0 - 1e-7;

impl ClassRows for ArcFace {}

impl Logits for ArcFace {
    fn logits(&self, batch: &LossInput, weights: &Tensor) -> Tensor {
        let cosines = batch.closeness_to(weights);
        with_angular_margin(&cosines, self.margin.to_radians(), batch) * self.scale
    }
}

/// Returns `cosines` `[n, classes]` with the angle to the own class widened by `margin`, in radians.
pub(super) fn with_angular_margin(cosines: &Tensor, margin: f64, batch: &LossInput) -> Tensor {
    let own = cosines.gather(1, &batch.labels.unsqueeze(1), false);
    let angles = own.clamp(-NEARLY_ONE, NEARLY_ONE).acos();
    let widened = (&angles + margin).cos();
    let beyond = own - margin * margin.sin();
    let own = widened.where_self(&angles.le(PI - margin), &beyond);
    own.where_self(&own_class(batch, cosines.size()[1]), cosines)
}

impl BuildLoss for ArcFace {
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
        // With 80 degrees, some angles are widened beyond 180.
        for degrees in [20.0, 80.0] {
            let loss = in_double(&ArcFace {
                margin: degrees,
                scale: 10.0,
            });
            let (mut logits, labels) = cosines(&*loss);
            let margin = f64::to_radians(degrees);
            for (row, &label) in logits.iter_mut().zip(&labels) {
                let widened = row[label].acos() + margin;
                row[label] = if widened <= PI {
                    widened.cos()
                } else {
                    row[label] - margin * margin.sin()
                };
            }
            logits.iter_mut().flatten().for_each(|logit| *logit *= 10.0);
            assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
        }
    }

    #[test]
    fn angles_of_0_and_180_degrees_and_great_scales_give_finite_gradients() {
        for (degrees, scale) in [(28.6, 64.0), (0.0, 300.0), (90.0, 300.0), (28.6, 6e4)] {
            is_stable(&ArcFace {
                margin: degrees,
                scale,
            });
        }
    }
}
