//! Miners, as a recipe names them: which of a batch's pairs or triplets the loss sees.

use serde::{Deserialize, Serialize};

use crate::Card;

/// A miner with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// What a miner judges by, if not by its usual distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinerDistance {
    /// The Euclidean distance.
    Euclidean,
    /// Its square.
    SquaredEuclidean,
    /// The cosine similarity.
    Cosine,
}

/// Keeps triplets whose negative is farther than the positive, but by no more than a margin
/// (Schroff et al., CVPR 2015): `0 < d(a,n) - d(a,p) <= margin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SemiHard {
    /// Width of the band.
    pub margin: f64,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for SemiHard {
    fn default() -> Self {
        SemiHard { margin: 0.2, distance: None }
    }
}

/// Keeps triplets whose negative is not farther than the positive: `d(a,n) <= d(a,p)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardMiner {
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

/// Keeps triplets that do not violate a margin: `d(a,n) - d(a,p) > margin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EasyMiner {
    /// The margin.
    pub margin: f64,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for EasyMiner {
    fn default() -> Self {
        EasyMiner { margin: 0.2, distance: None }
    }
}

/// Keeps all triplets that violate a margin: `d(a,n) - d(a,p) <= margin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllTripletsMiner {
    /// The margin.
    pub margin: f64,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for AllTripletsMiner {
    fn default() -> Self {
        AllTripletsMiner { margin: 0.2, distance: None }
    }
}

/// Keeps the farthest positive and the closest negative of each anchor (Hermans et al., 2017).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchHardMiner {
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

/// Keeps one positive and one negative of each anchor, by strategy (Xuan et al., WACV 2020).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchEasyHardMiner {
    /// Which positive.
    pub positive: MinerStrategy,
    /// Which negative.
    pub negative: MinerStrategy,
    /// Positives at other distances do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_range: Option<[f64; 2]>,
    /// Negatives at other distances do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative_range: Option<[f64; 2]>,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for BatchEasyHardMiner {
    fn default() -> Self {
        BatchEasyHardMiner {
            positive: MinerStrategy::Easy,
            negative: MinerStrategy::SemiHard,
            positive_range: None,
            negative_range: None,
            distance: None,
        }
    }
}

/// Which partner of an anchor is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Draws negatives evenly over all distances (Wu et al., ICCV 2017), for Euclidean distances of normalised embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistanceWeightedMiner {
    /// Closer negatives are as likely as those at this distance.
    pub cutoff: f64,
    /// Negatives that are not closer than this are never drawn.
    pub nonzero_loss_cutoff: f64,
}

impl Default for DistanceWeightedMiner {
    fn default() -> Self {
        DistanceWeightedMiner { cutoff: 0.5, nonzero_loss_cutoff: 1.4 }
    }
}

/// Keeps a negative more similar than the least similar positive less `epsilon`, and a positive less
/// similar than the most similar negative plus `epsilon` (Wang et al., CVPR 2019, Eq. 7 and 8).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MultiSimilarityMiner {
    /// Width of the overlap.
    pub epsilon: f64,
    /// Absent: the cosine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for MultiSimilarityMiner {
    fn default() -> Self {
        MultiSimilarityMiner { epsilon: 0.1, distance: None }
    }
}

/// Keeps positives farther than one margin and negatives closer than another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairMarginMiner {
    /// Positives must be farther than this.
    pub pos_margin: f64,
    /// Negatives must be closer than this.
    pub neg_margin: f64,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for PairMarginMiner {
    fn default() -> Self {
        PairMarginMiner { pos_margin: 0.2, neg_margin: 0.8, distance: None }
    }
}

/// Keeps the hardest share of the positive and of the negative pairs (HDC; Yuan et al., ICCV 2017).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardAwareMiner {
    /// The share.
    pub share: f64,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for HardAwareMiner {
    fn default() -> Self {
        HardAwareMiner { share: 0.5, distance: None }
    }
}

/// Keeps triplets with a wide angle at the negative (Wang et al., ICCV 2017).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AngularMiner {
    /// The angle must be wider than this.
    pub degrees: f64,
}

impl Default for AngularMiner {
    fn default() -> Self {
        AngularMiner { degrees: 20.0 }
    }
}

/// Draws as many pairs from every range of distances, with replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UniformHistogramMiner {
    /// How many ranges.
    pub bins: u32,
    /// Positive pairs drawn from each.
    pub pos_per_bin: u32,
    /// Negative pairs drawn from each.
    pub neg_per_bin: u32,
    /// Absent: Euclidean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<MinerDistance>,
}

impl Default for UniformHistogramMiner {
    fn default() -> Self {
        UniformHistogramMiner { bins: 100, pos_per_bin: 10, neg_per_bin: 10, distance: None }
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
        Card::new("semi_hard", "triplets with 0 < d_an - d_ap <= margin", "Schroff et al., CVPR 2015", ""),
        Card::new("hard", "triplets with d_an <= d_ap", "pytorch-metric-learning", ""),
        Card::new("easy", "triplets with d_an - d_ap > margin", "pytorch-metric-learning", ""),
        Card::new("all_triplets", "triplets with d_an - d_ap <= margin", "pytorch-metric-learning", ""),
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
        Card::new("uniform_histogram", "as many pairs from each range of distances", "pytorch-metric-learning", ""),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_miner_has_its_card() {
        let names: Vec<String> = Miner::every()
            .iter()
            .map(|miner| serde_json::to_value(miner).unwrap().as_object().unwrap().keys().next().unwrap().clone())
            .collect();
        assert_eq!(names, Miner::CARDS.iter().map(|card| card.name).collect::<Vec<_>>());
    }
}
