//! Hard-mining loss as in Deep_Metric (Wang): the pairs of the multi-similarity miner, without weights.
//!
//! Of the positives of an anchor those count that are less similar than its most similar negative plus `margin`, of its
//! negatives those that are more similar than its least similar positive minus `margin`. Terms: one per anchor that has
//! both, the mean over its positives of `1 - s(a,p)` plus the mean over its negatives of `s(a,n)`. Their sum over the
//! number of images. A term may be negative.
//! Reference: Deep_Metric `losses/HardMining.py`, whose margin is 0.1. Differs: an image's own copy is known by its
//! index, there by `s` of 1; an anchor without pairs of one kind costs nothing, there the program fails. Each pair counts
//! once, even if a miner lists it several times.

use schema::HardMiningDm;

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for HardMiningDm {
    fn terms(&self, batch: &LossInput) -> Terms {
        let closeness = batch.closeness();
        let (positives, negatives) = batch.masks();
        let fixed = closeness.detach();
        let farthest_positive = batch.distance.farthest_of(&fixed, &positives);
        let closest_negative = batch.distance.closest_of(&fixed, &negatives);
        let positives =
            positives.logical_and(&fixed.less_tensor(&(closest_negative + self.margin)));
        let negatives =
            negatives.logical_and(&fixed.greater_tensor(&(farthest_positive - self.margin)));
        let (near, filled) = rows::packed(&(1.0 - &closeness), &positives);
        let values = rows::mean(&near, &filled) + rows::mean(&closeness, &negatives);
        let lacks = rows::have_both(&positives, &negatives).logical_not();
        Terms::of([Part::of_anchors(values.masked_fill(&lacks, 0.0))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_mean_of_hard_pairs_written_as_a_loop() {
        for margin in [0.1, -0.2, 3.0] {
            let loss = HardMiningDm { margin };
            let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len() as f64;
            let terms = sides(loss.distance()).into_iter().map(|(p, n)| {
                let least = p.iter().copied().fold(f64::INFINITY, f64::min);
                let most = n.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let p: Vec<f64> = p.into_iter().filter(|s| *s < most + margin).collect();
                let n: Vec<f64> = n.into_iter().filter(|s| *s > least - margin).collect();
                match p.is_empty() || n.is_empty() {
                    true => 0.0,
                    false => 1.0 - mean(p) + mean(n),
                }
            });
            assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&HardMiningDm::default(), &[0, 0, 0]);
        is_empty_for(&HardMiningDm::default(), &[0, 1, 2]);
    }
}
