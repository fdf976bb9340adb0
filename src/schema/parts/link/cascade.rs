//! Cascades: later heads see only the hardest pairs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    OutOfRange, Part,
    parts::part::{check_setting, require},
    parts::range::above,
};

/// Each head sees a share of the pairs, the hardest by its own distances: of all positive pairs the farthest, and of all
/// negative pairs the closest, as many as `floor(share * number of all)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// The share of each head, in order.
    pub shares: Vec<f64>,
    /// The pairs that a head chooses from.
    #[serde(default, skip_serializing_if = "CascadeOf::is_previous")]
    pub of: CascadeOf,
}

/// The pairs that a head of a cascade chooses from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CascadeOf {
    /// Those that the head before chose, as the paper describes.
    #[default]
    Previous,
    /// All, as in the authors' program.
    All,
}

impl CascadeOf {
    /// All choices.
    pub const ALL: [CascadeOf; 2] = [CascadeOf::Previous, CascadeOf::All];

    fn is_previous(&self) -> bool {
        *self == CascadeOf::Previous
    }
}

impl Part for Cascade {
    const FORMULA: &'static str =
        "head k: the hardest share_k of all pairs, among those of head k-1";
    const SOURCE: &'static str = "Yuan, Yang & Zhang, ICCV 2017; PkuRainBow/HDC.caffe for `all`";

    fn check(&self) -> Result<(), OutOfRange> {
        check_setting("shares", &self.shares, &[above(0.0).at_most(1.0)])?;
        let grows = self.shares.windows(2).any(|pair| pair[0] < pair[1]);
        require(
            !grows || self.of == CascadeOf::All,
            "shares",
            "a head has only the pairs of the one before: write shares that do not grow, or `of = \"all\"`",
        )
    }
}
