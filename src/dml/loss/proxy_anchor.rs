//! Proxy-Anchor. Kim et al., CVPR 2020, Eq. 4.
//!
//! Terms: one per class in the batch, `log(1 + sum over its images of exp(-alpha (s - margin)))`, and one per class,
//! `log(1 + sum over images of others of exp(alpha (s + margin)))`, with the similarity `s` of an image and the
//! class's proxy, of length one. The two parts are reduced separately, each to its mean. A miner's weight of an
//! image, less one, is added to its exponents.
//! Reference: pytorch-metric-learning `ProxyAnchorLoss`. Differs: none.

use tch::Tensor;

use super::{Batch, Compares, Loss, Start, classes::own_class, rows};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Part, Reduction, Terms},
};

/// Proxy-Anchor.
#[derive(Debug)]
pub struct ProxyAnchor {
    margin: f64,
    alpha: f64,
    proxies: Parameters,
}

impl ProxyAnchor {
    /// With this margin, `alpha` as the sharpness, and proxies drawn from a normal distribution.
    pub fn new(margin: f64, alpha: f64, start: &Start) -> ProxyAnchor {
        // He et al., ICCV 2015, for as many outputs as there are classes; the proxies' length matters to optimisers.
        let deviation = (2.0 / start.classes as f64).sqrt();
        let proxies = Slot::new(
            "proxies",
            &[start.classes, start.width],
            Initial::Normal(deviation),
        );
        ProxyAnchor {
            margin,
            alpha,
            proxies: Parameters::of_loss(vec![proxies], start),
        }
    }
}

impl Loss for ProxyAnchor {
    fn distance(&self) -> Distance {
        Distance::Cosine
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let proxies = normalise(self.proxies.get("proxies"));
        let distances = batch
            .distance
            .matrix(batch.embeddings, &proxies)
            .tr()
            .contiguous();
        let own = own_class(batch, proxies.size()[0]).tr().contiguous();
        let shift = if batch.chosen.is_some() {
            batch.weights() - 1.0
        } else {
            Tensor::from(0f32)
        };
        let exponents = |excess: Tensor| excess * self.alpha + &shift;
        let too_far = exponents(batch.distance.excess_over(&distances, self.margin));
        let too_close = exponents(batch.distance.excess_over(&distances, -self.margin).neg());
        let present = own.any_dim(1, false).nonzero().squeeze_dim(1);
        let pull = rows::log_one_plus_sum_exp(&too_far, &own).index(&[Some(present)]);
        let push = rows::log_one_plus_sum_exp(&too_close, &own.logical_not());
        Terms::of([Part::of_others(pull), Part::of_others(push)])
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
        classes::tests::{START, cosines, in_double, is_stable},
        tests::{agrees_with, of_all_pairs},
    };
    use super::*;

    #[test]
    fn it_is_the_sum_over_classes_written_as_a_loop() {
        // A fifth class has no images.
        let loss = in_double(ProxyAnchor::new(
            0.2,
            8.0,
            &Start {
                classes: 5,
                ..START
            },
        ));
        let (cosines, labels) = cosines(&loss);
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
        assert!((of_all_pairs(&loss) - pull - push).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/proxy_anchor.json"), |settings| {
            let setting = |name: &str| settings[name].as_f64().unwrap();
            Box::new(ProxyAnchor::new(
                setting("margin"),
                setting("alpha"),
                &Start {
                    classes: 5,
                    width: 4,
                    ..START
                },
            ))
        });
    }

    #[test]
    fn a_thousandfold_sharpness_does_not_overflow() {
        is_stable(&ProxyAnchor::new(0.1, 32.0, &START));
        is_stable(&ProxyAnchor::new(0.1, 3e4, &START));
    }
}
