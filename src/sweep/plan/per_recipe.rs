//! What follows from a recipe whatever its seed, computed once for all runs that share it.

use std::sync::Arc;

use dashmap::DashMap;

use super::PlannedRun;

/// Values of runs of one plan, by the places in memory of what runs of other seeds share.
pub(crate) struct PerRecipe<V>(DashMap<usize, V>);

impl<V> Default for PerRecipe<V> {
    fn default() -> PerRecipe<V> {
        PerRecipe(DashMap::new())
    }
}

impl<V: Copy> PerRecipe<V> {
    /// Returns the value of a run, which `compute` is asked for if no run with its recipe has one.
    pub(crate) fn get(&self, run: &PlannedRun, compute: impl FnOnce() -> V) -> V {
        let place = Arc::as_ptr(&run.unseeded).addr();
        *self.0.entry(place).or_insert_with(compute)
    }
}
