//! A finished run's result.

use serde::{Deserialize, Serialize};

use crate::{Breakdown, RunId, Scores};

/// A finished run's result: what a table is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// See [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// Which run.
    pub run: RunId,
    /// What came of it.
    pub outcome: Outcome,
}

/// What several runs together came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleRecord {
    /// See [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The runs whose embeddings were joined, in order.
    pub runs: Vec<RunId>,
    /// What was measured.
    pub evaluated: Evaluated,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The test classes were measured.
    Finished(Evaluated),
    /// Training went wrong.
    Broken {
        /// How.
        how: Breakdown,
        /// After how many steps.
        step: u64,
    },
}

/// What was measured, and on how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// Classes, none of them trained on.
    pub classes: u64,
    /// Images that were searched for, each among all the others if there is no gallery.
    pub images: u64,
    /// Images that were searched, if the data set tells queries from a gallery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<u64>,
    /// Queries left out because no other image that was searched is of their class.
    pub lone: u64,
    /// The values, as fractions.
    pub scores: Scores,
}
