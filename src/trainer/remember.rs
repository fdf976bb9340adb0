//! A memory while training: what it holds at first, and how it is doing.

use dml::{
    memory::Arrivals,
    model::Network,
    objective::Objective,
    random::{Draws, Purpose},
};
use schema::{Event, Memory, MemoryInit};
use tch::{Tensor, no_grad};

use crate::{Emit, Failed, batches::BatchSource, split::Images};

/// Steps between two words about the memory.
const EVERY: u64 = 100;

/// Puts as many random training images into the memory as fit, if it is to begin so and this is its first batch. That
/// is a function of seed and network alone: a training continued before this step does the same.
///
/// The network embeds them as for evaluation, which leaves its running statistics alone.
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
        let labels = Tensor::from_slice(&of(&split.labels)).to_device(batches.device());
        let _ = memory.enqueue(&Arrivals {
            embeddings: &embeddings,
            labels: &labels,
            images: Some(portion),
            step: batch,
        });
    }
    Ok(())
}

/// Says how the memory is doing, if it is time and there is one in use.
pub(crate) fn report(objective: &Objective, arrivals: &Arrivals, emit: Emit) {
    let due = arrivals.step.is_multiple_of(EVERY) && arrivals.step >= objective.memory_start;
    if let Some(memory) = objective.memory.as_ref().filter(|_| due) {
        let condition = memory.condition(arrivals);
        emit(Event::Memory {
            step: arrivals.step,
            fill: condition.fill,
            age: condition.age,
            drift: condition.drift.filter(|drift| drift.is_finite()),
        });
    }
}
