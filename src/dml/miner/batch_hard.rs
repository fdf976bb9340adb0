//! The hardest positive and negative of each anchor. Hermans, Beyer & Leibe, 2017, "In Defense of the Triplet Loss".
//!
//! One triplet for each anchor that has both: its farthest positive and its closest negative. Often called
//! semi-hard elsewhere, which it is not.
//! Reference: pytorch-metric-learning `BatchHardMiner`, same order.

use schema::{BatchEasyHardMiner, BatchHardMiner, MinerStrategy};
use tch::{Device, Kind, Tensor};

use super::{Candidates, Miner, batch_easy_hard::both};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{MarkedTriplets, Triplets, Tuples},
};

impl Miner for BatchHardMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        let hardest = BatchEasyHardMiner {
            positive: MinerStrategy::Hard,
            negative: MinerStrategy::Hard,
            ..BatchEasyHardMiner::default()
        };
        if candidates.distances.device() != Device::Cpu
            && let (Some(positives), Some(negatives)) = both(&hardest, candidates)
        {
            let found = positives.found.logical_and(&negatives.found);
            let images = candidates.distances.size()[0];
            return Tuples::MarkedTriplets(MarkedTriplets {
                anchor: Tensor::arange(images, (Kind::Int64, found.device())),
                positive: positives.index,
                negatives: negatives.marked(&found, &candidates.negatives),
            });
        }
        // Either list has one pair for each anchor that is left.
        let pairs = hardest.choose(candidates, draws).pairs();
        Tuples::Triplets(Triplets {
            anchor: pairs.anchor_pos,
            positive: pairs.positive,
            negative: pairs.negative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::partners;
    use super::*;

    #[test]
    fn the_farthest_positive_meets_the_closest_negative() {
        assert_eq!(
            partners(
                &BatchHardMiner::default(),
                &[0.5, 2.0, 1.0],
                &[3.0, 0.25, 0.75]
            ),
            (vec![2], vec![5])
        );
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        assert_eq!(
            partners(&BatchHardMiner::default(), &[], &[0.5, 1.0]),
            (Vec::new(), Vec::new())
        );
        assert_eq!(
            partners(&BatchHardMiner::default(), &[0.5, 1.0], &[]),
            (Vec::new(), Vec::new())
        );
    }
}
