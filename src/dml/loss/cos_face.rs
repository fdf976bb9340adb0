//! CosFace. Wang et al., CVPR 2018, Eq. 4.
//!
//! Terms: one per image, the cross entropy of `scale cos` with its class, where `cos` are the cosines with the weights
//! of all classes, of length one, and that of its own class is reduced by `margin`; reduced to the mean. A miner gives
//! weights to images.
//! Reference: pytorch-metric-learning `CosFaceLoss`, which takes no distance but the cosine. Differs: none.

use super::{
    Batch, Compares, Loss, Start,
    classes::{cross_entropy, own_class},
};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Reduction, Terms},
};

/// CosFace.
#[derive(Debug)]
pub struct CosFace {
    margin: f64,
    scale: f64,
    weights: Parameters,
}

impl CosFace {
    /// With this margin on cosines, `scale` before the softmax, and weights drawn from a normal distribution.
    pub fn new(margin: f64, scale: f64, start: &Start) -> CosFace {
        let weights = Slot::new(
            "weights",
            &[start.classes, start.width],
            Initial::Normal(1.0),
        );
        CosFace {
            margin,
            scale,
            weights: Parameters::of_loss(vec![weights], start),
        }
    }
}

impl Loss for CosFace {
    fn distance(&self) -> Distance {
        Distance::Cosine
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let weights = normalise(self.weights.get("weights"));
        let distances = batch.distance.matrix(batch.embeddings, &weights);
        let own = own_class(batch, weights.size()[0]).to_kind(distances.kind());
        cross_entropy(
            &((batch.distance.closeness(&distances) - own * self.margin) * self.scale),
            batch,
            &batch.weights(),
        )
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
        let loss = in_double(CosFace::new(0.3, 10.0, &START));
        let (mut logits, labels) = cosines(&loss);
        logits
            .iter_mut()
            .zip(&labels)
            .for_each(|(row, &label)| row[label] -= 0.3);
        logits.iter_mut().flatten().for_each(|logit| *logit *= 10.0);
        assert!((of_all_pairs(&loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/cos_face.json"), |settings| {
            let setting = |name: &str| settings[name].as_f64().unwrap();
            Box::new(CosFace::new(
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
    fn a_thousandfold_scale_does_not_overflow() {
        is_stable(&CosFace::new(0.35, 64.0, &START));
        is_stable(&CosFace::new(0.35, 6e4, &START));
    }
}
