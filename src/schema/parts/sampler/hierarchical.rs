//! Batches of a few super-classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_negatives, check_per_class};
use crate::{OutOfRange, Part, parts::part::require};

/// Every batch holds classes of a few super-classes only, for data that have them, such as Omniglot's
/// alphabets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hierarchical {
    /// Images in a batch, a multiple of `super_classes * per_class`.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
    /// Number of super-classes.
    #[serde(default = "two")]
    pub super_classes: u32,
    /// Images of each class.
    #[serde(default = "four")]
    pub per_class: u32,
}

fn four() -> u32 {
    4
}

fn two() -> u32 {
    2
}

impl Default for Hierarchical {
    fn default() -> Self {
        Hierarchical {
            batch: EXAMPLE_BATCH,
            super_classes: two(),
            per_class: four(),
        }
    }
}

impl Part for Hierarchical {
    const FORMULA: &'static str = "super_classes first, then classes within them, then per_class images; Omniglot's alphabets";
    const SOURCE: &'static str = "the samplers of ROADMAP and of HTL";

    fn check(&self) -> Result<(), OutOfRange> {
        let Hierarchical {
            batch,
            super_classes,
            per_class,
        } = *self;
        check_per_class(per_class)?;
        require(
            super_classes > 0,
            "super_classes",
            "expected at least 1 super-class",
        )?;
        let images = super_classes.checked_mul(per_class);
        require(
            batch > 0 && images.is_some_and(|images| batch.is_multiple_of(images)),
            "batch",
            format!(
                "{batch} is not a multiple of super_classes * per_class = {super_classes} * {per_class}"
            ),
        )?;
        check_negatives(batch, per_class)
    }
}

impl SamplerPart for Hierarchical {
    fn batch(&self) -> u32 {
        self.batch
    }
}
