//! The hardest share of all pairs. Yuan, Yang & Zhang, "Hard-Aware Deeply Cascaded Embedding", ICCV 2017.
//!
//! Of all positive pairs keeps the farthest, of all negative pairs the closest: `ceil(share * number)` of each.
//! Reference: pytorch-metric-learning (PML) `HDCMiner`. Differs: pairs are listed row by row, not by distance, and of
//! equal distances the first are kept; one level, as in PML, while the paper cascades three networks.

use schema::HardAwareMiner;
use tch::{Device, Kind, Tensor};

use super::{Candidates, Miner};
use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    tuples::{MarkedPairs, Pairs, Tuples, at, coordinates},
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
    let (last, _) = distances.kthvalue(count, 0, false);
    let kept = up_to(&distances, &last, count);
    let kept = kept.nonzero().squeeze_dim(1);
    (
        anchors.index_select(0, &kept),
        others.index_select(0, &kept),
    )
}

/// Returns the same share as a mask. The host, which knows how many `pairs` there are, does not wait for a GPU.
fn marked_extremes(
    share: f64,
    pairs: i64,
    distances: &Tensor,
    mask: &Tensor,
    largest: bool,
) -> Tensor {
    let count = number(share, pairs);
    if count == 0 {
        return mask.zeros_like();
    }
    let distances = match largest {
        true => -distances,
        false => distances.shallow_clone(),
    };
    let distances = distances.where_scalarother(mask, f64::INFINITY);
    let distances = distances.flatten(0, 1);
    let (last, _) = distances.kthvalue(count, 0, false);
    up_to(&distances, &last, count)
        .view_as(mask)
        .logical_and(mask)
}

/// Returns how many of some pairs are a share of them.
fn number(share: f64, pairs: i64) -> i64 {
    ((share * pairs as f64).ceil() as i64).clamp(0, pairs)
}

/// Returns a mask of the first `count` of these distances `[t]`: of those below the `last`, and of those equal to it the
/// first.
fn up_to(distances: &Tensor, last: &Tensor, count: i64) -> Tensor {
    let (before, equal) = (distances.less_tensor(last), distances.eq_tensor(last));
    let room = count - before.sum(Kind::Int64);
    let first = equal.logical_and(&equal.cumsum(0, Kind::Int64).le_tensor(&room));
    before.logical_or(&first)
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
        if distances.device() != Device::Cpu {
            let labels = candidates.references.host_labels(candidates.labels);
            let pairs = candidates.positive_pairs().anchors.numel() as i64;
            let marked =
                |pairs, mask, largest| marked_extremes(self.share, pairs, distances, mask, largest);
            return Tuples::MarkedPairs(MarkedPairs {
                positives: marked(pairs, positives, !distance.is_inverted()),
                negatives: marked(labels.negatives(), negatives, distance.is_inverted()),
            });
        }
        let share = |pairs: i64| number(self.share, pairs);
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
