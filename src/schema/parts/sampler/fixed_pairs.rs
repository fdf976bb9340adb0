//! Batches of pairs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_classes};
use crate::{OutOfRange, Part};

/// Every batch holds one pair of each of `batch / 2` distinct classes (Sohn, NeurIPS 2016).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedPairs {
    /// Images in a batch, a multiple of 2.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
}

impl FixedPairs {
    /// Images of each class.
    pub const PER_CLASS: u32 = 2;
}

impl Default for FixedPairs {
    fn default() -> Self {
        FixedPairs {
            batch: EXAMPLE_BATCH,
        }
    }
}

impl Part for FixedPairs {
    const FORMULA: &'static str = "two images of each of batch / 2 distinct classes";
    const SOURCE: &'static str = "Sohn, NIPS 2016";

    fn check(&self) -> Result<(), OutOfRange> {
        check_classes(self.batch, FixedPairs::PER_CLASS)
    }
}

impl SamplerPart for FixedPairs {
    fn batch(&self) -> u32 {
        self.batch
    }
}
