//! Miners and memories.

use schema::{Memory, MemorySize, Miner, Xbm};

use super::{Checked, SweepFile, in_range, require, training_images};

pub(super) fn miner(miner: &Miner, key: &dyn Fn(&str) -> String) -> Checked {
    in_range(miner.check(), &key(&format!("miner.{}", miner.key())))
}

pub(super) fn memory(memory: &Memory, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    let table = key(&format!("memory.{}", memory.key()));
    in_range(memory.check(), &table)?;
    let Memory::Xbm(xbm) = memory;
    let key = |name: &str| format!("{table}.{name}");
    size(xbm, &key, file)?;
    require(
        xbm.start_step < file.training.steps,
        &key("start_step"),
        format!(
            "the memory would never be used: training has {} steps",
            file.training.steps
        ),
    )
}

fn size(xbm: &Xbm, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    let images = training_images(file).unwrap_or(u64::MAX);
    let size = xbm.size.of(images);
    let key = match xbm.size {
        MemorySize::Size(_) => key("size"),
        MemorySize::Ratio(_) => key("ratio"),
    };
    let batch = file.training.sampler.batch();
    require(
        size >= u64::from(batch),
        &key,
        format!("{size} embeddings do not hold one batch of {batch}"),
    )?;
    require(
        size <= images,
        &key,
        format!(
            "{size} embeddings, but a run trains on only {images} images: some would be in memory twice"
        ),
    )
}
