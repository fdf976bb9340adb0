//! The hardest share of all pairs. Yuan, Yang & Zhang, "Hard-Aware Deeply Cascaded Embedding", ICCV 2017.
//!
//! Of all positive pairs keeps the farthest, of all negative pairs the closest: `ceil(share * number)` of each.
//! Reference: pytorch-metric-learning (PML) `HDCMiner`. Differs: pairs are listed row by row, not by distance, and of
//! equal distances the first are kept; one level, as in PML, while the paper cascades three networks.

use schema::HardAwareMiner;
use tch::{Kind, Tensor};

use super::{Candidates, Miner};
use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    tuples::{Pairs, Tuples, at, coordinates},
};

/// Returns some of the pairs that `mask` marks, the farthest or the closest, in row order; `count` returns how many of a
/// number of pairs.
pub(crate) fn extremes(
    count: impl Fn(i64) -> i64,
    distances: &Tensor,
    mask: &Tensor,
    largest: bool,
) -> (Tensor, Tensor) {
    let (anchors, others) = coordinates(mask);
    let pairs = anchors.numel() as i64;
    let count = count(pairs).min(pairs);
    if count <= 0 {
        return (anchors.narrow(0, 0, 0), others.narrow(0, 0, 0));
    }
    let distances = at(distances, &anchors, &others);
    let distances = if largest { -distances } else { distances };
    // Pairs closer than the last kept one are kept, and of the pairs equal to it the first.
    let (last, _) = distances.kthvalue(count, 0, false);
    let (before, equal) = (distances.less_tensor(&last), distances.eq_tensor(&last));
    let room = count - before.sum(Kind::Int64);
    let first = equal.logical_and(&equal.cumsum(0, Kind::Int64).le_tensor(&room));
    let kept = before.logical_or(&first).nonzero().squeeze_dim(1);
    (
        anchors.index_select(0, &kept),
        others.index_select(0, &kept),
    )
}

impl Miner for HardAwareMiner {
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
        let share = |pairs: i64| (self.share * pairs as f64).ceil() as i64;
        let (anchor_pos, positive) = extremes(share, distances, positives, !distance.is_inverted());
        let (anchor_neg, negative) = extremes(share, distances, negatives, distance.is_inverted());
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

    #[test]
    fn the_hardest_share_is_kept_and_rounded_up() {
        let chosen = |share| {
            partners(
                &HardAwareMiner {
                    share,
                    distance: None,
                },
                &[0.5, 2.0, 1.0],
                &[3.0, 0.25, 0.75, 0.25],
            )
        };
        assert_eq!(chosen(0.5), (vec![2, 3], vec![5, 7]));
        assert_eq!(chosen(1e-9), (vec![2], vec![5]));
        assert_eq!(chosen(1.0), (vec![1, 2, 3], vec![4, 5, 6, 7]));
    }

    #[test]
    fn positives_and_negatives_are_chosen_apart() {
        let miner = HardAwareMiner::default();
        assert_eq!(partners(&miner, &[], &[0.5, 1.0]), (vec![], vec![1]));
        assert_eq!(partners(&miner, &[0.5, 1.0], &[]), (vec![2], vec![]));
    }
}
