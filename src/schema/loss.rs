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
    /// See [`Margin`].
    Margin(Margin),
    /// See [`ProxyAnchor`].
    ProxyAnchor(ProxyAnchor),
}

impl Loss {
    /// Whether it has parameters of its own to train, such as proxies.
    pub fn has_parameters(&self) -> bool {
        match self {
            Loss::Contrastive(_) | Loss::Triplet(_) | Loss::MultiSimilarity(_) => false,
            Loss::Margin(margin) => margin.boundary != Boundary::Fixed,
            Loss::ProxyAnchor(_) => true,
        }
    }
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

/// Margin loss (Wu et al., ICCV 2017) on Euclidean distances of normalised embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Margin {
    /// How far from the boundary pairs have to be.
    pub margin: f64,
    /// The boundary between positive and negative pairs, or what it starts with.
    pub beta: f64,
    /// Whether it is learnt.
    pub boundary: Boundary,
    /// Weight of the penalty on a learnt boundary.
    pub nu: f64,
}

/// Whether the boundary between positive and negative pairs is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// It stays what it is.
    #[default]
    Fixed,
    /// One, for all classes.
    Learnt,
    /// One for each class of anchors.
    PerClass,
}

impl Default for Margin {
    fn default() -> Self {
        Margin { margin: 0.2, beta: 1.2, boundary: Boundary::Fixed, nu: 0.0 }
    }
}

/// Proxy-Anchor (Kim et al., CVPR 2020) on cosine similarities with one proxy for each class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProxyAnchor {
    /// The similarity that an image must have with its own proxy; with others, at most minus this.
    pub margin: f64,
    /// Sharpness.
    pub alpha: f64,
}

impl Default for ProxyAnchor {
    fn default() -> Self {
        ProxyAnchor { margin: 0.1, alpha: 32.0 }
    }
}
