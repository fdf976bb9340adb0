//! What `sweep status` says about single runs and ensembles, as data.

use schema::{Breakdown, EnsembleId, Failure, RunId};
use serde::Serialize;

use crate::plan::difference::{Component, absence_in_words};

/// Something about one run or ensemble that needs a look.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Remark {
    /// In most steps, no pair counted.
    Idle {
        run: RunId,
        name: String,
        empty_steps: u64,
        steps: u64,
    },
    /// The training broke down.
    Broken {
        run: RunId,
        name: String,
        how: Breakdown,
        /// The step at which that was noticed.
        step: u64,
    },
    /// The training has a checkpoint and waits for a session.
    Begun { run: RunId, name: String },
    /// The run is trained and waits to be measured.
    Trained { run: RunId, name: String },
    /// An ensemble is not measured, because the training of one of its runs broke down.
    Skipped {
        ensemble: EnsembleId,
        name: String,
        how: Breakdown,
    },
    /// A run of this ensemble failed, so the ensemble waits for it.
    Waits {
        ensemble: EnsembleId,
        name: String,
        class: Failure,
        message: String,
    },
    /// No run of the sweep is found in the results folder, because this differs.
    NothingFound { differs: Component },
}

impl Remark {
    /// Returns the remark as a line.
    pub(super) fn line(&self) -> String {
        match self {
            Remark::Idle {
                run,
                name,
                empty_steps,
                steps,
            } => format!(
                "  idle      {run}  {name}: no pair counted in {empty_steps} of {steps} steps"
            ),
            Remark::Broken {
                run,
                name,
                how,
                step,
            } => format!(
                "  {:<9} {run}  {name}, {} at step {step}",
                how.word(),
                how.reason()
            ),
            Remark::Begun { run, name } => format!("  begun     {run}  {name}, has a checkpoint"),
            Remark::Trained { run, name } => format!("  trained   {run}  {name}, not yet measured"),
            Remark::Skipped {
                ensemble,
                name,
                how,
            } => format!(
                "  skipped   {ensemble}  {name}, all folds: not ensembled, one of them is {}",
                how.word()
            ),
            Remark::Waits {
                ensemble,
                name,
                message,
                ..
            } => format!("  waits     {ensemble}  {name}, all folds: {message}"),
            Remark::NothingFound { differs } => {
                format!("  note: {}", absence_in_words(*differs))
            }
        }
    }
}
