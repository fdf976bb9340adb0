//! One positive and one negative for each anchor, by strategy. Xuan, Stylianou & Pless, WACV 2020 (easy positives);
//! Hermans, Beyer & Leibe, 2017 (hard ones).
//!
//! For each anchor: the closest positive (easy), the farthest (hard), the farthest that is closer than the chosen
//! negative (semi-hard), or all; the farthest negative (easy), the closest (hard), the closest that is farther than
//! the chosen positive (semi-hard), or all. Distances may be restricted to a range, both ends included. An anchor
//! that lacks a positive or a negative is left out, unless one of the two is `all`.
//! Reference: pytorch-metric-learning (PML) `BatchEasyHardMiner`, same order. Differs: PML ignores a range beside
//! `all`, here it is refused.

use schema::{BatchEasyHardMiner, MinerStrategy};
use tch::{Device, Tensor};

use super::{Candidates, Miner};
use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    tuples::{MarkedPairs, Pairs, Tuples, coordinates},
};

/// One partner for each anchor.
pub(super) struct Partners {
    /// `[n]`: its distance from the anchor.
    distance: Tensor,
    /// `[n]`: its index among the references.
    pub(super) index: Tensor,
    /// `[n]`: true if there is one.
    pub(super) found: Tensor,
}

impl Partners {
    /// Returns the closest reference that `mask` `[n, m]` marks.
    fn closest(candidates: &Candidates, mask: &Tensor) -> Partners {
        Partners::extreme(candidates, mask, candidates.distance.farthest())
    }

    /// Returns the farthest reference that `mask` `[n, m]` marks.
    fn farthest(candidates: &Candidates, mask: &Tensor) -> Partners {
        Partners::extreme(candidates, mask, -candidates.distance.farthest())
    }

    /// Returns a mask of the partners of those anchors that `kept` `[n]` marks, in the shape of `like` `[n, m]`.
    pub(super) fn marked(&self, kept: &Tensor, like: &Tensor) -> Tensor {
        let partner = self.index.unsqueeze(1);
        like.zeros_like().scatter(1, &partner, &kept.unsqueeze(1))
    }

    /// Returns the reference at the distance opposite to `never`, an infinity.
    fn extreme(candidates: &Candidates, mask: &Tensor, never: f64) -> Partners {
        let values = candidates.distances.masked_fill(&mask.logical_not(), never);
        let (distance, index) = if never > 0.0 {
            values.min_dim(1, false)
        } else {
            values.max_dim(1, false)
        };
        Partners {
            distance,
            index,
            found: mask.any_dim(1, false),
        }
    }
}

/// Returns the positive of each anchor, closer than its negative if the strategy is semi-hard;
/// nothing if all positives are chosen.
fn positives(
    miner: &BatchEasyHardMiner,
    candidates: &Candidates,
    negative: Option<&Partners>,
) -> Option<Partners> {
    let distances = &candidates.distances;
    let mask = in_range(distances, &candidates.positives, miner.positive_range);
    match (miner.positive, negative) {
        (MinerStrategy::All, _) => None,
        (MinerStrategy::Easy, _) => Some(Partners::closest(candidates, &mask)),
        (MinerStrategy::Hard, _) | (MinerStrategy::SemiHard, None) => {
            Some(Partners::farthest(candidates, &mask))
        }
        (MinerStrategy::SemiHard, Some(negative)) => {
            let negative = negative.distance.unsqueeze(1);
            let gap = candidates.distance.excess(&negative, distances);
            let mask = mask.logical_and(&gap.gt(0.0));
            Some(Partners::farthest(candidates, &mask))
        }
    }
}

/// Returns the negative of each anchor, farther than its positive if the strategy is semi-hard;
/// nothing if all negatives are chosen.
fn negatives(
    miner: &BatchEasyHardMiner,
    candidates: &Candidates,
    positive: Option<&Partners>,
) -> Option<Partners> {
    let distances = &candidates.distances;
    let mask = in_range(distances, &candidates.negatives, miner.negative_range);
    match (miner.negative, positive) {
        (MinerStrategy::All, _) => None,
        (MinerStrategy::Easy, _) => Some(Partners::farthest(candidates, &mask)),
        (MinerStrategy::Hard, _) | (MinerStrategy::SemiHard, None) => {
            Some(Partners::closest(candidates, &mask))
        }
        (MinerStrategy::SemiHard, Some(positive)) => {
            let positive = positive.distance.unsqueeze(1);
            let gap = candidates.distance.excess(distances, &positive);
            let mask = mask.logical_and(&gap.gt(0.0));
            Some(Partners::closest(candidates, &mask))
        }
    }
}

