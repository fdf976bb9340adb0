//! One positive and one negative for each anchor, by strategy. Xuan, Stylianou & Pless, WACV 2020 (easy positives);
//! Hermans, Beyer & Leibe, 2017 (hard ones).
//!
//! For each anchor: the closest positive (easy), the farthest (hard), the farthest that is closer than the chosen
//! negative (semi-hard), or all; the farthest negative (easy), the closest (hard), the closest that is farther than
//! the chosen positive (semi-hard), or all. Distances may be restricted to a range, both ends included. An anchor
//! that lacks a positive or a negative is left out, unless one of the two is `all`.
//! Reference: pytorch-metric-learning (PML) `BatchEasyHardMiner`, same order. Differs: PML ignores a range beside
//! `all`, here it is refused.

use tch::Tensor;

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Pairs, Tuples, coordinates},
};

/// Chooses an extreme positive and an extreme negative of each anchor.
#[derive(Clone, Debug)]
pub struct BatchEasyHard {
    positive: Strategy,
    negative: Strategy,
    positive_range: Option<[f64; 2]>,
    negative_range: Option<[f64; 2]>,
}

/// Which partner of an anchor is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The one that costs least: the closest positive, the farthest negative.
    Easy,
    /// The hardest that still leaves the positive closer than the negative.
    SemiHard,
    /// The one that costs most: the farthest positive, the closest negative.
    Hard,
    /// All of them.
    All,
}

/// Settings that contradict each other.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum MinerError {
    /// Each would wait for the other.
    #[error(
        "positives and negatives cannot both be semi-hard: each is chosen relative to the other"
    )]
    BothSemiHard,
    /// There is no one partner to compare with.
    #[error("semi-hard is relative to one positive or negative, it cannot be used beside `all`")]
    SemiHardBesideAll,
    /// The range would do nothing.
    #[error("a range restricts which one is chosen, it has no meaning for `all`")]
    RangeOfAll,
    /// The range is empty.
    #[error("no distance lies in the range from {low} to {high}")]
    EmptyRange {
        /// Its lower end.
        low: f64,
        /// Its upper end.
        high: f64,
    },
}

/// One partner for each anchor.
struct Partners {
    /// `[n]`: how far it is.
    distance: Tensor,
    /// `[n]`: which it is.
    place: Tensor,
    /// `[n]`: whether there is one.
    found: Tensor,
}

impl Partners {
    /// The closest of what `mask` `[n, m]` marks.
    fn closest(candidates: &Candidates, mask: &Tensor) -> Partners {
        Partners::extreme(candidates, mask, candidates.distance.farthest())
    }

    /// The farthest of what `mask` `[n, m]` marks.
    fn farthest(candidates: &Candidates, mask: &Tensor) -> Partners {
        Partners::extreme(candidates, mask, -candidates.distance.farthest())
    }

    /// The one that is most unlike `never`, an infinity.
    fn extreme(candidates: &Candidates, mask: &Tensor, never: f64) -> Partners {
        let values = candidates.distances.masked_fill(&mask.logical_not(), never);
        let (distance, place) = if never > 0.0 {
            values.min_dim(1, false)
        } else {
            values.max_dim(1, false)
        };
        Partners {
            distance,
            place,
            found: mask.any_dim(1, false),
        }
    }
}

impl BatchEasyHard {
    /// Returns a miner with these strategies.
    ///
    /// # Errors
    /// If they do not go together.
    pub fn new(positive: Strategy, negative: Strategy) -> Result<BatchEasyHard, MinerError> {
        match (positive, negative) {
            (Strategy::SemiHard, Strategy::SemiHard) => Err(MinerError::BothSemiHard),
            (Strategy::SemiHard, Strategy::All) | (Strategy::All, Strategy::SemiHard) => {
                Err(MinerError::SemiHardBesideAll)
            }
            (
                Strategy::Easy | Strategy::Hard | Strategy::All | Strategy::SemiHard,
                Strategy::Easy | Strategy::Hard | Strategy::All | Strategy::SemiHard,
            ) => Ok(BatchEasyHard {
                positive,
                negative,
                positive_range: None,
                negative_range: None,
            }),
        }
    }

