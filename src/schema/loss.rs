//! Losses, as a recipe names them. What they compute is told in `dml::loss`, one file each.

use serde::{Deserialize, Serialize};

/// A loss with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// See [`Contrastive`].
    Contrastive(Contrastive),
    /// See [`Triplet`].
    Triplet(Triplet),
    /// See [`MultiSimilarity`].
    MultiSimilarity(MultiSimilarity),
}

/// Contrastive loss (Hadsell et al., 2006) on Euclidean distances of normalised embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contrastive {
    /// A positive pair costs nothing below this distance.
    pub pos_margin: f64,
    /// A negative pair costs nothing above this distance.
    pub neg_margin: f64,
}

impl Default for Contrastive {
    fn default() -> Self {
        Contrastive { pos_margin: 0.0, neg_margin: 1.0 }
    }
}

/// Triplet margin loss (Weinberger & Saul, 2009) on Euclidean distances of normalised embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Triplet {
    /// How much farther a negative has to be than a positive.
    pub margin: f64,
}

impl Default for Triplet {
    fn default() -> Self {
        Triplet { margin: 0.05 }
    }
}

/// Multi-similarity loss (Wang et al., CVPR 2019) on cosine similarities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiSimilarity {
    /// Sharpness of the pull on positive pairs.
    pub alpha: f64,
    /// Sharpness of the push on negative pairs.
    pub beta: f64,
    /// The similarity that divides both (lambda in the paper).
    pub base: f64,
}

impl Default for MultiSimilarity {
    fn default() -> Self {
        MultiSimilarity { alpha: 2.0, beta: 50.0, base: 0.5 }
    }
}
