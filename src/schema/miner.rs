//! Miners, as a recipe names them: which of a batch's pairs or triplets the loss sees.

use serde::{Deserialize, Serialize};

/// A miner with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Miner {
    /// See [`SemiHard`].
    SemiHard(SemiHard),
    /// See [`MultiSimilarityMiner`].
    MultiSimilarity(MultiSimilarityMiner),
}

/// Keeps triplets whose negative is farther than the positive, but by no more than a margin
/// (Schroff et al., CVPR 2015): `0 < d(a,n) - d(a,p) <= margin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SemiHard {
    /// Width of the band.
    pub margin: f64,
}

impl Default for SemiHard {
    fn default() -> Self {
        SemiHard { margin: 0.2 }
    }
}

/// Keeps a negative more similar than the least similar positive less `epsilon`, and a positive less
/// similar than the most similar negative plus `epsilon` (Wang et al., CVPR 2019, Eq. 7 and 8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiSimilarityMiner {
    /// Width of the overlap.
    pub epsilon: f64,
}

impl Default for MultiSimilarityMiner {
    fn default() -> Self {
        MultiSimilarityMiner { epsilon: 0.1 }
    }
}
