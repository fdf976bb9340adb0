//! N-pair loss. Sohn, NeurIPS 2016 (multi-class N-pair).
//!
//! Each class that has a positive pair gives one, its first: an anchor and a positive. Terms: one per such pair, the
//! cross-entropy of the anchor's similarities to the positives of all classes, reduced to the mean. The paper leaves
//! embeddings unnormalized and penalizes their length: `model.normalize = false`, `distance = "dot_product"` and
//! `regularizer = { lp_norm = .. }`.
//! Reference: pytorch-metric-learning (PML) `NPairsLoss`. Differs: positives may come from a memory; with a miner, the
//! first pair of a class is the first that the miner lists, and not all miners list pairs in the order of PML's.

use std::collections::BTreeMap;

use schema::NPair;
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    download::integers,
    reduce::{Part, Terms},
    tuples::{Tuples, at},
    upload::Parcel,
};

impl Loss for NPair {
    fn terms(&self, batch: &LossInput) -> Terms {
        let first = first_of_each_class(batch).map(|side| Tensor::from_slice(&side));
        let [anchors, positives] = Parcel::packed(first, batch.embeddings.device()).sent();
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

/// Returns the anchors and the positives of the first chosen pair of each class, in the order of the classes.
fn first_of_each_class(batch: &LossInput) -> [Vec<i64>; 2] {
    let labels = &batch.references.host_labels(batch.labels).batch;
    let mut first = BTreeMap::new();
    for pair in chosen_pairs(batch) {
        first.entry(labels[pair.0 as usize]).or_insert(pair);
    }
    let (anchors, positives) = first.into_values().unzip();
    [anchors, positives]
}

/// Returns the anchor and the positive of each chosen positive pair, on the host: with a miner, it waits once for a GPU.
fn chosen_pairs(batch: &LossInput) -> Vec<(i64, i64)> {
    let all = batch.references.positive_pairs(batch.labels);
    match batch.chosen {
        None => all.on_host().collect(),
        Some(Tuples::MarkedPairs(marked)) => {
            let marks = integers(&at(&marked.positives, &all.anchors, &all.positives));
            let pairs = all.on_host().zip(marks);
            pairs
                .filter_map(|(pair, mark)| (mark != 0).then_some(pair))
                .collect()
        }
        Some(Tuples::MarkedTriplets(marked)) => {
            let marks = marked.negatives.any_dim(1, false).to_kind(Kind::Int64);
            listed(&[&marked.anchor, &marked.positive, &marks])
        }
        Some(Tuples::Pairs(pairs)) => listed(&[&pairs.anchor_pos, &pairs.positive]),
        Some(Tuples::Triplets(triplets)) => listed(&[&triplets.anchor, &triplets.positive]),
    }
}

/// Returns the pairs of anchors and positives, `[p]` each, those alone that marks mark if there are some.
fn listed(columns: &[&Tensor]) -> Vec<(i64, i64)> {
    let rows = integers(&Tensor::stack(columns, 1).flatten(0, 1));
    let rows = rows.chunks(columns.len());
    rows.filter(|row| row.get(2) != Some(&0))
        .map(|row| (row[0], row[1]))
        .collect()
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
