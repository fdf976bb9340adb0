//! Memories, as a recipe names them: embeddings of earlier batches that the loss sees as well.

use serde::{Deserialize, Serialize};

/// A memory with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// See [`Xbm`].
    Xbm(Xbm),
}

/// Cross-batch memory (Wang et al., CVPR 2020): a ring of the latest embeddings, without gradient.
///
/// Each step enqueues its batch first, then adds `weight` times the loss of the batch against the
/// memory to the loss within the batch. An image never meets its own copy (excluded by index).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xbm {
    /// How many embeddings it holds.
    pub size: u32,
    /// The first step that uses it. Before, it stays empty.
    #[serde(default)]
    pub start_step: u64,
    /// Weight of the loss against the memory.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}
