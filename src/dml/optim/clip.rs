//! Clipping of gradients.
//! Reference: `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`.

use schema::Clip;
use tch::{Kind, Tensor, no_grad};

/// Returns the clipped gradient `[p]`.
///
/// A gradient whose Euclidean norm exceeds [`Clip::Norm`] is scaled down to it, but for 1e-6 in the denominator;
/// [`Clip::Value`] clamps each element.
pub fn clip(gradient: &Tensor, clip: Clip) -> Tensor {
    no_grad(|| match clip {
        Clip::Norm(bound) => {
            let norm = gradient.square().sum(None::<Kind>).sqrt();
            let scale = (norm + 1e-6).reciprocal() * bound;
            gradient * scale.clamp_max(1.0)
        }
        Clip::Value(bound) => gradient.clamp(-bound, bound),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{assert_close, golden, tensor};

    fn bounded(case: &Value) -> Clip {
        let bound = case["bound"].as_f64().unwrap();
        match case["by"].as_str().unwrap() {
            "norm" => Clip::Norm(bound),
            _ => Clip::Value(bound),
        }
    }

    #[test]
    fn gradients_are_clipped_as_in_the_reference() {
        let golden = golden(include_str!("testdata/clip.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let clipped = clip(&tensor(&golden["gradient"]), bounded(case));
            assert_close(
                &clipped,
                &tensor(&case["clipped"]),
                1e-14,
                &case["by"].to_string(),
            );
        }
    }

    #[test]
    fn a_zero_or_empty_gradient_is_unchanged() {
        for values in [&[0.0f64; 3][..], &[]] {
            let gradient = Tensor::from_slice(values);
            assert!(clip(&gradient, Clip::Norm(1.0)) == gradient);
            assert!(clip(&gradient, Clip::Value(1.0)) == gradient);
        }
    }
}
