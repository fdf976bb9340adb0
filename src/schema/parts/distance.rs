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
        }
    }

    /// Returns the key of this distance in a sweep file.
    pub fn key(&self) -> &'static str {
        self.card().name
    }
}
