//! Miners, as a recipe names them: which of a batch's pairs or triplets the loss sees.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Card, Distance, settings::settings};

/// A miner with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Miner {
    /// See [`SemiHard`].
    SemiHard(SemiHard),
    /// See [`HardMiner`].
    Hard(HardMiner),
    /// See [`EasyMiner`].
    Easy(EasyMiner),
    /// See [`AllTripletsMiner`].
    AllTriplets(AllTripletsMiner),
    /// See [`BatchHardMiner`].
    BatchHard(BatchHardMiner),
    /// See [`BatchEasyHardMiner`].
    BatchEasyHard(BatchEasyHardMiner),
    /// See [`DistanceWeightedMiner`].
    DistanceWeighted(DistanceWeightedMiner),
    /// See [`MultiSimilarityMiner`].
    MultiSimilarity(MultiSimilarityMiner),
    /// See [`PairMarginMiner`].
    PairMargin(PairMarginMiner),
    /// See [`HardAwareMiner`].
    HardAware(HardAwareMiner),
    /// See [`AngularMiner`].
    Angular(AngularMiner),
    /// See [`UniformHistogramMiner`].
    UniformHistogram(UniformHistogramMiner),
}

/// Which partner of an anchor is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MinerStrategy {
    /// The closest positive, the farthest negative.
    Easy,
    /// The farthest positive that is closer than the negative, the closest negative that is farther than the positive.
    SemiHard,
    /// The farthest positive, the closest negative.
    Hard,
    /// All of them.
    All,
}