    /// The same strategy, easy or hard, for both.
    pub(super) fn both(strategy: Strategy) -> BatchEasyHard {
        BatchEasyHard {
            positive: strategy,
            negative: strategy,
            positive_range: None,
            negative_range: None,
        }
    }

    /// Considers only positives and only negatives whose distance or similarity lies in these ranges.
    ///
    /// # Errors
    /// If a range is empty, or does nothing.
    pub fn within(
        self,
        positive_range: Option<[f64; 2]>,
        negative_range: Option<[f64; 2]>,
    ) -> Result<BatchEasyHard, MinerError> {
        for (range, strategy) in [
            (positive_range, self.positive),
            (negative_range, self.negative),
        ] {
            match range {
                Some(_) if strategy == Strategy::All => return Err(MinerError::RangeOfAll),
                Some([low, high]) if low.is_nan() || high.is_nan() || low > high => {
                    return Err(MinerError::EmptyRange { low, high });
                }
                Some(_) | None => {}
            }
        }
        Ok(BatchEasyHard {
            positive_range,
            negative_range,
            ..self
        })
    }

    /// The positive of each anchor, closer than its negative if that matters; nothing if all are wanted.
    fn positives(&self, candidates: &Candidates, negative: Option<&Partners>) -> Option<Partners> {
        let mask = in_range(
            &candidates.distances,
            &candidates.positives,
            self.positive_range,
        );
        match (self.positive, negative) {
            (Strategy::All, _) => None,
            (Strategy::Easy, _) => Some(Partners::closest(candidates, &mask)),
            (Strategy::Hard, _) | (Strategy::SemiHard, None) => {
                Some(Partners::farthest(candidates, &mask))
            }
            (Strategy::SemiHard, Some(negative)) => {
                let gap = candidates
                    .distance
                    .excess(&negative.distance.unsqueeze(1), &candidates.distances);
                Some(Partners::farthest(
                    candidates,
                    &mask.logical_and(&gap.gt(0.0)),
                ))
            }
        }
    }

    /// The negative of each anchor, farther than its positive if that matters; nothing if all are wanted.
    fn negatives(&self, candidates: &Candidates, positive: Option<&Partners>) -> Option<Partners> {
        let mask = in_range(
            &candidates.distances,
            &candidates.negatives,
            self.negative_range,
        );
        match (self.negative, positive) {
            (Strategy::All, _) => None,
            (Strategy::Easy, _) => Some(Partners::farthest(candidates, &mask)),
            (Strategy::Hard, _) | (Strategy::SemiHard, None) => {
                Some(Partners::closest(candidates, &mask))
            }
            (Strategy::SemiHard, Some(positive)) => {
                let gap = candidates
                    .distance
                    .excess(&candidates.distances, &positive.distance.unsqueeze(1));
                Some(Partners::closest(
                    candidates,
                    &mask.logical_and(&gap.gt(0.0)),
                ))
            }
        }
    }

    /// The one that is chosen relative to the other comes second.
    fn partners(&self, candidates: &Candidates) -> (Option<Partners>, Option<Partners>) {
        if self.positive == Strategy::SemiHard {
            let negatives = self.negatives(candidates, None);
            return (self.positives(candidates, negatives.as_ref()), negatives);
        }
        let positives = self.positives(candidates, None);
        let negatives = self.negatives(candidates, positives.as_ref());
        (positives, negatives)
    }
}

/// What `mask` marks at distances in the range.
fn in_range(distances: &Tensor, mask: &Tensor, range: Option<[f64; 2]>) -> Tensor {
    let Some([low, high]) = range else {
        return mask.shallow_clone();
    };
    mask.logical_and(&distances.ge(low))
        .logical_and(&distances.le(high))
}

