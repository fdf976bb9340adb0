//! Loss of semi-hard pairs, as Deep_Metric (Wang) intends it.
//!
//! Of the positives of an anchor those count that are more similar than its least similar negative, of its negatives
//! those that are less similar than its most similar positive. Terms: one per anchor that has both,
//! `2/beta log(1 + sum exp(-beta (s(a,p) - base))) + 2/alpha log(1 + sum exp(alpha (s(a,n) - base)))`. Their sum over
//! the number of images.
//! Reference: Deep_Metric `losses/SemiHard.py`. Differs: that file is broken; an image's own copy is known by its
//! index. Each pair counts once, even if a miner lists it several times.

use schema::SemiHardDm;

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for SemiHardDm {
    fn terms(&self, batch: &LossInput) -> Terms {
        let distances = batch.distances();
        let (positives, negatives) = batch.masks();
        let fixed = distances.detach();
        let closest_positive = batch.distance.closest_of(&fixed, &positives);
        let farthest_negative = batch.distance.farthest_of(&fixed, &negatives);
        let positives =
            positives.logical_and(&batch.distance.is_farther(&farthest_negative, &fixed));
        let negatives =
            negatives.logical_and(&batch.distance.is_farther(&fixed, &closest_positive));
        let excess = batch.distance.excess_over(&distances, self.base);
        let (near, filled) = rows::packed(&excess, &positives);
        let pull = rows::log_one_plus_sum_exp(&(near * self.beta), &filled) * (2.0 / self.beta);
        let push =
            rows::log_one_plus_sum_exp(&(&excess * -self.alpha), &negatives) * (2.0 / self.alpha);
        let lacks = rows::have_both(&positives, &negatives).logical_not();
        Terms::of([Part::of_anchors((pull + push).masked_fill(&lacks, 0.0))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = SemiHardDm {
            alpha: 7.0,
            beta: 3.0,
            base: 0.4,
        };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let most = positives.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let least = negatives.iter().copied().fold(f64::INFINITY, f64::min);
                let pull: Vec<f64> = positives
                    .iter()
                    .filter(|&&s| s > least)
                    .map(|s| (-3.0 * (s - 0.4)).exp())
                    .collect();
                let push: Vec<f64> = negatives
                    .iter()
                    .filter(|&&s| s < most)
                    .map(|s| (7.0 * (s - 0.4)).exp())
                    .collect();
                if pull.is_empty() || push.is_empty() {
                    return 0.0;
                }
                2.0 / 3.0 * pull.iter().sum::<f64>().ln_1p()
                    + 2.0 / 7.0 * push.iter().sum::<f64>().ln_1p()
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &SemiHardDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
            },
            &[0],
        );
        is_empty_for(
            &SemiHardDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
            },
            &[0, 0, 0],
        );
        is_empty_for(
            &SemiHardDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
            },
            &[0, 1, 2],
        );
    }
}
