//! Batches of images that are taken for each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EXAMPLE_BATCH, SamplerPart};
use crate::{OutOfRange, Part, parts::part::require};

/// Every batch holds random images, each with another image of its class and with images of other classes that were among
/// the nearest to it in the latest survey. Needs `survey` of all images; before the first one, the images of other classes
/// are random.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NearestImages {
    /// Images in a batch, a multiple of `2 + neighbors`.
    #[schemars(extend("x-also" = ["batch_size"]))]
    pub batch: u32,
    /// Images of other classes that join each random image.
    #[serde(default = "two")]
    pub neighbors: u32,
    /// Number of nearest images of other classes among which they are drawn at random: the fewer, the harder.
    #[serde(default = "ten")]
    pub among: u32,
}

fn two() -> u32 {
    2
}

fn ten() -> u32 {
    10
}

impl NearestImages {
    /// Images that are together in a batch: a random one, one of its class, and its neighbors.
    pub fn group(&self) -> u32 {
        self.neighbors.saturating_add(2)
    }
}

impl Default for NearestImages {
    fn default() -> Self {
        NearestImages {
            batch: EXAMPLE_BATCH,
            neighbors: two(),
            among: ten(),
        }
    }
}

impl Part for NearestImages {
    const FORMULA: &'static str = "random images, each with one of its class and neighbors of the `among` nearest images of other classes";
    const SOURCE: &'static str = "neighbors in the whole training set, as smart mining (Harwood et al., ICCV 2017) \
        searches them; the rule by which that paper sets their hardness is not part of it";

    fn check(&self) -> Result<(), OutOfRange> {
        let NearestImages {
            batch,
            neighbors,
            among,
        } = *self;
        require(
            neighbors > 0,
            "neighbors",
            "expected at least 1 image beside each random image: without any, write `sampler.m_per_class`",
        )?;
        require(
            among >= neighbors,
            "among",
            format!("neighbors = {neighbors} images cannot be chosen of {among}"),
        )?;
        let group = self.group();
        require(
            batch > 0 && batch.is_multiple_of(group),
            "batch",
            format!("{batch} is not a multiple of 2 + neighbors = {group}"),
        )
    }
}

impl SamplerPart for NearestImages {
    fn batch(&self) -> u32 {
        self.batch
    }

    fn needs_survey(&self) -> bool {
        true
    }

    fn needs_all_images(&self) -> bool {
        true
    }
}
