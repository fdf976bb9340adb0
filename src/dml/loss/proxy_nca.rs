//! Proxy-NCA. Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies", ICCV 2017, Eq. 4, with the
//! proxy of the image's own class in the denominator too, as most programs have it.
//!
//! Terms: one per image, `-log softmax(-scale d(x, proxies))` at its class, with squared Euclidean distances to
//! proxies of length one, reduced to the mean. A miner gives weights to anchors.
//! Reference: pytorch-metric-learning (PML) `ProxyNCALoss`. Differs: no probability is so small that its image is
//! dropped, as PML does at 0.

use schema::ProxyNca;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits},
};

impl ClassRows for ProxyNca {
    fn name(&self) -> &'static str {
        "proxies"
    }
}

impl Logits for ProxyNca {
    fn logits(&self, batch: &LossInput, proxies: &Tensor) -> Tensor {
        batch.closeness_to(proxies) * self.scale
    }

    fn weights(&self, batch: &LossInput) -> Tensor {
        batch.anchor_weights()
    }
}

impl BuildLoss for ProxyNca {
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
        let loss = in_double(&ProxyNca { scale: 3.0 });
        let (cosines, labels) = cosines(&*loss);
        // The square of a distance between embeddings of length one is 2 - 2 times their cosine.
        let of = |row: &Vec<f64>| {
            row.iter()
                .map(|cosine| -3.0 * (2.0 - 2.0 * cosine))
                .collect()
        };
        let logits: Vec<Vec<f64>> = cosines.iter().map(of).collect();
        assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn a_thousandfold_sharpness_does_not_overflow() {
        is_stable(&ProxyNca::default());
        is_stable(&ProxyNca { scale: 1e4 });
    }
}
