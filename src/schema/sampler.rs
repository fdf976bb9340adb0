//! Samplers, as a recipe names them: which images form a batch.

use serde::{Deserialize, Serialize};

/// A sampler with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// See [`MPerClass`].
    MPerClass(MPerClass),
}

impl Sampler {
    /// Images in a batch.
    pub fn batch(&self) -> u32 {
        match self {
            Sampler::MPerClass(m_per_class) => m_per_class.batch,
        }
    }
}

/// Every batch holds exactly `batch / per_class` distinct classes, `per_class` distinct images of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MPerClass {
    /// Images in a batch, a multiple of `per_class`.
    pub batch: u32,
    /// Images of each of its classes.
    #[serde(default = "four")]
    pub per_class: u32,
}

fn four() -> u32 {
    4
}
