//! Bounds on gradients.
//! Reference: `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`.

use tch::{Kind, Tensor, no_grad};

/// How large a gradient may be. The weights of a network are clipped together, and so are those of each loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// A gradient whose Euclidean norm is above this is scaled down to it, but for 1e-6 in the denominator.
    Norm(f64),
    /// Numbers beyond plus and minus this are brought back to it.
    Value(f64),
}

impl Clip {
    /// Returns the clipped gradient `[p]`.
    pub fn apply(self, gradient: &Tensor) -> Tensor {
        no_grad(|| match self {
            Clip::Norm(bound) => {
                let scale =
                    (gradient.square().sum(None::<Kind>).sqrt() + 1e-6).reciprocal() * bound;
                gradient * scale.clamp_max(1.0)
            }
            Clip::Value(bound) => gradient.clamp(-bound, bound),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{assert_close, golden, tensor};

    #[test]
    fn gradients_are_clipped_as_in_the_reference() {
        let golden = golden(include_str!("testdata/clip.json"));
        let bounded = |case: &Value| {
            let bound = case["bound"].as_f64().unwrap();
            if case["by"] == "norm" {
                Clip::Norm(bound)
            } else {
                Clip::Value(bound)
            }
        };
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let clipped = bounded(case).apply(&tensor(&golden["gradient"]));
            assert_close(
                &clipped,
                &tensor(&case["clipped"]),
                1e-14,
                &case["by"].to_string(),
            );
        }
    }

    #[test]
    fn a_gradient_of_zero_or_of_nothing_stays_what_it_is() {
        for numbers in [&[0.0f64; 3][..], &[]] {
            let gradient = Tensor::from_slice(numbers);
            assert!(
                Clip::Norm(1.0).apply(&gradient) == gradient
                    && Clip::Value(1.0).apply(&gradient) == gradient
            );
        }
    }
}