impl Miner for BatchEasyHard {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let (positives, negatives) = self.partners(candidates);
        let both = match (&positives, &negatives) {
            (Some(positives), Some(negatives)) => {
                Some(positives.found.logical_and(&negatives.found))
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        };
        let pairs = |partners: Option<Partners>, all: &Tensor| {
            let Some(Partners { place, found, .. }) = partners else {
                return coordinates(all);
            };
            let anchor = both.as_ref().unwrap_or(&found).nonzero().select(1, 0);
            let other = place.index_select(0, &anchor);
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
    use serde_json::Value;

    use super::super::tests::{agrees_with_the_reference_in_its_order, partners};
    use super::*;

    const ALL: [Strategy; 4] = [
        Strategy::Easy,
        Strategy::SemiHard,
        Strategy::Hard,
        Strategy::All,
    ];

    fn strategy(name: &Value) -> Strategy {
        match name.as_str().unwrap() {
            "easy" => Strategy::Easy,
            "semihard" => Strategy::SemiHard,
            "hard" => Strategy::Hard,
            "all" => Strategy::All,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn each_strategy_chooses_its_partner() {
        let chosen = |positive, negative| {
            let miner = BatchEasyHard::new(positive, negative).unwrap();
            partners(&miner, &[1.0, 2.0, 3.0], &[0.5, 1.5, 2.5, 3.5])
        };
        assert_eq!(chosen(Strategy::Easy, Strategy::Hard), (vec![1], vec![4]));
        assert_eq!(chosen(Strategy::Hard, Strategy::Easy), (vec![3], vec![7]));
        assert_eq!(
            chosen(Strategy::Easy, Strategy::SemiHard),
            (vec![1], vec![5])
        );
        assert_eq!(
            chosen(Strategy::Hard, Strategy::SemiHard),
            (vec![3], vec![7])
        );
        assert_eq!(
            chosen(Strategy::SemiHard, Strategy::Easy),
            (vec![3], vec![7])
        );
        // Every positive is farther than the hardest negative: there is no semi-hard one, and the anchor is left out.
        assert_eq!(chosen(Strategy::SemiHard, Strategy::Hard), (vec![], vec![]));
        assert_eq!(
            chosen(Strategy::All, Strategy::Hard),
            (vec![1, 2, 3], vec![4])
        );
        assert_eq!(
            chosen(Strategy::Easy, Strategy::All),
            (vec![1], vec![4, 5, 6, 7])
        );
    }

    #[test]
    fn choices_are_those_of_the_reference_in_its_order() {
        agrees_with_the_reference_in_its_order("batch_easy_hard", |settings| {
            let range = |name: &str| serde_json::from_value(settings[name].clone()).unwrap();
            let miner = BatchEasyHard::new(
                strategy(&settings["pos_strategy"]),
                strategy(&settings["neg_strategy"]),
            );
            let ranges = (range("allowed_pos_range"), range("allowed_neg_range"));
            Box::new(miner.unwrap().within(ranges.0, ranges.1).unwrap())
        });
    }

    #[test]
    fn strategies_that_contradict_each_other_are_refused() {
        let refused = |positive, negative| BatchEasyHard::new(positive, negative).err();
        assert_eq!(
            refused(Strategy::SemiHard, Strategy::SemiHard),
            Some(MinerError::BothSemiHard)
        );
        assert_eq!(
            refused(Strategy::SemiHard, Strategy::All),
            Some(MinerError::SemiHardBesideAll)
        );
        assert_eq!(
            refused(Strategy::All, Strategy::SemiHard),
            Some(MinerError::SemiHardBesideAll)
        );
        let legal = ALL
            .into_iter()
            .flat_map(|p| ALL.map(|n| (p, n)))
            .filter(|&(p, n)| refused(p, n).is_none());
        assert_eq!(legal.count(), 13);
        let all = || BatchEasyHard::new(Strategy::All, Strategy::Hard).unwrap();
        assert_eq!(
            all().within(Some([0.0, 1.0]), None).unwrap_err(),
            MinerError::RangeOfAll
        );
        let error = all().within(None, Some([1.0, 0.5])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no distance lies in the range from 1 to 0.5"
        );
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        let nothing = (Vec::new(), Vec::new());
        for (positive, negative) in [
            (Strategy::Easy, Strategy::SemiHard),
            (Strategy::SemiHard, Strategy::Hard),
        ] {
            let miner = BatchEasyHard::new(positive, negative).unwrap();
            assert_eq!(partners(&miner, &[], &[0.5, 1.0]), nothing);
            assert_eq!(partners(&miner, &[0.5, 1.0], &[]), nothing);
        }
    }
}
