//! Distances, reductions and penalties, as a recipe names them: what can be chosen about any loss.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{Card, Setting};

/// How far apart two embeddings are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// The cosine of the angle between them: a similarity.
    Cosine,
    /// The Euclidean distance.
    Euclidean,
    /// Its square.
    SquaredEuclidean,
    /// The inner product: a similarity.
    DotProduct,
    /// Variance of the difference over variance of the anchor (Yuan et al., CVPR 2019).
    SignalToNoise,
    /// The p-norm of the difference, p from 1 on.
    Lp(#[serde(deserialize_with = "norm")] f64),
}

impl Setting for Distance {}

fn norm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match f64::deserialize(deserializer)? {
        p if p.is_finite() && p >= 1.0 => Ok(p),
        p => Err(D::Error::custom(format!(
            "{p} is no norm, expected a number of at least 1"
        ))),
    }
}

/// How the terms of a loss become one number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The mean of all terms.
    Mean,
    /// The mean of those that are not zero.
    AvgNonZero,
    /// Their sum.
    Sum,
    /// Their sum over the number of images in the batch.
    PerImage,
    /// The mean of each anchor's, and of those the mean over anchors that have any.
    PerAnchor,
    /// The mean of those between two bounds.
    Threshold {
        /// Terms must be larger than this.
        low: f64,
        /// And smaller than this.
        high: f64,
    },
}

/// A penalty on embeddings, with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Regularizer {
    /// The mean length of embeddings, times this. For a network whose embeddings are not normalised.
    LpNorm(f64),
    /// The mean absolute sum of an embedding's numbers, times this (Yuan et al., CVPR 2019).
    ZeroMean(f64),
    /// The mean squared difference of squared lengths from their mean, times this.
    CenterInvariant(f64),
}

impl Distance {
    /// Every distance.
    pub fn every() -> Vec<Distance> {
        use Distance::{Cosine, DotProduct, Euclidean, Lp, SignalToNoise, SquaredEuclidean};
        vec![
            Cosine,
            Euclidean,
            SquaredEuclidean,
            DotProduct,
            SignalToNoise,
            Lp(1.0),
        ]
    }

    /// What there is to know about each, in the order of [`Distance::every`].
    pub const CARDS: &[Card] = &[
        Card::new(
            "cosine",
            "the cosine of the angle: larger is closer",
            "",
            "",
        ),
        Card::new("euclidean", "|x - y|", "", ""),
        Card::new("squared_euclidean", "|x - y|^2", "", ""),
        Card::new("dot_product", "x y: larger is closer", "", ""),
        Card::new(
            "signal_to_noise",
            "var(x - y) / var(x)",
            "Yuan et al., CVPR 2019",
            "",
        ),
        Card::new("lp", "the p-norm of x - y", "", ""),
    ];
}

impl Reduction {
    /// Every reduction.
    pub fn every() -> Vec<Reduction> {
        use Reduction::{AvgNonZero, Mean, PerAnchor, PerImage, Sum, Threshold};
        vec![
            Mean,
            AvgNonZero,
            Sum,
            PerImage,
            PerAnchor,
            Threshold {
                low: 0.0,
                high: 1.0,
            },
        ]
    }

    /// What there is to know about each, in the order of [`Reduction::every`].
    pub const CARDS: &[Card] = &[
        Card::new("mean", "the mean of all terms", "", ""),
        Card::new(
            "avg_non_zero",
            "the mean of those that are not zero",
            "pytorch-metric-learning",
            "",
        ),
        Card::new("sum", "their sum", "", ""),
        Card::new(
            "per_image",
            "their sum over the images of the batch",
            "Deep_Metric, research-ms-loss, research-xbm",
            "",
        ),
        Card::new(
            "per_anchor",
            "the mean of each anchor's, then the mean over anchors that have any",
            "",
            "",
        ),
        Card::new(
            "threshold",
            "the mean of those between two bounds",
            "pytorch-metric-learning",
            "",
        ),
    ];
}
