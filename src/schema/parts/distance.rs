//! Distances: how two embeddings are compared.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{Card, Setting};

/// A distance between two embeddings, or a similarity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// The cosine of the angle between embeddings: a similarity. Embeddings have length one, so it
    /// is their inner product.
    Cosine,
    /// The Euclidean distance.
    #[schemars(extend("x-also" = ["l2"]))]
    Euclidean,
    /// The square of the Euclidean distance.
    SquaredEuclidean,
    /// The inner product of embeddings of any length: a similarity.
    #[schemars(extend("x-also" = ["inner_product"]))]
    DotProduct,
    /// Variance of the difference over variance of the anchor (Yuan et al., CVPR 2019). Not
    /// symmetric.
    SignalToNoise,
    /// The p-norm of the difference; p is at least 1.
    Lp(#[serde(deserialize_with = "norm")] f64),
    /// The distance in hyperbolic space (Ermolov et al., CVPR 2022).
    Hyperbolic(Hyperbolic),
}

/// The Poincare ball, on which embeddings lie by the exponential map at its center.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hyperbolic {
    /// The negative curvature: the radius of the ball is one over its root.
    #[serde(deserialize_with = "above_zero")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub curvature: f64,
    /// Longer embeddings are shortened to this length before they are mapped.
    #[serde(deserialize_with = "above_zero")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip: f64,
}

impl Default for Hyperbolic {
    fn default() -> Hyperbolic {
        Hyperbolic {
            curvature: 0.1,
            clip: 2.3,
        }
    }
}

fn above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match f64::deserialize(deserializer)? {
        number if number.is_finite() && number > 0.0 => Ok(number),
        number => Err(D::Error::custom(format!(
            "{number} is not allowed, expected a number above 0"
        ))),
    }
}

fn norm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match f64::deserialize(deserializer)? {
        p if p.is_finite() && p >= 1.0 => Ok(p),
        p => Err(D::Error::custom(format!(
            "{p} is no norm, expected a number of at least 1"
        ))),
    }
}

impl Setting for Distance {}

impl Distance {
    /// Returns every distance.
    pub fn every() -> Vec<Distance> {
        vec![
            Distance::Cosine,
            Distance::Euclidean,
            Distance::SquaredEuclidean,
            Distance::DotProduct,
            Distance::SignalToNoise,
            Distance::Lp(1.0),
            Distance::Hyperbolic(Hyperbolic::default()),
        ]
    }

    /// Returns the card of this distance.
    pub fn card(&self) -> Card {
        match self {
            Distance::Cosine => Card::new("cosine", "cosine of the angle: larger is closer"),
            Distance::Euclidean => Card::new("euclidean", "|x - y|"),
            Distance::SquaredEuclidean => Card::new("squared_euclidean", "|x - y|^2"),
            Distance::DotProduct => Card::new("dot_product", "x y: larger is closer"),
            Distance::SignalToNoise => {
                Card::new("signal_to_noise", "var(x - y) / var(x)").from("Yuan et al., CVPR 2019")
            }
            Distance::Lp(_) => Card::new("lp", "p-norm of x - y"),
            Distance::Hyperbolic(_) => Card::new(
                "hyperbolic",
                "distance in the Poincare ball of a curvature (0.1), of x and y cut to the length clip (2.3) and mapped onto it",
            )
            .from("Ermolov et al., CVPR 2022"),
        }
    }

    /// Returns the key of this distance in a sweep file.
    pub fn key(&self) -> &'static str {
        self.card().name
    }
}
