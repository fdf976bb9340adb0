//! Miners and memories.

use schema::{
    BatchEasyHardMiner, Memory, MemoryKey, MemorySize, MemoryWrap, Miner, MinerStrategy, Xbm,
};

use super::{Checked, SweepFile, fault, finite, positive, require, training_images};

pub(super) fn miner(miner: &Miner, key: &dyn Fn(&str) -> String) -> Checked {
    match miner {
        Miner::SemiHard(miner) => positive(miner.margin, &key("miner.semi_hard.margin")),
        Miner::Hard(_) | Miner::BatchHard(_) => Ok(()),
        Miner::Easy(miner) => finite(miner.margin, &key("miner.easy.margin")),
        Miner::AllTriplets(miner) => finite(miner.margin, &key("miner.all_triplets.margin")),
        Miner::BatchEasyHard(miner) => {
            batch_easy_hard(miner, &|name| key(&format!("miner.batch_easy_hard.{name}")))
        }
        Miner::DistanceWeighted(miner) => {
            let key = |name: &str| key(&format!("miner.distance_weighted.{name}"));
            positive(miner.cutoff, &key("cutoff"))?;
            require(
                miner.nonzero_loss_cutoff > miner.cutoff && miner.nonzero_loss_cutoff <= 2.0,
                &key("nonzero_loss_cutoff"),
                format!(
                    "expected a number above cutoff = {} and at most 2",
                    miner.cutoff
                ),
            )
        }
        Miner::MultiSimilarity(miner) => {
            finite(miner.epsilon, &key("miner.multi_similarity.epsilon"))
        }
        Miner::PairMargin(miner) => {
            finite(miner.pos_margin, &key("miner.pair_margin.pos_margin"))?;
            finite(miner.neg_margin, &key("miner.pair_margin.neg_margin"))
        }
        Miner::HardAware(miner) => require(
            miner.share > 0.0 && miner.share <= 1.0,
            &key("miner.hard_aware.share"),
            "expected a number above 0 and at most 1",
        ),
        Miner::Angular(miner) => require(
            (0.0..90.0).contains(&miner.degrees),
            &key("miner.angular.degrees"),
            "expected an angle from 0 to below 90 degrees",
        ),
        Miner::UniformHistogram(miner) => {
            let key = |name: &str| key(&format!("miner.uniform_histogram.{name}"));
            require(
                (1..=100_000).contains(&miner.bins),
                &key("bins"),
                "expected 1 to 100000 ranges",
            )?;
            let drawn = miner.pos_per_bin > 0 && miner.neg_per_bin > 0;
            require(
                drawn,
                &key("pos_per_bin"),
                "nothing would be drawn from a range",
            )
        }
    }
}

fn batch_easy_hard(miner: &BatchEasyHardMiner, key: &dyn Fn(&str) -> String) -> Checked {
    let pair = [miner.positive, miner.negative];
    let has = |strategy| pair.contains(&strategy);
    require(
        pair != [MinerStrategy::SemiHard; 2],
        &key("negative"),
        "positives and negatives cannot both be semi-hard: each is chosen relative to the other",
    )?;
    require(
        !(has(MinerStrategy::SemiHard) && has(MinerStrategy::All)),
        &key("negative"),
        "semi-hard is relative to one positive or negative, it cannot be used beside `all`",
    )?;
    range(miner.positive_range, miner.positive, &key("positive_range"))?;
    range(miner.negative_range, miner.negative, &key("negative_range"))
}

fn range(range: Option<[f64; 2]>, strategy: MinerStrategy, key: &str) -> Checked {
    let Some([low, high]) = range else {
        return Ok(());
    };
    require(
        strategy != MinerStrategy::All,
        key,
        "a range restricts which one is chosen, it has no meaning for `all`",
    )?;
    require(
        low <= high,
        key,
        format!("no distance lies in the range from {low} to {high}"),
    )
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
