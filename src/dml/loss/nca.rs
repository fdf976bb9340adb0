//! Neighborhood component analysis. Goldberger et al., NeurIPS 2004, as a logarithmic loss.
//!
//! Terms: one per anchor that has a positive, `-log p(a)` with `p(a)` the share of its positives in
//! `sum exp(-scale d(a,x))` over everything but itself, times the anchor's weight; reduced to the mean. A miner's pairs
//! only weigh anchors.
//! Reference: pytorch-metric-learning (PML) `NCALoss`. Differs: against a memory an image's own copy is left out, and
//! an anchor whose share underflows to 0 keeps its cost; PML counts the copy and drops the anchor.

use schema::Nca;

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for Nca {
    fn terms(&self, batch: &LossInput) -> Terms {
        let exponents = batch.scaled_closeness(self.scale);
        let (positives, negatives) = batch.references.masks(batch.labels);
        let anchors = rows::with_any(&positives);
        let values = rows::cost_of_share(&exponents, &positives, &negatives);
        Terms::of([Part::of_some(&(values * batch.weights()), &anchors)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = Nca { scale: 3.0 };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let sum =
                    |distances: &[f64]| distances.iter().map(|d| (-3.0 * d).exp()).sum::<f64>();
                -(sum(&positives) / (sum(&positives) + sum(&negatives))).ln()
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&Nca { scale: 1.0 }, &[0]);
        is_empty_for(&Nca { scale: 1.0 }, &[0, 1, 2]);
    }
}
