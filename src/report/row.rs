//! What a table is made of: one [`Row`] for each run, and the facts for its caption.

use std::fmt;

use schema::{Breakdown, Evaluated, Failure, Fold, RunId};

/// One run, and where it belongs in a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The title of its data set.
    pub dataset: String,
    /// The name of its method.
    pub method: String,
    /// Whether nothing was trained for it: pixels, features, an untrained network.
    pub is_baseline: bool,
    /// The values of further axes, by name.
    pub settings: Vec<(String, String)>,
    /// The seed of the run.
    pub seed: u64,
    /// The fold that it held out, if any.
    pub fold: Option<Fold>,
    /// How the models of all folds are taken together, if there are folds.
    pub together: Option<Together>,
    /// The name of the run; of several that are concatenated, the first.
    pub run: RunId,
    /// What became of it.
    pub state: RunState,
}

/// How the models of all folds are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Together {
    /// Each is measured alone.
    Separated,
    /// Their embeddings are joined and measured once.
    Concatenated,
}

impl fmt::Display for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Together::Separated => "separated",
            Together::Concatenated => "concatenated",
        })
    }
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It was measured.
    Finished(Evaluated),
    /// Its training went wrong.
    Broken {
        /// How.
        how: Breakdown,
        /// After how many steps.
        step: u64,
    },
    /// An attempt at it failed.
    Failed {
        /// What kind of failure.
        class: Failure,
        /// One sentence about it.
        message: String,
    },
    /// It was not started, or did not come to its end.
    Missing,
}

impl RunState {
    /// The more is known of a run, the smaller. Of two rows about one run the smaller counts.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            RunState::Finished(_) => 0,
            RunState::Broken { .. } => 1,
            RunState::Failed { .. } => 2,
            RunState::Missing => 3,
        }
    }
}

/// What is said around the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// The name of the sweep.
    pub sweep: String,
    /// The command that makes the tables again.
    pub command: String,
    /// Facts: seeds, folds, how much data.
    pub lines: Vec<String>,
    /// Which rules of fairness do not hold, and which of them were waived why.
    pub fairness: Vec<String>,
}
