//! Reductions: how the terms of a loss become one number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Card, OutOfRange};

/// How the terms of a loss become one number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// The mean of all terms.
    Mean,
    /// The mean of the non-zero terms.
    AvgNonZero,
    /// The sum of all terms.
    Sum,
    /// The sum of all terms divided by the number of images in the batch, with or without terms.
    PerImage,
    /// The mean of each anchor's terms, then the mean over anchors that have terms.
    PerAnchor,
    /// The mean of the terms between two bounds, both excluded.
    Threshold {
        /// Terms must be greater than this.
        low: f64,
        /// Terms must be less than this.
        high: f64,
    },
}

impl Reduction {
    /// Returns every reduction.
    pub fn every() -> Vec<Reduction> {
        vec![
            Reduction::Mean,
            Reduction::AvgNonZero,
            Reduction::Sum,
            Reduction::PerImage,
            Reduction::PerAnchor,
            Reduction::Threshold {
                low: 0.0,
                high: 1.0,
            },
        ]
    }

    /// Returns the card of this reduction.
    pub fn card(&self) -> Card {
        match self {
            Reduction::Mean => Card::new("mean", "mean of all terms"),
            Reduction::AvgNonZero => Card::new("avg_non_zero", "mean of the non-zero terms")
                .from("pytorch-metric-learning"),
            Reduction::Sum => Card::new("sum", "sum of all terms"),
            Reduction::PerImage => Card::new(
                "per_image",
                "sum of all terms / number of images in the batch",
            )
            .from("Deep_Metric, research-ms-loss, research-xbm"),
            Reduction::PerAnchor => Card::new(
                "per_anchor",
                "mean of each anchor's terms, then the mean over anchors that have terms",
            ),
            Reduction::Threshold { .. } => {
                Card::new("threshold", "mean of the terms between two bounds")
                    .from("pytorch-metric-learning")
            }
        }
    }

    /// Checks that some terms can count.
    ///
    /// # Errors
    /// If the bounds of a threshold exclude all terms.
    pub fn check(&self) -> Result<(), OutOfRange> {
        match self {
            Reduction::Threshold { low, high } if low >= high || low.is_nan() || high.is_nan() => {
                Err(OutOfRange::new(
                    "threshold",
                    "`low` is not below `high`, so that no term counts: write the smaller one as `low`",
                ))
            }
            Reduction::Mean
            | Reduction::AvgNonZero
            | Reduction::Sum
            | Reduction::PerImage
            | Reduction::PerAnchor
            | Reduction::Threshold { .. } => Ok(()),
        }
    }
}
