//! Regularizers: penalties on embeddings, whatever their labels.
//!
//! A regularizer returns one number for each embedding; their mean is added to a loss, see
//! [`ConfiguredLoss`](crate::objective::ConfiguredLoss). Some are constant for embeddings of length
//! one.

mod center_invariant;
mod lp_norm;
mod zero_mean;

use tch::{Kind, Tensor};

pub use center_invariant::CenterInvariant;
pub use lp_norm::LpNorm;
pub use zero_mean::ZeroMean;

/// Returns the weight of a penalty, and the penalty.
pub fn build(settings: &schema::Regularizer) -> (f64, Box<dyn Regularizer>) {
    let regularizer: Box<dyn Regularizer> = match settings {
        schema::Regularizer::LpNorm(_) => Box::new(LpNorm { p: 2.0, power: 1.0 }),
        schema::Regularizer::ZeroMean(_) => Box::new(ZeroMean),
        schema::Regularizer::CenterInvariant(_) => Box::new(CenterInvariant),
    };
    (settings.weight(), regularizer)
}

/// A penalty on embeddings.
pub trait Regularizer: Send {
    /// Returns a number for each of the embeddings `[n, d]`: `[n]`.
    fn terms(&self, embeddings: &Tensor) -> Tensor;

    /// Returns the mean of these numbers, 0 for no embeddings.
    fn cost(&self, embeddings: &Tensor) -> Tensor {
        self.terms(embeddings).sum(None::<Kind>) / (embeddings.size()[0].max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::testing::{assert_close, golden, gradient, is_finite, tensor};

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        let golden = golden(include_str!("testdata/regularizers.json"));
        for case in golden["cases"].as_array().unwrap() {
            let number = |name: &str| case["settings"][name].as_f64().unwrap();
            let regularizer: Box<dyn Regularizer> = match case["regularizer"].as_str().unwrap() {
                "lp_norm" => Box::new(LpNorm {
                    p: number("p"),
                    power: number("power"),
                }),
                "zero_mean" => Box::new(ZeroMean),
                "center_invariant" => Box::new(CenterInvariant),
                other => panic!("golden regularizer {other}"),
            };
            for (kind, tolerance) in [(Kind::Double, 1e-10), (Kind::Float, 1e-5)] {
                let embeddings = tensor(&golden["embeddings"])
                    .to_kind(kind)
                    .set_requires_grad(true);
                let found = regularizer.cost(&embeddings);
                assert_close(
                    &found,
                    &tensor(&case["value"]),
                    tolerance,
                    &case.to_string(),
                );
                assert_close(
                    &gradient(&found, &embeddings),
                    &tensor(&case["gradient"]),
                    tolerance,
                    &case.to_string(),
                );
            }
        }
    }

    #[test]
    fn a_zero_vector_has_a_finite_gradient() {
        let all: [Box<dyn Regularizer>; 5] = [
            Box::new(LpNorm { p: 2.0, power: 1.0 }),
            Box::new(LpNorm { p: 1.0, power: 2.0 }),
            Box::new(LpNorm { p: 2.0, power: 0.5 }),
            Box::new(ZeroMean),
            Box::new(CenterInvariant),
        ];
        for regularizer in &all {
            let zero = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let cost = regularizer.cost(&zero);
            assert_eq!(cost.double_value(&[]), 0.0);
            assert!(is_finite(&gradient(&cost, &zero)));
            assert_eq!(
                regularizer.cost(&zero.narrow(0, 0, 0)).double_value(&[]),
                0.0
            );
        }
    }
}
