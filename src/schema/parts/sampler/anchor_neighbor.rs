//! Batches of classes that are alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart, check_negatives, check_per_class};
use crate::{OutOfRange, Part, parts::part::require};

/// Every batch holds a few random classes, each with the classes nearest to it in the latest survey. Needs `survey`;
/// before the first one, all classes of a batch are random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnchorNeighbor {
    /// Images in a batch, a multiple of `(1 + neighbors) * per_class`.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
    /// Classes that join each random class.
    #[serde(default = "three")]
    pub neighbors: u32,
    /// Images of each class.
    #[serde(default = "four")]
    pub per_class: u32,
}

fn three() -> u32 {
    3
}

fn four() -> u32 {
    4
}

impl AnchorNeighbor {
    /// Returns the number of classes in a batch.
    pub fn classes(&self) -> u32 {
        self.batch / self.per_class.max(1)
    }
}

impl Default for AnchorNeighbor {
    fn default() -> Self {
        AnchorNeighbor {
            batch: EXAMPLE_BATCH,
            neighbors: three(),
            per_class: four(),
        }
    }
}

impl Part for AnchorNeighbor {
    const FORMULA: &'static str =
        "random classes, each with the neighbors classes nearest to it, then per_class images";
    const SOURCE: &'static str = "anchor-neighbor sampling, Ge et al., ECCV 2018";

    fn check(&self) -> Result<(), OutOfRange> {
        let AnchorNeighbor {
            batch,
            neighbors,
            per_class,
        } = *self;
        check_per_class(per_class)?;
        require(
            neighbors > 0,
            "neighbors",
            "expected at least 1 class beside each random class: without any, write `sampler.m_per_class`",
        )?;
        let group = neighbors
            .checked_add(1)
            .and_then(|classes| classes.checked_mul(per_class));
        require(
            batch > 0 && group.is_some_and(|images| batch.is_multiple_of(images)),
            "batch",
            format!(
                "{batch} is not a multiple of (1 + neighbors) * per_class = (1 + {neighbors}) * {per_class}"
            ),
        )?;
        check_negatives(batch, per_class)
    }
}

impl SamplerPart for AnchorNeighbor {
    fn batch(&self) -> u32 {
        self.batch
    }

    fn needs_survey(&self) -> bool {
        true
    }
}
