//! N-pair loss. Sohn, NeurIPS 2016 (multi-class N-pair).
//!
//! Each class that has a positive pair gives one, its first: an anchor and a positive. Terms: one per such pair, the
//! cross-entropy of the anchor's similarities to the positives of all classes, reduced to the mean. The paper leaves
//! embeddings unnormalized and penalizes their length: `model.normalize = false`, `distance = "dot_product"` and
//! `regularizer = { lp_norm = .. }`.
//! Reference: pytorch-metric-learning (PML) `NPairsLoss`. Differs: positives may come from a memory; with a miner, the
//! first pair of a class is the first that the miner lists, and not all miners list pairs in the order of PML's.

use schema::NPair;
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for NPair {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (anchors, positives) = batch.positive_pairs();
        let first = first_of_each(&batch.labels.index(&[Some(&anchors)]));
        let [anchors, positives] = [anchors, positives].map(|side| side.index(&[Some(&first)]));
        let references = batch.references.embeddings.index(&[Some(&positives)]);
        let distances = batch
            .distance
            .matrix(&batch.embeddings.index(&[Some(&anchors)]), &references);
        let closeness = batch.distance.closeness(&distances);
        let own = Tensor::eye(closeness.size()[0], (Kind::Bool, closeness.device()));
        let values = rows::cost_of_share(&closeness, &own, &own.logical_not());
        Terms::of([Part::of_tuples(values, &anchors)])
    }
}

/// Returns the index of the first occurrence of each label.
fn first_of_each(labels: &Tensor) -> Tensor {
    let order = labels.argsort_stable(true, 0, false);
    let (_, _, counts) = labels
        .index(&[Some(&order)])
        .unique_consecutive(false, true, 0);
    order.index(&[Some(counts.cumsum(0, Kind::Int64) - counts)])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_classes_written_as_a_loop() {
        let (_, similarities, _) = batch(NPair {}.distance());
        let pairs = [(0, 4), (1, 6), (2, 7), (3, 8)];
        let terms = pairs.map(|(a, p)| {
            let sum = pairs
                .iter()
                .map(|&(_, other)| similarities[a][other].exp())
                .sum::<f64>();
            -(similarities[a][p].exp() / sum).ln()
        });
        assert!((of_all_pairs(&NPair {}) - terms.iter().sum::<f64>() / 4.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&NPair {}, &[0]);
        is_empty_for(&NPair {}, &[0, 1, 2]);
    }
}
