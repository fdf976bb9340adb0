//! Batches that straddle passes over all classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_negatives, check_per_class};
use crate::{OutOfRange, Part};

/// Batches are cut from passes over all classes in random order, as in the Reality Check: the batch
/// at the end of a pass can hold a class twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Straddling {
    /// Images in a batch.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
    /// Images of each class in a pass.
    #[serde(default = "four")]
    pub per_class: u32,
}

fn four() -> u32 {
    4
}

impl Default for Straddling {
    fn default() -> Self {
        Straddling {
            batch: EXAMPLE_BATCH,
            per_class: four(),
        }
    }
}

impl Part for Straddling {
    const FORMULA: &'static str = "passes over all classes in random order, per_class images of each; batches straddle passes";
    const SOURCE: &'static str = "the Reality Check's program";

    fn check(&self) -> Result<(), OutOfRange> {
        check_per_class(self.per_class)?;
        check_negatives(self.batch, self.per_class)
    }
}

impl SamplerPart for Straddling {
    fn batch(&self) -> u32 {
        self.batch
    }
}
