//! The hardest share of all pairs. Yuan, Yang & Zhang, "Hard-Aware Deeply Cascaded Embedding", ICCV 2017.
//!
//! Of all positive pairs keeps the farthest, of all negative pairs the closest: `ceil(share * number)` of each.
//! Reference: pytorch-metric-learning `HDCMiner`, same order but among equal distances, where the first in the order
//! of rows is kept here. Differs: one level, as in PML; the paper cascades three networks.

use tch::Tensor;

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Pairs, Tuples, at, coordinates},
};

/// Chooses a share of the pairs.
#[derive(Clone, Debug)]
pub struct HardAware {
    /// The share that is kept, above 0 and at most 1.
    pub share: f64,
}

impl HardAware {
    /// The first of the pairs that `mask` marks, from large to small or from small to large.
    fn first(&self, distances: &Tensor, mask: &Tensor, from_large: bool) -> (Tensor, Tensor) {
        let (anchors, others) = coordinates(mask);
        let count = (self.share * anchors.numel() as f64).ceil() as i64;
        let order = at(distances, &anchors, &others).argsort_stable(true, 0, from_large);
        let kept = order.narrow(0, 0, count.clamp(0, anchors.numel() as i64));
        (anchors.index_select(0, &kept), others.index_select(0, &kept))
    }
}

impl Miner for HardAware {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let Candidates { distance, distances, positives, negatives, .. } = candidates;
        let (anchor_pos, positive) = self.first(distances, positives, !distance.is_inverted());
        let (anchor_neg, negative) = self.first(distances, negatives, distance.is_inverted());
        Tuples::Pairs(Pairs { anchor_pos, positive, anchor_neg, negative })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with_the_reference, partners};
    use super::*;

    #[test]
    fn the_hardest_share_is_kept_and_rounded_up() {
        let chosen = |share| partners(&HardAware { share }, &[0.5, 2.0, 1.0], &[3.0, 0.25, 0.75, 0.25]);
        assert_eq!(chosen(0.5), (vec![2, 3], vec![5, 7]));
        assert_eq!(chosen(1e-9), (vec![2], vec![5]));
        assert_eq!(chosen(1.0), (vec![2, 3, 1], vec![5, 7, 6, 4]));
    }

    #[test]
    fn choices_are_those_of_the_reference() {
        agrees_with_the_reference("hard_aware", |settings| {
            Box::new(HardAware { share: settings["filter_percentage"].as_f64().unwrap() })
        });
    }

    #[test]
    fn positives_and_negatives_are_chosen_apart() {
        let miner = HardAware { share: 0.5 };
        assert_eq!(partners(&miner, &[], &[0.5, 1.0]), (vec![], vec![1]));
        assert_eq!(partners(&miner, &[0.5, 1.0], &[]), (vec![2], vec![]));
    }
}
