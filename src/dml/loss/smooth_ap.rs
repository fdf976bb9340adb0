//! Smooth-AP: average precision with sigmoids for comparisons. Brown et al., ECCV 2020.
//!
//! Terms: one per anchor that has a positive, `1 - AP(a)`, times the anchor's weight; reduced to the mean. `AP` is the
//! mean over its positives of their rank among positives over their rank among all; the rank of `p` is one plus the
//! sum of `sigmoid((s(a,x) - s(a,p)) / temperature)` over the others. A miner's pairs only weigh anchors. Anchors are
//! processed in chunks, so that memory does not grow with images times references squared.
//! With `itself` an image counts as one of its own positives, as in the authors' program.
//! Reference: pytorch-metric-learning (PML) `SmoothAPLoss`. Differs: classes may have any size and order; PML requires
//! equal sizes, takes the batch as sorted by class, and looks at labels no further.

use schema::SmoothAp;
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::{
    reduce::{Part, Terms},
    tuples::References,
    tuples::host_labels::PositivePairs,
};

impl Loss for SmoothAp {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (others, negatives) = batch.references.masks(batch.labels);
        let with_own;
        let (pairs, positives) = if self.itself {
            with_own = PositivePairs::of(batch.references, batch.labels, true);
            (&with_own, others.logical_or(&copies(batch)))
        } else {
            (batch.references.positive_pairs(batch.labels), others)
        };
        let precision = rows::of_ranks(
            &(batch.closeness() / self.temperature),
            pairs,
            [&positives, &negatives],
            |ranks| {
                rows::sum_of_each(
                    &(ranks.among_positives / ranks.among_all),
                    &ranks.anchors,
                    ranks.images,
                )
            },
        );
        let anchors = rows::with_any(&positives);
        let missed: Tensor = 1.0 - precision / rows::count(&positives).clamp_min(1);
        let values = missed * batch.weights();
        Terms::of([Part::of_some(&values, &anchors)])
    }
}

/// Returns a mask `[n, m]` of the copy of each image of the batch among the references.
fn copies(batch: &LossInput) -> Tensor {
    let References { labels, own, .. } = batch.references;
    let columns = Tensor::arange(labels.size()[0], (Kind::Int64, labels.device()));
    own.unsqueeze(1).eq_tensor(&columns.unsqueeze(0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = SmoothAp {
            temperature: 0.1,
            itself: false,
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x / 0.1).exp());
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let above =
                    |p: f64, others: &[f64]| others.iter().map(|s| sigmoid(s - p)).sum::<f64>();
                let precision = |p: f64| {
                    (0.5 + above(p, &positives))
                        / (0.5 + above(p, &positives) + above(p, &negatives))
                };
                1.0 - positives.iter().map(|&p| precision(p)).sum::<f64>() / positives.len() as f64
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &SmoothAp {
                temperature: 0.01,
                itself: false,
            },
            &[0],
        );
        is_empty_for(
            &SmoothAp {
                temperature: 0.01,
                itself: false,
            },
            &[0, 1, 2],
        );
    }
}
