//! Normalized softmax. Zhai & Wu, "Classification is a Strong Baseline for Deep Metric Learning", BMVC 2019, Eq. 2;
//! NormFace, Wang et al., ACM MM 2017.
//!
//! Terms: one per image, the cross entropy of `s / temperature` with its class, where `s` are the similarities to the
//! weights of all classes, of length one; reduced to the mean. A miner gives weights to images.
//! Reference: pytorch-metric-learning `NormalizedSoftmaxLoss`. Differs: none.

use schema::NormalizedSoftmax;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits},
};

impl ClassRows for NormalizedSoftmax {}

impl Logits for NormalizedSoftmax {
    fn logits(&self, batch: &LossInput, weights: &Tensor) -> Tensor {
        batch.closeness_to(weights) / self.temperature
    }
}

impl BuildLoss for NormalizedSoftmax {
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
        let loss = in_double(&NormalizedSoftmax { temperature: 0.2 });
        let (cosines, labels) = cosines(&*loss);
        let logits: Vec<Vec<f64>> = cosines
            .iter()
            .map(|row| row.iter().map(|cosine| cosine / 0.2).collect())
            .collect();
        assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn a_very_low_temperature_does_not_overflow() {
        is_stable(&NormalizedSoftmax::default());
        is_stable(&NormalizedSoftmax { temperature: 1e-5 });
    }
}
