//! Proxy-Anchor. Kim et al., CVPR 2020, Eq. 4.
//!
//! Terms: one per class in the batch, `log(1 + sum over its images of exp(-alpha (s - margin)))`, and one per class,
//! `log(1 + sum over images of others of exp(alpha (s + margin)))`, with the similarity `s` of an image and the
//! class's proxy, of length one. The two parts are reduced separately, each to its mean. A miner's weight of an
//! image, less one, is added to its exponents.
//! Reference: pytorch-metric-learning (PML) `ProxyAnchorLoss`. Differs: if a miner chose nothing, nothing counts, while
//! PML then counts all images.

use schema::ProxyAnchor;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, ClassTerms, own_class},
    rows,
};
use crate::{
    distance::DistanceExt,
    parameters::Init,
    reduce::{Part, Terms},
};

impl ClassRows for ProxyAnchor {
    fn name(&self) -> &'static str {
        "proxies"
    }

    /// He et al., ICCV 2015, for as many outputs as there are classes. The length of proxies matters
    /// to optimizers.
    fn initial(&self, classes: i64) -> Init {
        Init::Normal((2.0 / classes as f64).sqrt())
    }
}

impl ClassTerms for ProxyAnchor {
    fn terms(&self, batch: &LossInput, proxies: &Tensor) -> Terms {
        let distances = batch
            .distance
            .matrix(batch.embeddings, proxies)
            .tr()
            .contiguous();
        let own = own_class(batch, proxies.size()[0]).tr().contiguous();
        let shift = if batch.chosen.is_some() {
            batch.weights() - 1.0
        } else {
            Tensor::from(0f32)
        };
        let too_far = batch.distance.excess_over(&distances, self.margin);
        let too_close = batch.distance.excess_over(&distances, -self.margin).neg();
        let pull = rows::log_one_plus_sum_exp(&(too_far * self.alpha + &shift), &own);
        let push =
            rows::log_one_plus_sum_exp(&(too_close * self.alpha + &shift), &own.logical_not());
        let present = own.any_dim(1, false);
        Terms::of([Part::of_some(&pull, &present), Part::of_others(push)])
    }
}

impl BuildLoss for ProxyAnchor {
    fn build(&self, init: &ClassInit) -> Box<dyn Loss> {
        Box::new(ClassLoss::new(self.clone(), init))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{START, cosines, in_double_from, is_stable},
        tests::of_all_pairs,
    };
    use super::*;

    #[test]
    fn it_is_the_sum_over_classes_written_as_a_loop() {
        // A fifth class has no images.
        let loss = in_double_from(
            &ProxyAnchor {
                margin: 0.2,
                alpha: 8.0,
            },
            &ClassInit {
                classes: 5,
                ..START
            },
        );
        let (cosines, labels) = cosines(&*loss);
        let (mut pull, mut push) = (0.0, 0.0);
        for class in 0..5 {
            let (mut own, mut others) = (0.0, 0.0);
            for (row, &label) in cosines.iter().zip(&labels) {
                match label == class {
                    true => own += f64::exp(-8.0 * (row[class] - 0.2)),
                    false => others += f64::exp(8.0 * (row[class] + 0.2)),
                }
            }
            pull += f64::ln_1p(own) / 4.0;
            push += f64::ln_1p(others) / 5.0;
        }
        assert!((of_all_pairs(&*loss) - pull - push).abs() < 1e-12);
    }

    #[test]
    fn a_thousandfold_sharpness_does_not_overflow() {
        is_stable(&ProxyAnchor::default());
        is_stable(&ProxyAnchor {
            alpha: 3e4,
            ..ProxyAnchor::default()
        });
    }
}
