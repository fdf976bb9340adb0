//! Miners and memories.

use schema::{Memory, MemoryKey, MemorySize, MemoryWrap, Miner, Xbm};

use super::{Checked, SweepFile, fault, in_range, positive, require, training_images};

pub(super) fn miner(miner: &Miner, key: &dyn Fn(&str) -> String) -> Checked {
    in_range(miner.check(), &key(&format!("miner.{}", miner.key())))
}

pub(super) fn memory(memory: &Memory, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    let Memory::Xbm(xbm) = memory;
    let key = |name: &str| key(&format!("memory.xbm.{name}"));
    size(xbm, &key, file)?;
    require(
        xbm.start_step < file.training.steps,
        &key("start_step"),
        format!(
            "the memory would never be used: training has {} steps",
            file.training.steps
        ),
    )?;
    positive(xbm.weight, &key("weight"))?;
    require(
        (xbm.wrap, xbm.key) != (MemoryWrap::Tail, MemoryKey::Unique),
        &key("wrap"),
        "where every image has a slot of its own, no batch wraps: leave `wrap` out",
    )
}

fn size(xbm: &Xbm, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    let images = training_images(file).unwrap_or(u64::MAX);
    let (key, size) = match xbm.size {
        MemorySize::Size(_) => (key("size"), xbm.size.of(images)),
        MemorySize::Ratio(ratio) if ratio > 0.0 && ratio <= 1.0 => {
            (key("ratio"), xbm.size.of(images))
        }
        MemorySize::Ratio(_) => {
            return fault(key("ratio"), "expected a number above 0 and at most 1");
        }
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
