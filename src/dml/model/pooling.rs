//! From the last map of a backbone to one feature vector.

use schema::{Gem, Pooling};
use tch::Tensor;

use super::layers::{ForwardContext, ParamBuilder, Parameter};
use crate::parameters::Init;

/// Lower bound of the values, which keeps powers of zero and their gradients finite.
const EPSILON: f64 = 1e-6;

/// A pooling with its parameter `PREFIXpool.p`, if the power is trained.
#[derive(Debug)]
pub(super) struct Pool {
    pooling: Pooling,
    power: Option<Parameter>,
}

impl Pool {
    pub(super) fn new(builder: &mut ParamBuilder, prefix: &str, pooling: Pooling) -> Pool {
        let power = match pooling {
            Pooling::Gem(Gem { p, trainable: true }) => {
                Some(builder.parameter(format!("{prefix}pool.p"), &[1], Init::Constant(p as f32)))
            }
            Pooling::Gem(_) | Pooling::Avg | Pooling::Max | Pooling::AvgMax => None,
        };
        Pool { pooling, power }
    }

    /// Returns `[n, f]` of a map `[n, f, h, w]`.
    pub(super) fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let positions = [2i64, 3];
        let mean = |map: &Tensor| map.mean_dim(positions.as_slice(), false, None);
        let largest = || map.amax(positions, false);
        match (self.pooling, self.power) {
            (Pooling::Avg, _) => mean(map),
            (Pooling::Max, _) => largest(),
            (Pooling::AvgMax, _) => mean(map) + largest(),
            (Pooling::Gem(_), Some(power)) => {
                let power = context.parameter(power);
                mean(&map.clamp_min(EPSILON).pow(&power)).pow(&power.reciprocal())
            }
            (Pooling::Gem(Gem { p, .. }), None) => {
                mean(&map.clamp_min(EPSILON).pow_tensor_scalar(p)).pow_tensor_scalar(1.0 / p)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::{
        model::layers::Adapters,
        testing::{assert_close, gradient, noise},
    };

    fn pooled(pooling: Pooling, parameters: &[Tensor], map: &Tensor) -> Tensor {
        let pool = Pool::new(&mut ParamBuilder::default(), "", pooling);
        let frozen = vec![false; parameters.len()];
        let dtype = Kind::Double;
        let context = ForwardContext {
            folds_norms: true,
            mixes_precisions: false,
            keeps_attention: false,
            parameters,
            statistics: &[],
            frozen: &frozen,
            batch_statistics: false,
            dtype,
            adapters: Adapters::Ignored,
            stochastic_depth: None,
            lasting: None,
        };
        pool.forward(&context, map)
    }

    fn map() -> Tensor {
        noise(3, 6, 20).abs().view([2, 3, 4, 5])
    }

    #[test]
    fn the_sum_of_both_is_average_plus_max() {
        let [average, max, sum] = [Pooling::Avg, Pooling::Max, Pooling::AvgMax]
            .map(|pooling| pooled(pooling, &[], &map()));
        assert_close(&sum, &(&average + &max), 1e-12, "sum");
        assert_close(&max.get(1).get(2), &map().get(1).get(2).max(), 1e-12, "max");
    }

    #[test]
    fn the_generalised_mean_lies_between_average_and_max() {
        let gem = |p| {
            pooled(
                Pooling::Gem(Gem {
                    p,
                    trainable: false,
                }),
                &[],
                &map(),
            )
        };
        assert_close(&gem(1.0), &pooled(Pooling::Avg, &[], &map()), 1e-9, "p = 1");
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
            Pooling::Gem(Gem {
                p: 3.0,
                trainable: true,
            }),
            &[power.shallow_clone()],
            &map(),
        );
        assert_close(
            &trained,
            &pooled(
                Pooling::Gem(Gem {
                    p: 3.0,
                    trainable: false,
                }),
                &[],
                &map(),
            ),
            1e-9,
            "value",
        );
        let slope = gradient(&trained.sum(Kind::Double), &power).double_value(&[0]);
        let at = |p: f64| {
            pooled(
                Pooling::Gem(Gem {
                    p,
                    trainable: false,
                }),
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
