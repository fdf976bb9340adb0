//! From the last map of a backbone to one feature vector.

use tch::Tensor;

use super::layers::{Parameter, Pass, Plan};
use crate::parameters::Initial;

/// How a map becomes a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pooling {
    /// The mean over all places.
    #[default]
    Average,
    /// The largest of all places.
    Max,
    /// The sum of both (Kim et al., Proxy Anchor, CVPR 2020).
    AverageMax,
    /// The generalised mean `mean(max(x, 1e-6)^p)^(1/p)` (Radenovic et al., TPAMI 2019): 1 is the average, infinity
    /// the maximum.
    Gem {
        /// The power.
        p: f64,
        /// Whether it is trained, as one number for all features.
        trainable: bool,
    },
}

/// What keeps powers of zero, and their gradients, finite.
const LEAST: f64 = 1e-6;

/// A pooling with the place of its number, if it trains one: `pool.p`.
#[derive(Debug)]
pub(super) struct Pool {
    pooling: Pooling,
    power: Option<Parameter>,
}

impl Pool {
    pub(super) fn new(plan: &mut Plan, pooling: Pooling) -> Pool {
        let power = match pooling {
            Pooling::Gem { p, trainable: true } => {
                Some(plan.parameter("pool.p", &[1], Initial::Constant(p as f32)))
            }
            Pooling::Gem { .. } | Pooling::Average | Pooling::Max | Pooling::AverageMax => None,
        };
        Pool { pooling, power }
    }

    /// Returns `[n, f]` of a map `[n, f, h, w]`.
    pub(super) fn forward(&self, pass: &Pass, map: &Tensor) -> Tensor {
        let places = [2i64, 3];
        let mean = |map: &Tensor| map.mean_dim(places.as_slice(), false, None);
        let largest = || map.amax(places, false);
        match (self.pooling, self.power) {
            (Pooling::Average, _) => mean(map),
            (Pooling::Max, _) => largest(),
            (Pooling::AverageMax, _) => mean(map) + largest(),
            (Pooling::Gem { .. }, Some(power)) => {
                let power = pass.parameter(power);
                mean(&map.clamp_min(LEAST).pow(&power)).pow(&power.reciprocal())
            }
            (Pooling::Gem { p, .. }, None) => {
                mean(&map.clamp_min(LEAST).pow_tensor_scalar(p)).pow_tensor_scalar(1.0 / p)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::testing::{assert_close, gradient, noise};

    fn pooled(pooling: Pooling, parameters: &[Tensor], map: &Tensor) -> Tensor {
        let pool = Pool::new(&mut Plan::default(), pooling);
        let frozen = vec![false; parameters.len()];
        let numbers = Kind::Double;
        let pass = Pass {
            parameters,
            statistics: &[],
            frozen: &frozen,
            batch_statistics: false,
            numbers,
        };
        pool.forward(&pass, map)
    }

    fn map() -> Tensor {
        noise(3, 6, 20).abs().view([2, 3, 4, 5])
    }

    #[test]
    fn the_sum_of_both_is_average_plus_max() {
        let [average, max, sum] = [Pooling::Average, Pooling::Max, Pooling::AverageMax]
            .map(|pooling| pooled(pooling, &[], &map()));
        assert_close(&sum, &(&average + &max), 1e-12, "sum");
        assert_close(&max.get(1).get(2), &map().get(1).get(2).max(), 1e-12, "max");
    }

    #[test]
    fn the_generalised_mean_lies_between_average_and_max() {
        let gem = |p| {
            pooled(
                Pooling::Gem {
                    p,
                    trainable: false,
                },
                &[],
                &map(),
            )
        };
        assert_close(
            &gem(1.0),
            &pooled(Pooling::Average, &[], &map()),
            1e-9,
            "p = 1",
        );
        assert_close(
            &gem(500.0),
            &pooled(Pooling::Max, &[], &map()),
            1e-2,
            "large p",
        );
        let by_hand = map()
            .pow_tensor_scalar(3.0)
            .mean_dim([2i64, 3].as_slice(), false, None)
            .pow_tensor_scalar(1.0 / 3.0);
        assert_close(&gem(3.0), &by_hand, 1e-5, "p = 3");
    }

    #[test]
    fn a_trained_power_starts_as_the_fixed_one_and_has_a_gradient() {
        let power = Tensor::from_slice(&[3.0f64]).set_requires_grad(true);
        let trained = pooled(
            Pooling::Gem {
                p: 3.0,
                trainable: true,
            },
            &[power.shallow_clone()],
            &map(),
        );
        assert_close(
            &trained,
            &pooled(
                Pooling::Gem {
                    p: 3.0,
                    trainable: false,
                },
                &[],
                &map(),
            ),
            1e-9,
            "value",
        );
        let slope = gradient(&trained.sum(Kind::Double), &power).double_value(&[0]);
        let at = |p: f64| {
            pooled(
                Pooling::Gem {
                    p,
                    trainable: false,
                },
                &[],
                &map(),
            )
            .sum(Kind::Double)
            .double_value(&[])
        };
        let expected = (at(3.001) - at(2.999)) / 0.002;
        assert!(
            (slope - expected).abs() < 1e-5 * expected.abs(),
            "{slope} {expected}"
        );
    }
}
