//! Circle loss. Sun et al., CVPR 2020, for pairs.
//!
//! Terms: one per anchor that has pairs of both kinds, `log(1 + sum exp(gamma w(n) (s(a,n) - m)) *
//! sum exp(-gamma w(p) (s(a,p) - 1 + m)))` with `w(n) = max(0, s(a,n) + m)` and `w(p) = max(0, 1 + m - s(a,p))`,
//! reduced to the mean of the non-zero ones. No gradient flows through the weights. Each pair counts once, even if a
//! miner lists it several times.
//! Reference: pytorch-metric-learning (PML) `CircleLoss`. Differs: a batch with a single positive and a single
//! negative pair counts, while PML calls it empty; `log(1 + exp x)` is exact, while PML's is `x` from 20 on.

use schema::Circle;

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for Circle {
    fn terms(&self, batch: &LossInput) -> Terms {
        let closeness = batch.closeness();
        let (positives, negatives) = batch.masks();
        let (near, filled) = rows::packed(&closeness, &positives);
        let pull_weight = (1.0 + self.margin - &near).relu().detach() * -self.gamma;
        let push_weight = (&closeness + self.margin).relu().detach() * self.gamma;
        let pull = rows::log_sum_exp(&(pull_weight * (near - (1.0 - self.margin))), &filled);
        let push = rows::log_sum_exp(&(push_weight * (&closeness - self.margin)), &negatives);
        Terms::of([Part::of_anchors(rows::softplus(&(pull + push)))])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = Circle {
            margin: 0.3,
            gamma: 5.0,
        };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let pull = positives
                    .iter()
                    .map(|s| (-5.0 * (1.3 - s).max(0.0) * (s - 0.7)).exp())
                    .sum::<f64>();
                let push = negatives
                    .iter()
                    .map(|s| (5.0 * (s + 0.3).max(0.0) * (s - 0.3)).exp())
                    .sum::<f64>();
                (pull * push).ln_1p()
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &Circle {
                margin: 0.4,
                gamma: 80.0,
            },
            &[0],
        );
        is_empty_for(
            &Circle {
                margin: 0.4,
                gamma: 80.0,
            },
            &[0, 0, 0],
        );
        is_empty_for(
            &Circle {
                margin: 0.4,
                gamma: 80.0,
            },
            &[0, 1, 2],
        );
    }
}
