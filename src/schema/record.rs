//! The result of a finished run.

use serde::{Deserialize, Serialize};

use crate::{Metric, RunId, Scores};

/// The result of a finished run: tables are made of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// See [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The run.
    pub run: RunId,
    /// Its result.
    pub outcome: Outcome,
}

/// The result of several runs measured as an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleRecord {
    /// See [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The runs whose embeddings were concatenated, in order.
    pub runs: Vec<RunId>,
    /// The result.
    pub evaluated: Evaluated,
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The test classes were measured.
    Finished(Evaluated),
    /// The training broke down.
    Broken {
        /// The kind of breakdown.
        how: Breakdown,
        /// Training steps before it.
        step: u64,
    },
}

/// How a training broke down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakdown {
    /// The loss was not finite.
    Diverged,
    /// All images had nearly the same embedding.
    Collapsed,
    /// No pair or triplet contributed to the loss any more.
    Dead,
}

impl Breakdown {
    /// Returns the word that tables show.
    pub fn word(self) -> &'static str {
        match self {
            Breakdown::Diverged => "diverged",
            Breakdown::Collapsed => "collapsed",
            Breakdown::Dead => "dead",
        }
    }

    /// Returns the explanation.
    pub fn reason(self) -> &'static str {
        match self {
            Breakdown::Diverged => "the loss was not a finite number",
            Breakdown::Collapsed => "all images had nearly the same embedding",
            Breakdown::Dead => "nothing contributed to the loss any more",
        }
    }
}

/// Metrics of the test classes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The number of test classes; none of them was trained on.
    pub classes: u64,
    /// The number of queries; without a gallery, each is searched among all the others.
    pub images: u64,
    /// The number of gallery images, if the data set separates them from queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<u64>,
    /// The number of cameras of the test images; a query does not search its class from its own. 0: none is known.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub cameras: u64,
    /// The number of drawn galleries over which the values are means. 0: nothing was drawn.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub draws: u64,
    /// Queries left out because no image that is searched has their class.
    #[serde(rename = "lone")]
    pub without_positive: u64,
    /// The values, as fractions.
    pub scores: Scores,
    /// The values if correct images came first among equally similar ones, for the metrics that
    /// depend on the order of these.
    #[serde(default, skip_serializing_if = "Scores::is_empty")]
    pub optimistic: Scores,
    /// The values if correct images came last among equally similar ones, for the same metrics.
    #[serde(default, skip_serializing_if = "Scores::is_empty")]
    pub pessimistic: Scores,
    /// The values of each head alone, for a network with several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<Scores>,
    /// Searched images whose embeddings exactly equal an earlier one.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub duplicates: u64,
}

impl Evaluated {
    /// Returns the lowest and the highest value of a metric over all orders of equally similar
    /// images; `None` if it does not depend on their order.
    pub fn bounds(&self, metric: Metric) -> Option<(f64, f64)> {
        let (low, high) = (
            self.pessimistic.get(&metric)?,
            self.optimistic.get(&metric)?,
        );
        (low < high).then_some((*low, *high))
    }
}
