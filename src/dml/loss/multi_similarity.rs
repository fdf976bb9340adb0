//! Multi-similarity loss. Wang et al., CVPR 2019, Eq. 15.
//!
//! Terms: one per anchor, `1/alpha log(1 + sum over positives of exp(-alpha (s - base)))` plus
//! `1/beta log(1 + sum over negatives of exp(beta (s - base)))`, reduced to the mean over *all* anchors, also
//! those without a pair. Each pair counts once, however often a miner lists it.
//! Reference: pytorch-metric-learning (PML) `MultiSimilarityLoss`. Differs: a batch with a single positive and a
//! single negative pair counts, while PML calls it empty.

use schema::MultiSimilarity;

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for MultiSimilarity {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (positives, negatives) = batch.masks();
        let excess = batch.distance.excess_over(&batch.distances(), self.base);
        let (near, filled) = rows::packed(&excess, &positives);
        let pull = rows::log_one_plus_sum_exp(&(near * self.alpha), &filled) / self.alpha;
        let push = rows::log_one_plus_sum_exp(&(&excess * -self.beta), &negatives) / self.beta;
        Terms::of([Part::of_anchors(pull + push)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = MultiSimilarity {
            alpha: 3.0,
            beta: 7.0,
            base: 0.4,
        };
        let (_, similarities, labels) = batch(loss.distance());
        let mut sum = 0.0;
        for a in 0..12 {
            let (mut positives, mut negatives) = (0.0, 0.0);
            for b in (0..12).filter(|&b| b != a) {
                match labels[a] == labels[b] {
                    true => positives += (-3.0 * (similarities[a][b] - 0.4)).exp(),
                    false => negatives += (7.0 * (similarities[a][b] - 0.4)).exp(),
                }
            }
            sum += f64::ln_1p(positives) / 3.0 + f64::ln_1p(negatives) / 7.0;
        }
        assert!((of_all_pairs(&loss) - sum / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_pairs_is_empty() {
        is_empty_for(
            &MultiSimilarity {
                alpha: 2.0,
                beta: 50.0,
                base: 0.5,
            },
            &[0],
        );
    }

    #[test]
    fn a_thousandfold_sharpness_does_not_overflow() {
        let loss = MultiSimilarity {
            alpha: 1e4,
            beta: 1e5,
            base: -1.0,
        };
        assert!(of_all_pairs(&loss).is_finite());
    }
}
