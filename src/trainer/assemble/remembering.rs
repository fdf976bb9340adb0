//! Memories.

use dml::{
    memory::{Key, Rules, SelfExclusion, Wrap, Xbm},
    model::Network,
    objective::Objective,
};
use schema::{Memory, MemoryKey};

use crate::Failed;

/// The objective with this memory, for steps of so many batches, the embeddings of this network and so many training
/// images.
///
/// # Errors
/// If the memory would hold nothing, or more than there are images.
pub(super) fn with_memory(
    objective: Objective,
    memory: &Memory,
    batches: u64,
    network: &Network,
    images: usize,
) -> Result<Objective, Failed> {
    let Memory::Xbm(xbm) = memory;
    let size = size(xbm.size.of(images as u64), images)?;
    let wrap = match xbm.wrap {
        schema::MemoryWrap::Modulo => Wrap::Modulo,
        schema::MemoryWrap::Tail => Wrap::Tail,
    };
    let key = match xbm.key {
        MemoryKey::Fifo => Key::Fifo,
        MemoryKey::Unique => Key::Image,
    };
    Ok(Objective {
        memory: Some(Xbm::new(size, network.width(), network.device()).with_slots(wrap, key)),
        memory_start: xbm.start_step * batches,
        memory_weight: xbm.weight,
        memory_rules: rules(xbm),
        ..objective
    })
}

fn rules(xbm: &schema::Xbm) -> Rules {
    Rules {
        include_batch: xbm.include_batch,
        self_exclusion: match xbm.self_exclusion {
            schema::SelfExclusion::Index => SelfExclusion::Index,
            schema::SelfExclusion::Similarity => SelfExclusion::Similarity,
            schema::SelfExclusion::None => SelfExclusion::Nothing,
        },
        batch_loss: xbm.batch_loss,
    }
}

fn size(size: u64, images: usize) -> Result<i64, Failed> {
    if size == 0 {
        return Err(Failed::recipe("a memory must hold at least one embedding"));
    }
    if size > images as u64 {
        return Err(Failed::recipe(format!(
            "a memory of {size} embeddings is larger than the {images} images trained on"
        )));
    }
    Ok(size as i64)
}
