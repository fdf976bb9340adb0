//! Divisions of the training images among heads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OutOfRange, Part, Span};

/// Each head learns from one cluster of the training images alone, and batches are of one cluster, in turn. Clusters are
/// found anew by each `survey` and go to the heads that had most of their images. Before the first survey, batches are of
/// all images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Divide {
    /// The time after which all heads learn from all images. Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

impl Divide {
    /// The largest number of heads, for which clusters and heads can be matched.
    pub const MOST_HEADS: usize = 12;
}

impl Part for Divide {
    const FORMULA: &'static str =
        "head k: the loss of batches of cluster k of the surveyed embeddings";
    const SOURCE: &'static str = "Sanakoyeu et al., CVPR 2019";

    fn check(&self) -> Result<(), OutOfRange> {
        self.until
            .iter()
            .try_for_each(|until| until.check_positive("until"))
    }
}
