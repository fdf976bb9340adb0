//! Batches of a fixed number of images per class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_classes, check_per_class};
use crate::{OutOfRange, Part};

/// Every batch holds exactly `batch / per_class` distinct classes, `per_class` distinct images of each.
/// Images of a class that has fewer are drawn with replacement, as in the other samplers with a
/// `per_class`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MPerClass {
    /// Images in a batch, a multiple of `per_class`.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
    /// Images of each class.
    #[serde(default = "four")]
    pub per_class: u32,
}

fn four() -> u32 {
    4
}

impl Default for MPerClass {
    fn default() -> Self {
        MPerClass {
            batch: EXAMPLE_BATCH,
            per_class: four(),
        }
    }
}

impl Part for MPerClass {
    const FORMULA: &'static str = "batch / per_class distinct classes, per_class images of each, repeated only if it has fewer";
    const SOURCE: &'static str = "pytorch-metric-learning, MPerClassSampler with a batch size";

    fn check(&self) -> Result<(), OutOfRange> {
        check_per_class(self.per_class)?;
        check_classes(self.batch, self.per_class)
    }
}

impl SamplerPart for MPerClass {
    fn batch(&self) -> u32 {
        self.batch
    }
}
