//! Supervised contrastive loss. Khosla et al., NeurIPS 2020, Eq. 2 (the sum outside the logarithm).
//!
//! Terms: one per anchor, the mean over its positives of `-log(exp(s(a,p)/T) / sum exp(s(a,x)/T))`, with the sum over
//! all its positives and negatives; reduced to the mean of the non-zero ones. Each pair counts once, however often a
//! miner lists it.
//! Reference: pytorch-metric-learning (PML) `SupConLoss`. Differs: a batch of one class counts, since its images
//! are pushed apart evenly, while PML calls it empty; a term that is nearly 0 keeps its value in single precision,
//! while PML rounds it to 0 and then divides by fewer terms.

use schema::SupCon;

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for SupCon {
    fn terms(&self, batch: &LossInput) -> Terms {
        let scaled = batch.closeness() / self.temperature;
        let (positives, negatives) = batch.masks();
        Terms::of([Part::of_anchors(rows::mean_cost_of_shares(
            &scaled, &positives, &negatives,
        ))])
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::super::tests::{is_empty_for, of_all_pairs, sides, value};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = SupCon { temperature: 0.3 };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let sum = positives
                    .iter()
                    .chain(&negatives)
                    .map(|s| (s / 0.3).exp())
                    .sum::<f64>();
                positives
                    .iter()
                    .map(|s| -((s / 0.3).exp() / sum).ln())
                    .sum::<f64>()
                    / positives.len() as f64
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn anchors_that_are_nearly_solved_count_in_single_precision() {
        // Two classes with one positive each: two anchors are solved, two are not.
        let embeddings = Tensor::from_slice2(&[[1.0, 0.0], [0.8, 0.6], [-1.0, 0.0], [0.6, 0.8]]);
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1]);
        let loss = SupCon { temperature: 0.05 };
        let of = |kind: Kind| value(&loss, None, &embeddings.to_kind(kind), &labels).value;
        let exact = of(Kind::Double).double_value(&[]);
        assert!((of(Kind::Float).double_value(&[]) / exact - 1.0).abs() < 1e-5);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&SupCon { temperature: 0.1 }, &[0]);
        is_empty_for(&SupCon { temperature: 0.1 }, &[0, 1, 2]);
    }
}
