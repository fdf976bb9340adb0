//! Proxy-NCA. Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies", ICCV 2017, Eq. 4, with the
//! proxy of the image's own class in the denominator too, as most programs have it.
//!
//! Terms: one per image, `-log softmax(-scale d(x, proxies))` at its class, with squared Euclidean distances to
//! proxies of length one, reduced to the mean. A miner gives weights to anchors.
//! Reference: pytorch-metric-learning (PML) `ProxyNCALoss`. Differs: no probability is so small that its image is
//! dropped, as PML does at 0.

use super::{Batch, Compares, Loss, Start, classes::cross_entropy};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Reduction, Terms},
};

/// Proxy-NCA.
#[derive(Debug)]
pub struct ProxyNca {
    /// Sharpness of the softmax.
    scale: f64,
    proxies: Parameters,
}

impl ProxyNca {
    /// With `scale` as the sharpness of the softmax, and proxies drawn from a normal distribution.
    pub fn new(scale: f64, start: &Start) -> ProxyNca {
        let proxies = Slot::new(
            "proxies",
            &[start.classes, start.width],
            Initial::Normal(1.0),
        );
        ProxyNca {
            scale,
            proxies: Parameters::of_loss(vec![proxies], start),
        }
    }
}

impl Loss for ProxyNca {
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
            &(batch.distance.closeness(&distances) * self.scale),
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
        let loss = in_double(ProxyNca::new(3.0, &START));
        let (cosines, labels) = cosines(&loss);
        // The square of a distance between embeddings of length one is 2 - 2 times their cosine.
        let of = |row: &Vec<f64>| {
            row.iter()
                .map(|cosine| -3.0 * (2.0 - 2.0 * cosine))
                .collect()
        };
        let logits: Vec<Vec<f64>> = cosines.iter().map(of).collect();
        assert!((of_all_pairs(&loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/proxy_nca.json"), |settings| {
            let start = Start {
                classes: 5,
                width: 4,
                ..START
            };
            Box::new(ProxyNca::new(settings["scale"].as_f64().unwrap(), &start))
        });
    }

    #[test]
    fn a_thousandfold_sharpness_does_not_overflow() {
        is_stable(&ProxyNca::new(1.0, &START));
        is_stable(&ProxyNca::new(1e4, &START));
    }
}
