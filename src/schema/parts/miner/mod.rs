//! Miners: which pairs or triplets of a batch a loss sees. One file each.

mod all_triplets;
mod angular;
mod batch_easy_hard;
mod batch_hard;
mod distance_weighted;
mod easy;
mod hard;
mod hard_aware;
mod multi_similarity;
mod pair_margin;
mod semi_hard;
mod uniform_histogram;

pub use batch_easy_hard::MinerStrategy;

use super::{part::parts, script::Script};

parts! {
    ($)
    /// A miner with its settings.
    pub enum Miner, for_each_miner {
        SemiHard(semi_hard::SemiHardMiner),
        Hard(hard::HardMiner),
        Easy(easy::EasyMiner),
        AllTriplets(all_triplets::AllTripletsMiner),
        BatchHard(batch_hard::BatchHardMiner),
        BatchEasyHard(batch_easy_hard::BatchEasyHardMiner),
        DistanceWeighted(distance_weighted::DistanceWeightedMiner),
        MultiSimilarity(multi_similarity::MultiSimilarityMiner),
        PairMargin(pair_margin::PairMarginMiner),
        HardAware(hard_aware::HardAwareMiner),
        Angular(angular::AngularMiner),
        UniformHistogram(uniform_histogram::UniformHistogramMiner),
    }
    and {
        /// A module of TorchScript: your own miner.
        torchscript: Torchscript(Script),
    }
}
