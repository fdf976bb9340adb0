//! When two objectives are the same function.

use serde::{Deserialize, Serialize};

/// Value and gradient of a training's objective on fixed batches: what its losses, miners and distances amount to,
/// however they are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveSample {
    /// The value on each batch.
    pub values: Vec<f64>,
    /// Inner products of the gradients with fixed random directions.
    pub slopes: Vec<f64>,
}

impl ObjectiveSample {
    /// Largest relative difference of two computations of the same function.
    pub const TOLERANCE: f64 = 1e-6;

    /// True if values and gradients are the same up to rounding.
    pub fn agrees(&self, other: &ObjectiveSample) -> bool {
        let agree = |one: &[f64], other: &[f64]| {
            let largest = one
                .iter()
                .chain(other)
                .fold(0.0, |most: f64, x| most.max(x.abs()));
            let close =
                |(x, y): (&f64, &f64)| (x - y).abs() <= ObjectiveSample::TOLERANCE * largest;
            one.len() == other.len() && one.iter().zip(other).all(close)
        };
        agree(&self.values, &other.values) && agree(&self.slopes, &other.slopes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[f64], slopes: &[f64]) -> ObjectiveSample {
        ObjectiveSample {
            values: values.to_vec(),
            slopes: slopes.to_vec(),
        }
    }

    #[test]
    fn samples_agree_up_to_rounding_in_both_value_and_gradient() {
        let one = sample(&[1.0, 2.0], &[-3.0, 1e-9]);
        assert!(one.agrees(&sample(&[1.0 + 1e-7, 2.0], &[-3.0, 0.0])));
        assert!(!one.agrees(&sample(&[1.00001, 2.0], &[-3.0, 1e-9])));
        assert!(!one.agrees(&sample(&[1.0, 2.0], &[-3.00001, 1e-9])));
        assert!(!one.agrees(&sample(&[1.0, 2.0], &[-3.0, 1e-9, 0.0])));
        assert!(!one.agrees(&sample(&[f64::NAN, 2.0], &[-3.0, 1e-9])));
    }
}
