//! ArcFace. Deng et al., CVPR 2019, Eq. 3.
//!
//! Terms: one per image, the cross entropy of `scale cos(angle)` with its class, where the angles are those with the
//! weights of all classes and that with its own class is widened by `margin`; reduced to the mean. Beyond 180 degrees,
//! where the cosine would rise again, it is `cos(angle) - margin sin(margin)` instead. A miner gives weights to images.
//! Reference: pytorch-metric-learning (PML) `ArcFaceLoss`, which takes no distance but the cosine. Differs: an image
//! whose cosine with its own class is within 1e-7 of 1 or -1 is not pulled further; the slope of the angle is infinite
//! there, and PML's gradient no number.

use std::f64::consts::PI;

use super::{
    Batch, Compares, Loss, Start,
    classes::{cross_entropy, own_class},
};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Reduction, Terms},
};

/// The largest cosine that has an angle of finite slope.
const NEARLY_ONE: f64 = 1.0 - 1e-7;

/// ArcFace.
#[derive(Debug)]
pub struct ArcFace {
    /// In radians.
    margin: f64,
    scale: f64,
    weights: Parameters,
}

impl ArcFace {
    /// With a margin in degrees, `scale` before the softmax, and weights drawn from a normal distribution.
    pub fn new(degrees: f64, scale: f64, start: &Start) -> ArcFace {
        let weights = Slot::new(
            "weights",
            &[start.classes, start.width],
            Initial::Normal(1.0),
        );
        ArcFace {
            margin: degrees.to_radians(),
            scale,
            weights: Parameters::of_loss(vec![weights], start),
        }
    }
}

impl Loss for ArcFace {
    fn distance(&self) -> Distance {
        Distance::Cosine
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let weights = normalise(self.weights.get("weights"));
        let cosines = batch.distance.matrix(batch.embeddings, &weights);
        let own = cosines.gather(1, &batch.labels.unsqueeze(1), false);
        let angles = own.clamp(-NEARLY_ONE, NEARLY_ONE).acos();
        let widened = (&angles + self.margin).cos();
        let beyond = own - self.margin * self.margin.sin();
        let own = widened.where_self(&angles.le(PI - self.margin), &beyond);
        let logits = own.where_self(&own_class(batch, weights.size()[0]), &cosines);
        cross_entropy(&(logits * self.scale), batch, &batch.weights())
    }

    fn compares(&self) -> Compares {
        Compares::Parameters
    }

    fn parameters(&self) -> Option<&Parameters> {
        Some(&self.weights)
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        Some(&mut self.weights)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{START, cosines, in_double, is_stable, mean_cross_entropy},
        tests::{agrees_with, of_all_pairs},
    };
    use super::*;

    #[test]
    fn it_is_the_sum_over_images_written_as_a_loop() {
        // With 80 degrees, some angles are widened beyond 180.
        for degrees in [20.0, 80.0] {
            let loss = in_double(ArcFace::new(degrees, 10.0, &START));
            let (mut logits, labels) = cosines(&loss);
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
            assert!((of_all_pairs(&loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
        }
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/arc_face.json"), |settings| {
            let setting = |name: &str| settings[name].as_f64().unwrap();
            Box::new(ArcFace::new(
                setting("margin"),
                setting("scale"),
                &Start {
                    classes: 5,
                    width: 4,
                    ..START
                },
            ))
        });
    }

    #[test]
    fn angles_of_0_and_180_degrees_and_great_scales_give_finite_gradients() {
        for (degrees, scale) in [(28.6, 64.0), (0.0, 300.0), (90.0, 300.0), (28.6, 6e4)] {
            is_stable(&ArcFace::new(degrees, scale, &START));
        }
    }
}
