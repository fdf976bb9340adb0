//! Batches of a plain shuffle.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_pair};
use crate::{OutOfRange, Part};

/// Batches are cut from passes over all images in random order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomSampler {
    /// Images in a batch.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
}

impl Default for RandomSampler {
    fn default() -> Self {
        RandomSampler {
            batch: EXAMPLE_BATCH,
        }
    }
}

impl Part for RandomSampler {
    const FORMULA: &'static str = "passes over all images in random order";

    fn check(&self) -> Result<(), OutOfRange> {
        check_pair(self.batch)
    }
}

impl SamplerPart for RandomSampler {
    fn batch(&self) -> u32 {
        self.batch
    }
}
