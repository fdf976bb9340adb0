//! The input of a table: one [`Row`] for each run, and the text around the table.

use std::fmt;

use schema::{Breakdown, Dataset, EnsembleId, Evaluated, Failure, Fold, Metric, RunId, Scores};
use serde::{Serialize, Serializer};

/// One run, and where it belongs in a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its data set.
    pub dataset: Dataset,
    /// The name of its method, unique in a sweep.
    pub method: String,
    /// True if nothing was trained for it: pixels, features, an untrained network.
    pub is_baseline: bool,
    /// What each head is called, of a network with several: `head 2, 21-d on block3`.
    pub heads: Vec<String>,
    /// The values of further axes.
    pub settings: Vec<Setting>,
    /// Which repetition of its search selected its values, from 0, if the search is repeated.
    pub repeat: Option<usize>,
    /// The seed of the run.
    pub seed: u64,
    /// The fold that it held out, if any.
    pub fold: Option<Fold>,
    /// How the models of all folds are combined, if there are folds.
    pub together: Option<Together>,
    /// The id of the run; for a concatenation, that of its first run.
    pub run: RunId,
    /// The ensemble that was measured, if the models of several runs were.
    pub ensemble: Option<EnsembleId>,
    /// Its outcome.
    pub state: RunState,
}

/// What a value was measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The network of a run.
    Run(RunId),
    /// The networks of several runs.
    Ensemble(EnsembleId),
}

/// `07112fe968a29997`, `ensembles/07112fe968a29997`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Run(run) => write!(f, "{run}"),
            Source::Ensemble(ensemble) => write!(f, "ensembles/{ensemble}"),
        }
    }
}

impl Row {
    /// What its values were measured on.
    pub fn source(&self) -> Source {
        match self.ensemble {
            Some(ensemble) => Source::Ensemble(ensemble),
            None => Source::Run(self.run),
        }
    }

    /// The value of an axis, if it applies.
    pub(crate) fn setting(&self, axis: &str) -> Option<&str> {
        let setting = self.settings.iter().find(|setting| setting.axis == axis)?;
        Some(&setting.value)
    }

    /// The value of a metric, if it was measured and is finite.
    pub(crate) fn measured(&self, metric: Metric) -> Option<f64> {
        finite(&self.evaluated()?.scores, metric)
    }

    /// The same for one head alone.
    pub(crate) fn measured_of_head(&self, head: usize, metric: Metric) -> Option<f64> {
        finite(self.evaluated()?.heads.get(head)?, metric)
    }

    fn evaluated(&self) -> Option<&Evaluated> {
        match &self.state {
            RunState::Finished(evaluated) => Some(evaluated),
            RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => None,
        }
    }

    /// The lowest and the highest value of a metric over all orders of equally similar images, if it
    /// depends on their order.
    pub(crate) fn bounds(&self, metric: Metric) -> Option<(f64, f64)> {
        self.evaluated()?.bounds(metric)
    }
}

fn finite(scores: &Scores, metric: Metric) -> Option<f64> {
    let value = scores.get(&metric).copied();
    value.filter(|value| value.is_finite())
}

/// The value of one axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    /// The key that varies, such as `model.embedding`.
    pub axis: String,
    /// Its value, as the sweep file has it.
    pub value: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.axis, self.value)
    }
}

/// A pair of axis and value.
impl Serialize for Setting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.axis, &self.value).serialize(serializer)
    }
}

/// How the models of all folds are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Together {
    /// Each is measured alone.
    Separated,
    /// Their embeddings are concatenated and measured once.
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

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// It was measured.
    Finished(Evaluated),
    /// Its training diverged or collapsed.
    Broken {
        /// The kind of breakdown.
        how: Breakdown,
        /// The step at which it was noticed.
        step: u64,
    },
    /// An attempt failed.
    Failed {
        /// The class of the failure.
        class: Failure,
        /// The failure in one sentence.
        message: String,
    },
    /// It has not started, or has not finished.
    Missing,
}

impl RunState {
    /// The outcome in one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            RunState::Finished(_) => "finished",
            RunState::Broken { how, .. } => how.word(),
            RunState::Failed { .. } => "failed",
            RunState::Missing => "missing",
        }
    }

    /// Orders states by how much they tell: of two rows about one run, the smaller counts.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            RunState::Finished(_) => 0,
            RunState::Broken { .. } => 1,
            RunState::Failed { .. } => 2,
            RunState::Missing => 3,
        }
    }
}

/// The text around a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caption {
    /// The name of the sweep.
    pub sweep: String,
    /// The command that reproduces the table.
    pub command: String,
    /// Facts: seeds, folds, amount of data.
    pub lines: Vec<String>,
    /// Rules of fairness that do not hold, with the reasons of those that were waived.
    pub fairness: Vec<String>,
    /// Rows whose losses are the same function, a sentence each.
    pub same: Vec<String>,
}
