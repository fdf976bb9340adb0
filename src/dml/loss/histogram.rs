//! Histogram loss. Ustinova & Lempitsky, NeurIPS 2016.
//!
//! One term: the probability that a random negative pair is closer than a random positive pair, from histograms of the
//! distances of both, `sum over bins of positive(b) * sum of negative up to b`. Pairs of anchors without
//! pairs of the other kind do not count. In a batch each pair counts once, whichever of the two is the anchor.
//! Reference: pytorch-metric-learning (PML) `HistogramLoss`. Differs: references may be a memory; distances are those
//! of embeddings of length one, and longer ones end in the outer bins; PML fails at a similarity of 1, which duplicates
//! have.

use schema::Histogram;
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for Histogram {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (positives, negatives) = pairs(batch);
        let bins = i64::from(self.bins);
        let positions = batch.bin_positions(bins);
        let positive = density(&positions, &positives, bins);
        let negative = density(&positions, &negatives, bins);
        let closer = rows::running_sums(&negative);
        Terms::of([Part::of_others((positive * closer).sum_dim_intlist(
            [1i64].as_slice(),
            false,
            None::<Kind>,
        ))])
    }
}

/// Marks the pairs that count, `[n, m]` each: positive and negative.
fn pairs(batch: &LossInput) -> (Tensor, Tensor) {
    let (positives, negatives) = batch.masks();
    let anchors = rows::have_both(&positives, &negatives).unsqueeze(1);
    let once = |pairs: Tensor| {
        let pairs = pairs.logical_and(&anchors);
        if batch.references.is_batch {
            pairs.logical_or(&pairs.tr()).triu(1)
        } else {
            pairs
        }
    };
    (once(positives), once(negatives))
}

/// The share of pairs in each bin: `[1, bins + 1]`.
fn density(positions: &Tensor, pairs: &Tensor, bins: i64) -> Tensor {
    let histogram = rows::soft_histogram(positions, pairs, bins);
    histogram.sum_dim_intlist([0i64].as_slice(), true, None::<Kind>)
        / pairs.sum(Kind::Int64).clamp_min(1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_bins_written_as_a_loop() {
        let loss = Histogram { bins: 7 };
        let sides = sides(loss.distance());
        let pulse =
            |s: f64, bin: usize| (1.0 - (s + 1.0 - bin as f64 * 2.0 / 7.0).abs() * 3.5).max(0.0);
        let density =
            |all: &[f64], bin| all.iter().map(|&s| pulse(s, bin)).sum::<f64>() / all.len() as f64;
        let positives: Vec<f64> = sides
            .iter()
            .flat_map(|(positives, _)| positives)
            .copied()
            .collect();
        let negatives: Vec<f64> = sides
            .iter()
            .flat_map(|(_, negatives)| negatives)
            .copied()
            .collect();
        let sum = |bin| (0..=bin).map(|bin| density(&positives, bin)).sum::<f64>();
        let expected: f64 = (0..=7).map(|bin| density(&negatives, bin) * sum(bin)).sum();
        assert!((of_all_pairs(&loss) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&Histogram { bins: 100 }, &[0]);
        is_empty_for(&Histogram { bins: 100 }, &[0, 0, 0]);
        is_empty_for(&Histogram { bins: 100 }, &[0, 1, 2]);
    }
}
