//! The main memory that a plan's runs take on the CPU, roughly.

use schema::Device;
use serde::Serialize;

use super::Plan;

/// The bytes that the largest run takes, without the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryOfRun {
    /// While it is trained; 0 if none is.
    pub training: u64,
    /// While it is measured.
    pub evaluation: u64,
}

impl MemoryOfRun {
    /// Returns the most that a run takes at a time.
    pub fn peak(self) -> u64 {
        self.training.max(self.evaluation)
    }
}

/// Returns the memory of the largest run.
pub fn of(plan: &Plan) -> MemoryOfRun {
    let recipes = plan.runs.values().map(|run| &run.unseeded.recipe);
    recipes.fold(MemoryOfRun::default(), |most, recipe| MemoryOfRun {
        training: most.training.max(recipe.bytes_to_train().unwrap_or(0)),
        evaluation: most.evaluation.max(recipe.bytes_to_evaluate(Device::Cpu)),
    })
}