/// Returns the positives and the negatives. A semi-hard strategy is relative to the other one, which
/// is applied first.
pub(super) fn both(
    miner: &BatchEasyHardMiner,
    candidates: &Candidates,
) -> (Option<Partners>, Option<Partners>) {
    if miner.positive == MinerStrategy::SemiHard {
        let negatives = negatives(miner, candidates, None);
        let positives = positives(miner, candidates, negatives.as_ref());
        return (positives, negatives);
    }
    let positives = positives(miner, candidates, None);
    let negatives = negatives(miner, candidates, positives.as_ref());
    (positives, negatives)
}

/// Returns what `mask` marks at distances in the range, both ends included.
fn in_range(distances: &Tensor, mask: &Tensor, range: Option<[f64; 2]>) -> Tensor {
    let Some([low, high]) = range else {
        return mask.shallow_clone();
    };
    mask.logical_and(&distances.ge(low))
        .logical_and(&distances.le(high))
}

/// Returns the indices of what a mask `[n]` marks.
fn places(mask: &Tensor) -> Tensor {
    mask.nonzero().select(1, 0)
}

impl Miner for BatchEasyHardMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let (positives, negatives) = both(self, candidates);
        // Of an anchor that has one of each kind, one of each kind.
        let both = match (&positives, &negatives) {
            (Some(positives), Some(negatives)) => {
                Some(positives.found.logical_and(&negatives.found))
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        };
        if candidates.distances.device() != Device::Cpu {
            // The host would wait for the length of a list.
            let mask = |partners: Option<Partners>, all: &Tensor| match partners {
                Some(partners) => partners.marked(both.as_ref().unwrap_or(&partners.found), all),
                None => all.shallow_clone(),
            };
            return Tuples::MarkedPairs(MarkedPairs {
                positives: mask(positives, &candidates.positives),
                negatives: mask(negatives, &candidates.negatives),
            });
        }
        let both = both.as_ref().map(places);
        let pairs = |partners: Option<Partners>, all: &Tensor| {
            let Some(Partners { index, found, .. }) = partners else {
                return coordinates(all);
            };
            let anchor = match &both {
                Some(both) => both.shallow_clone(),
                None => places(&found),
            };
            let other = index.index_select(0, &anchor);
            (anchor, other)
        };
        let (anchor_pos, positive) = pairs(positives, &candidates.positives);
        let (anchor_neg, negative) = pairs(negatives, &candidates.negatives);
        Tuples::Pairs(Pairs {
            anchor_pos,
            positive,
            anchor_neg,
            negative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::partners;
    use super::*;

    fn miner(positive: MinerStrategy, negative: MinerStrategy) -> BatchEasyHardMiner {
        BatchEasyHardMiner {
            positive,
            negative,
            ..BatchEasyHardMiner::default()
        }
    }

    #[test]
    fn each_strategy_chooses_its_partner() {
        use MinerStrategy::{All, Easy, Hard, SemiHard};
        let chosen = |positive, negative| {
            let miner = miner(positive, negative);
            partners(&miner, &[1.0, 2.0, 3.0], &[0.5, 1.5, 2.5, 3.5])
        };
        assert_eq!(chosen(Easy, Hard), (vec![1], vec![4]));
        assert_eq!(chosen(Hard, Easy), (vec![3], vec![7]));
        assert_eq!(chosen(Easy, SemiHard), (vec![1], vec![5]));
        assert_eq!(chosen(Hard, SemiHard), (vec![3], vec![7]));
        assert_eq!(chosen(SemiHard, Easy), (vec![3], vec![7]));
        // Every positive is farther than the hardest negative: there is no semi-hard one, and the
        // anchor is left out.
        assert_eq!(chosen(SemiHard, Hard), (vec![], vec![]));
        assert_eq!(chosen(All, Hard), (vec![1, 2, 3], vec![4]));
        assert_eq!(chosen(Easy, All), (vec![1], vec![4, 5, 6, 7]));
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        use MinerStrategy::{Easy, Hard, SemiHard};
        let nothing = (Vec::new(), Vec::new());
        for (positive, negative) in [(Easy, SemiHard), (SemiHard, Hard)] {
            let miner = miner(positive, negative);
            assert_eq!(partners(&miner, &[], &[0.5, 1.0]), nothing);
            assert_eq!(partners(&miner, &[0.5, 1.0], &[]), nothing);
        }
    }
}
