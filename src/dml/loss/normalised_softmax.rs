//! Normalised softmax. Zhai & Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019, Eq. 2;
//! NormFace, Wang et al., ACM MM 2017.
//!
//! Terms: one per image, the cross entropy of `s / temperature` with its class, where `s` are the similarities to the
//! weights of all classes, of length one; reduced to the mean. A miner gives weights to images.
//! Reference: pytorch-metric-learning `NormalizedSoftmaxLoss`. Differs: none.

use super::{Batch, Compares, Loss, Start, classes::cross_entropy};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Reduction, Terms},
};

/// Normalised softmax.
#[derive(Debug)]
pub struct NormalisedSoftmax {
    temperature: f64,
    weights: Parameters,
}

impl NormalisedSoftmax {
    /// With this temperature, and weights drawn from a normal distribution.
    pub fn new(temperature: f64, start: &Start) -> NormalisedSoftmax {
        let weights = Slot::new(
            "weights",
            &[start.classes, start.width],
            Initial::Normal(1.0),
        );
        NormalisedSoftmax {
            temperature,
            weights: Parameters::of_loss(vec![weights], start),
        }
    }
}

impl Loss for NormalisedSoftmax {
    fn distance(&self) -> Distance {
        Distance::Cosine
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let distances = batch
            .distance
            .matrix(batch.embeddings, &normalise(self.weights.get("weights")));
        cross_entropy(
            &(batch.distance.closeness(&distances) / self.temperature),
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
        let loss = in_double(NormalisedSoftmax::new(0.2, &START));
        let (cosines, labels) = cosines(&loss);
        let logits: Vec<Vec<f64>> = cosines
            .iter()
            .map(|row| row.iter().map(|cosine| cosine / 0.2).collect())
            .collect();
        assert!((of_all_pairs(&loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(
            include_str!("testdata/normalised_softmax.json"),
            |settings| {
                let start = Start {
                    classes: 5,
                    width: 4,
                    ..START
                };
                Box::new(NormalisedSoftmax::new(
                    settings["temperature"].as_f64().unwrap(),
                    &start,
                ))
            },
        );
    }

    #[test]
    fn a_very_low_temperature_does_not_overflow() {
        is_stable(&NormalisedSoftmax::new(0.05, &START));
        is_stable(&NormalisedSoftmax::new(1e-5, &START));
    }
}
