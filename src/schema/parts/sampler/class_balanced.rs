//! Batches in which all classes are equally likely.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_pair};
use crate::{OutOfRange, Part};

/// For each image of a batch a class is drawn, then an image of it, both with replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassBalanced {
    /// Images in a batch.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
}

impl Default for ClassBalanced {
    fn default() -> Self {
        ClassBalanced {
            batch: EXAMPLE_BATCH,
        }
    }
}

impl Part for ClassBalanced {
    const FORMULA: &'static str =
        "a random class, then a random image of it, both with replacement";

    fn check(&self) -> Result<(), OutOfRange> {
        check_pair(self.batch)
    }
}

impl SamplerPart for ClassBalanced {
    fn batch(&self) -> u32 {
        self.batch
    }
}
