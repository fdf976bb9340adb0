//! Binomial deviance loss as in Deep_Metric (Wang).
//!
//! Terms: one per anchor that has pairs of both kinds, the mean over its positives of `log(1 + exp(-beta (s - base)))`
//! plus the mean over its negatives of `log(1 + exp(alpha (s - base)))`. Their sum over the number of images. With
//! `scaled` the two means are multiplied by `2/beta` and `2/alpha`, as in that program's branch with mining, which is
//! the multi-similarity miner with `epsilon = 0.1`.
//! Reference: Deep_Metric `losses/BinDevianceLoss.py`. Differs: `beta` is 2 there without mining and by default 0 with
//! it, which divides by 0; an image's own copy is known by its index, there by `s` near 1.

use schema::BinomialDm;

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for BinomialDm {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (positives, negatives) = batch.masks();
        let excess = batch.distance.excess_over(&batch.distances(), self.base);
        let (near, filled) = rows::packed(&excess, &positives);
        let pull = rows::mean(&rows::softplus(&(near * self.beta)), &filled);
        let push = rows::mean(&rows::softplus(&(&excess * -self.alpha)), &negatives);
        let sum = if self.scaled {
            pull * (2.0 / self.beta) + push * (2.0 / self.alpha)
        } else {
            pull + push
        };
        let lacks = rows::have_both(&positives, &negatives).logical_not();
        Terms::of([Part::of_anchors(sum.masked_fill(&lacks, 0.0))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = BinomialDm {
            alpha: 7.0,
            beta: 3.0,
            base: 0.4,
            scaled: false,
        };
        let mean = |terms: Vec<f64>| terms.iter().sum::<f64>() / terms.len() as f64;
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let pull = positives
                    .iter()
                    .map(|s| (-3.0 * (s - 0.4)).exp().ln_1p())
                    .collect();
                let push = negatives
                    .iter()
                    .map(|s| (7.0 * (s - 0.4)).exp().ln_1p())
                    .collect();
                mean(pull) + mean(push)
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &BinomialDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
                scaled: true,
            },
            &[0],
        );
        is_empty_for(
            &BinomialDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
                scaled: true,
            },
            &[0, 0, 0],
        );
        is_empty_for(
            &BinomialDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
                scaled: true,
            },
            &[0, 1, 2],
        );
    }
}
