//! ProxyNCA++. Teh, DeVries & Taylor, ECCV 2020, Eq. 6 with the temperature of Eq. 7.
//!
//! Terms: one per image, `-log softmax(-d(x, proxies) / temperature)` at its class, with squared Euclidean distances
//! to proxies of length one, reduced to the mean. A miner gives weights to anchors.
//! Reference: pytorch-metric-learning `ProxyNCALoss` with `softmax_scale = 1 / temperature`. Differs from
//! [`ProxyNca`](super::ProxyNca) by a name for the scale, and by proxies that start at an eighth of the length, as in
//! the authors' program: a learning rate moves them eight times as far.

use schema::ProxyNcaPp;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits},
};
use crate::parameters::Init;

impl ClassRows for ProxyNcaPp {
    fn name(&self) -> &'static str {
        "proxies"
    }

    fn initial(&self, _classes: i64) -> Init {
        Init::Normal(0.125)
    }
}

impl Logits for ProxyNcaPp {
    fn logits(&self, batch: &LossInput, proxies: &Tensor) -> Tensor {
        batch.closeness_to(proxies) / self.temperature
    }

    fn weights(&self, batch: &LossInput) -> Tensor {
        batch.anchor_weights()
    }
}

impl BuildLoss for ProxyNcaPp {
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
        let loss = in_double(&ProxyNcaPp::default());
        let (cosines, labels) = cosines(&*loss);
        let of = |row: &Vec<f64>| {
            row.iter()
                .map(|cosine| -9.0 * (2.0 - 2.0 * cosine))
                .collect()
        };
        let logits: Vec<Vec<f64>> = cosines.iter().map(of).collect();
        assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn a_very_low_temperature_does_not_overflow() {
        is_stable(&ProxyNcaPp::default());
        is_stable(&ProxyNcaPp { temperature: 1e-4 });
    }
}
