//! Recall@k surrogate. Patel, Tolias & Matas, CVPR 2022.
//!
//! Terms: one per anchor that has a positive, one minus the mean over `ks` of its smooth recall
//! `min(k, sum over positives of sigmoid((k - rank(p)) / k_temperature)) / min(k, number of positives)`; reduced to
//! the mean. The rank of `p` is one plus the sum of `sigmoid((s(a,x) - s(a,p)) / rank_temperature)` over all others but
//! the anchor. Miners are ignored. Anchors are processed in chunks, so that memory does not grow
//! with images times references squared.
//! Reference: the formula. The authors' program differs: its ranks are about one too high, since the anchor itself
//! counts as ranked before a positive, and it requires classes of the same size in order.

use schema::RecallAtK;
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for RecallAtK {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (positives, negatives) = batch.references.masks(batch.labels);
        let recall = rows::of_ranks(
            &(batch.closeness() / self.rank_temperature),
            batch.references.positive_pairs(batch.labels),
            [&positives, &negatives],
            |ranks| {
                let recalls = self
                    .ks
                    .iter()
                    .map(|&k| recall(&ranks, f64::from(k), self.k_temperature))
                    .collect::<Vec<_>>();
                Tensor::stack(&recalls, 1).mean_dim([1i64].as_slice(), false, None::<Kind>)
            },
        );
        let anchors = rows::with_any(&positives);
        Terms::of([Part::of_some(&(1.0 - recall), &anchors)])
    }
}

/// Returns the smooth recall of each image among its `k` nearest: `[n]`.
fn recall(ranks: &rows::Ranks, k: f64, temperature: f64) -> Tensor {
    let within = ((k - &ranks.among_all) / temperature).sigmoid();
    let found = rows::sum_of_each(&within, &ranks.anchors, ranks.images);
    let positives = rows::sum_of_each(&within.ones_like(), &ranks.anchors, ranks.images);
    found.clamp_max(k) / positives.clamp(1.0, k.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = RecallAtK {
            ks: vec![1, 3],
            rank_temperature: 0.1,
            k_temperature: 0.5,
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let others = || positives.iter().chain(&negatives);
                let rank = |p: f64| 0.5 + others().map(|s| sigmoid((s - p) / 0.1)).sum::<f64>();
                let recall = |k: f64| {
                    let found = positives
                        .iter()
                        .map(|&p| sigmoid((k - rank(p)) / 0.5))
                        .sum::<f64>();
                    found.min(k) / k.min(positives.len() as f64)
                };
                1.0 - (recall(1.0) + recall(3.0)) / 2.0
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        let loss = RecallAtK {
            ks: vec![1],
            rank_temperature: 0.01,
            k_temperature: 1.0,
        };
        is_empty_for(&loss, &[0]);
        is_empty_for(&loss, &[0, 1, 2]);
    }
}
