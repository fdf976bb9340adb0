//! ProxyNCA++. Teh, DeVries & Taylor, ECCV 2020, Eq. 6 with the temperature of Eq. 7.
//!
//! Terms: one per image, `-log softmax(-d(x, proxies) / temperature)` at its class, with squared Euclidean distances
//! to proxies of length one, reduced to the mean. A miner gives weights to anchors.
//! Reference: pytorch-metric-learning `ProxyNCALoss` with `softmax_scale = 1 / temperature`. Differs from
//! [`ProxyNca`](super::ProxyNca) by a name for the scale, and by proxies that start at an eighth of the length, as in
//! the authors' program: a learning rate moves them eight times as far.

use super::{Batch, Compares, Loss, Start, classes::cross_entropy};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Reduction, Terms},
};

/// ProxyNCA++.
#[derive(Debug)]
pub struct ProxyNcaPp {
    temperature: f64,
    proxies: Parameters,
}

impl ProxyNcaPp {
    /// With this temperature of the softmax, and proxies drawn from a normal distribution.
    pub fn new(temperature: f64, start: &Start) -> ProxyNcaPp {
        let proxies = Slot::new(
            "proxies",
            &[start.classes, start.width],
            Initial::Normal(0.125),
        );
        ProxyNcaPp {
            temperature,
            proxies: Parameters::of_loss(vec![proxies], start),
        }
    }
}

impl Loss for ProxyNcaPp {
    fn distance(&self) -> Distance {
        Distance::SquaredEuclidean
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let distances = batch
            .distance
            .matrix(batch.embeddings, &normalise(self.proxies.get("proxies")));
        cross_entropy(
            &(batch.distance.closeness(&distances) / self.temperature),
            batch,
            &batch.anchor_weights(),
        )
    }

    fn compares(&self) -> Compares {
        Compares::Parameters
    }

    fn parameters(&self) -> Option<&Parameters> {
        Some(&self.proxies)
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        Some(&mut self.proxies)
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
        let loss = in_double(ProxyNcaPp::new(1.0 / 9.0, &START));
        let (cosines, labels) = cosines(&loss);
        let of = |row: &Vec<f64>| {
            row.iter()
                .map(|cosine| -9.0 * (2.0 - 2.0 * cosine))
                .collect()
        };
        let logits: Vec<Vec<f64>> = cosines.iter().map(of).collect();
        assert!((of_all_pairs(&loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/proxy_nca_pp.json"), |settings| {
            let start = Start {
                classes: 5,
                width: 4,
                ..START
            };
            Box::new(ProxyNcaPp::new(
                settings["temperature"].as_f64().unwrap(),
                &start,
            ))
        });
    }

    #[test]
    fn a_very_low_temperature_does_not_overflow() {
        is_stable(&ProxyNcaPp::new(1.0 / 9.0, &START));
        is_stable(&ProxyNcaPp::new(1e-4, &START));
    }
}
