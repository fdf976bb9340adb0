//! Lifted structure loss as in Deep_Metric (Wang): smooth extrema of similarities, without hinge or margin.
//!
//! Terms: one per anchor that has pairs of both kinds,
//! `2/beta log sum exp(-beta s(a,p)) + 2/alpha log sum exp(alpha s(a,n))`. Their sum over the number of images. A term
//! may be negative. The mining of that program is the multi-similarity miner with `epsilon = 0.1`.
//! Reference: Deep_Metric `losses/LiftedStructure.py`. Differs: an image's own copy is known by its index, there by
//! `s` near 1; each pair counts once, even if a miner lists it several times.

use schema::LiftedDm;

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for LiftedDm {
    fn terms(&self, batch: &LossInput) -> Terms {
        let closeness = batch.closeness();
        let (positives, negatives) = batch.masks();
        let (near, filled) = rows::packed(&closeness, &positives);
        let pull = rows::log_sum_exp(&(near * -self.beta), &filled) * (2.0 / self.beta);
        let push = rows::log_sum_exp(&(&closeness * self.alpha), &negatives) * (2.0 / self.alpha);
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
        let loss = LiftedDm {
            alpha: 7.0,
            beta: 3.0,
        };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let pull = positives.iter().map(|s| (-3.0 * s).exp()).sum::<f64>();
                let push = negatives.iter().map(|s| (7.0 * s).exp()).sum::<f64>();
                2.0 / 3.0 * pull.ln() + 2.0 / 7.0 * push.ln()
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &LiftedDm {
                alpha: 40.0,
                beta: 2.0,
            },
            &[0],
        );
        is_empty_for(
            &LiftedDm {
                alpha: 40.0,
                beta: 2.0,
            },
            &[0, 0, 0],
        );
        is_empty_for(
            &LiftedDm {
                alpha: 40.0,
                beta: 2.0,
            },
            &[0, 1, 2],
        );
    }
}
