//! Pairs on the wrong side of a margin. Hadsell, Chopra & LeCun, CVPR 2006: those that cost something there.
//!
//! Keeps positives farther than `pos_margin` and negatives closer than `neg_margin`.
//! Reference: pytorch-metric-learning `PairMarginMiner`, same order.

use schema::PairMarginMiner;

use super::{Candidates, Miner};
use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    tuples::{MarkedPairs, Tuples},
};

impl Miner for PairMarginMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let Candidates {
            distance,
            distances,
            positives,
            negatives,
            ..
        } = candidates;
        let far = distance.excess_over(distances, self.pos_margin).gt(0.0);
        let close = distance.excess_over(distances, self.neg_margin).lt(0.0);
        Tuples::MarkedPairs(MarkedPairs {
            positives: positives.logical_and(&far),
            negatives: negatives.logical_and(&close),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::partners;
    use super::*;

    #[test]
    fn pairs_at_the_margin_are_not_kept() {
        let miner = PairMarginMiner {
            pos_margin: 0.25,
            neg_margin: 0.75,
            distance: None,
        };
        assert_eq!(
            partners(&miner, &[0.125, 0.25, 0.5], &[0.5, 0.75, 1.0]),
            (vec![3], vec![4])
        );
    }

    #[test]
    fn positives_and_negatives_are_chosen_apart() {
        let miner = PairMarginMiner {
            pos_margin: 0.25,
            neg_margin: 0.75,
            distance: None,
        };
        assert_eq!(partners(&miner, &[], &[0.5]), (vec![], vec![1]));
        assert_eq!(partners(&miner, &[0.5], &[]), (vec![1], vec![]));
        assert_eq!(partners(&miner, &[], &[]), (vec![], vec![]));
    }
}
