//! The memory of a training: its initial content, and reports of its statistics.

use dml::{
    memory::MemoryBatch,
    model::Network,
    objective::Objective,
    random::{Draws, Purpose},
    upload,
};
use schema::{Event, Memory, MemoryInit};
use tch::no_grad;

use crate::{Emit, Failed, batches::BatchSource, split::Images};

/// Steps between two reports.
const EVERY: u64 = 100;

/// Fills the memory with random training images, if the recipe asks for it and this is the first batch that uses it.
/// The choice is a function of seed and network alone: a training continued before this step does the same.
///
/// The network embeds the images as for evaluation, which does not change its running statistics.
pub(crate) fn fill(
    memory: Option<&Memory>,
    objective: &mut Objective,
    network: &Network,
    batches: &BatchSource,
    split: &Images,
    batch: u64,
    size: usize,
) -> Result<(), Failed> {
    let Some(Memory::Xbm(xbm)) = memory else {
        return Ok(());
    };
    let wanted = match xbm.init {
        MemoryInit::Empty => false,
        MemoryInit::ForwardPass => batch == objective.memory_start,
    };
    let Some(memory) = objective.memory.as_mut().filter(|_| wanted) else {
        return Ok(());
    };
    let mut all: Vec<i64> = (0..split.indices.len() as i64).collect();
    let count = all.len().min(memory.size() as usize);
    let chosen = Draws::new(objective.seed, Purpose::Filling, 0, 0).choose(&mut all, count);
    for portion in chosen.chunks(size.max(1)) {
        let of = |values: &[i64]| {
            portion
                .iter()
                .map(|&image| values[image as usize])
                .collect::<Vec<_>>()
        };
        let images = batches.images(&of(&split.indices))?;
        let embeddings = no_grad(|| network.forward(&images, false));
        let host_labels = of(&split.labels);
        let labels = upload::integers(&host_labels, batches.device());
        let _ = memory.enqueue(&MemoryBatch {
            embeddings: &embeddings,
            labels: &labels,
            host_labels: Some(&host_labels),
            images: Some(portion),
            step: batch,
        });
    }
    Ok(())
}

/// Emits the statistics of the memory, if it is in use and a report is due.
pub(crate) fn report(objective: &Objective, arrivals: &MemoryBatch, emit: Emit) {
    let due = arrivals.step.is_multiple_of(EVERY) && arrivals.step >= objective.memory_start;
    if let Some(memory) = objective.memory.as_ref().filter(|_| due) {
        let statistics = memory.statistics(arrivals);
        emit(Event::Memory {
            step: arrivals.step,
            fill: statistics.fill,
            age: statistics.age,
            drift: statistics.drift.filter(|drift| drift.is_finite()),
        });
    }
}