settings! {
    /// Keeps triplets whose negative is farther than the positive, but by no more than a margin
    /// (Schroff et al., CVPR 2015): `0 < d(a,n) - d(a,p) <= margin`.
    SemiHard {
        /// Width of the band.
        margin: f64 = 0.2,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps triplets whose negative is not farther than the positive: `d(a,n) <= d(a,p)`.
    HardMiner {
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps triplets that do not violate a margin: `d(a,n) - d(a,p) > margin`.
    EasyMiner {
        /// The margin.
        margin: f64 = 0.2,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps all triplets that violate a margin: `d(a,n) - d(a,p) <= margin`.
    AllTripletsMiner {
        /// The margin.
        margin: f64 = 0.2,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps the farthest positive and the closest negative of each anchor (Hermans et al., 2017).
    BatchHardMiner {
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps one positive and one negative of each anchor, by strategy (Xuan et al., WACV 2020).
    BatchEasyHardMiner {
        /// Which positive.
        positive: MinerStrategy = MinerStrategy::Easy,
        /// Which negative.
        negative: MinerStrategy = MinerStrategy::SemiHard,
        /// Positives at other distances do not count.
        #[serde(skip_serializing_if = "Option::is_none")]
        positive_range: Option<[f64; 2]> = None,
        /// Negatives at other distances do not count.
        #[serde(skip_serializing_if = "Option::is_none")]
        negative_range: Option<[f64; 2]> = None,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Draws negatives evenly over all distances (Wu et al., ICCV 2017), for Euclidean distances of normalised embeddings.
    DistanceWeightedMiner {
        /// Closer negatives are as likely as those at this distance.
        cutoff: f64 = 0.5,
        /// Negatives that are not closer than this are never drawn.
        nonzero_loss_cutoff: f64 = 1.4,
    }

    /// Keeps a negative more similar than the least similar positive less `epsilon`, and a positive less
    /// similar than the most similar negative plus `epsilon` (Wang et al., CVPR 2019, Eq. 7 and 8).
    MultiSimilarityMiner {
        /// Width of the overlap.
        epsilon: f64 = 0.1,
        /// Absent: the cosine.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps positives farther than one margin and negatives closer than another.
    PairMarginMiner {
        /// Positives must be farther than this.
        pos_margin: f64 = 0.2,
        /// Negatives must be closer than this.
        neg_margin: f64 = 0.8,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps the hardest share of the positive and of the negative pairs (HDC; Yuan et al., ICCV 2017).
    HardAwareMiner {
        /// The share.
        share: f64 = 0.5,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }

    /// Keeps triplets with a wide angle at the negative (Wang et al., ICCV 2017).
    AngularMiner {
        /// The angle must be wider than this.
        degrees: f64 = 20.0,
    }

    /// Draws as many pairs from every range of distances, with replacement.
    UniformHistogramMiner {
        /// How many ranges.
        bins: u32 = 100,
        /// Positive pairs drawn from each.
        pos_per_bin: u32 = 10,
        /// Negative pairs drawn from each.
        neg_per_bin: u32 = 10,
        /// Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
}

impl Miner {
    /// Every miner with its default settings.
    pub fn every() -> Vec<Miner> {
        vec![
            Miner::SemiHard(SemiHard::default()),
            Miner::Hard(HardMiner::default()),
            Miner::Easy(EasyMiner::default()),
            Miner::AllTriplets(AllTripletsMiner::default()),
            Miner::BatchHard(BatchHardMiner::default()),
            Miner::BatchEasyHard(BatchEasyHardMiner::default()),
            Miner::DistanceWeighted(DistanceWeightedMiner::default()),
            Miner::MultiSimilarity(MultiSimilarityMiner::default()),
            Miner::PairMargin(PairMarginMiner::default()),
            Miner::HardAware(HardAwareMiner::default()),
            Miner::Angular(AngularMiner::default()),
            Miner::UniformHistogram(UniformHistogramMiner::default()),
        ]
    }

    /// What there is to know about each, in the order of [`Miner::every`].
    pub const CARDS: &[Card] = &[
        Card::new(
            "semi_hard",
            "triplets with 0 < d_an - d_ap <= margin",
            "Schroff et al., CVPR 2015",
            "",
        ),
        Card::new(
            "hard",
            "triplets with d_an <= d_ap",
            "pytorch-metric-learning",
            "",
        ),
        Card::new(
            "easy",
            "triplets with d_an - d_ap > margin",
            "pytorch-metric-learning",
            "",
        ),
        Card::new(
            "all_triplets",
            "triplets with d_an - d_ap <= margin",
            "pytorch-metric-learning",
            "",
        ),
        Card::new(
            "batch_hard",
            "the farthest positive and the closest negative of each anchor",
            "Hermans, Beyer & Leibe, 2017",
            "",
        ),
        Card::new(
            "batch_easy_hard",
            "one positive and one negative of each anchor: easy, semi_hard, hard, or all of them",
            "Xuan, Stylianou & Pless, WACV 2020",
            "",
        ),
        Card::new(
            "distance_weighted",
            "for each positive pair a negative, drawn evenly over the distances between cutoff and nonzero_loss_cutoff",
            "Wu et al., ICCV 2017",
            "",
        ),
        Card::new(
            "multi_similarity",
            "positives with s - epsilon < max s_an and negatives with s + epsilon > min s_ap",
            "Wang et al., CVPR 2019",
            "epsilon [0, 1]",
        ),
        Card::new(
            "pair_margin",
            "positives with d > pos_margin and negatives with d < neg_margin",
            "pytorch-metric-learning",
            "",
        ),
        Card::new(
            "hard_aware",
            "the hardest share of positive and of negative pairs",
            "Yuan, Yang & Zhang, ICCV 2017",
            "",
        ),
        Card::new(
            "angular",
            "triplets whose angle at the negative is wider than degrees",
            "Wang et al., ICCV 2017",
            "",
        ),
        Card::new(
            "uniform_histogram",
            "as many pairs from each range of distances",
            "pytorch-metric-learning",
            "",
        ),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_miner_has_its_card() {
        let names: Vec<String> = Miner::every()
            .iter()
            .map(|miner| {
                serde_json::to_value(miner)
                    .unwrap()
                    .as_object()
                    .unwrap()
                    .keys()
                    .next()
                    .unwrap()
                    .clone()
            })
            .collect();
        assert_eq!(
            names,
            Miner::CARDS
                .iter()
                .map(|card| card.name)
                .collect::<Vec<_>>()
        );
    }
}
