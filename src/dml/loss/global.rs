//! Global loss. Kumar, Carneiro & Reid, "Learning Local Image Descriptors with Deep Siamese and Triplet Convolutional
//! Networks by Minimising Global Loss Functions", CVPR 2016.
//!
//! One term of a batch: with `d+ = |a - p|^2 / 4` and `d- = |a - n|^2 / 4` of all triplets, the variance of each, plus
//! `weight max(0, mean(d+) - mean(d-) + margin)`. Variances divide by the number of triplets.
//! Reference: JayceeLee/DLDD `GlobalCriterionTriplet.lua`, whose constants are the defaults; the formula, as a loop.
//! Differs: all triplets of a batch, or those that a miner chose, instead of triplets that are given.

use schema::Global;
use tch::{Kind, Tensor};

use super::{Loss, LossInput};
use crate::{
    reduce::{Part, Terms},
    tuples::{MarkedTriplets, at},
};

impl Loss for Global {
    fn terms(&self, batch: &LossInput) -> Terms {
        let distances = batch.distances() / 4.0;
        if let Some(triplets) = batch.marked_triplets_on_gpu() {
            return terms_of_marked(self, &distances, &triplets);
        }
        let triplets = batch.triplets();
        if triplets.anchor.numel() == 0 {
            return Terms::default();
        }
        let positive = at(&distances, &triplets.anchor, &triplets.positive);
        let negative = at(&distances, &triplets.anchor, &triplets.negative);
        let excess = positive.mean(None) - negative.mean(None) + self.margin;
        let value = positive.var(false) + negative.var(false) + excess.relu() * self.weight;
        Terms::of([Part::of_others(value.unsqueeze(0))])
    }
}

/// Returns the same term as of a list of these triplets.
fn terms_of_marked(settings: &Global, distances: &Tensor, triplets: &MarkedTriplets) -> Terms {
    let negatives = triplets.negatives.to_kind(distances.kind());
    let counts = negatives.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
    let total = counts.sum(None::<Kind>);
    let positive = at(distances, &triplets.anchor, &triplets.positive);
    let (near, spread) = moments(&positive, &counts, &total);
    let all = distances.index(&[Some(&triplets.anchor)]);
    let (far, other_spread) = moments(&all, &negatives, &total);
    let excess = near - far + settings.margin;
    let value = spread + other_spread + excess.relu() * settings.weight;
    // Without a triplet, there is no term.
    let value = value.masked_fill(&total.eq(0.0), 0.0);
    Terms::of([Part::of_others(value.unsqueeze(0))])
}

/// Returns the mean and the variance of values. Each counts as often as `counts`, of the same shape, says, and `total` is
/// the sum of `counts`. If it is 0, both are 0.
fn moments(values: &Tensor, counts: &Tensor, total: &Tensor) -> (Tensor, Tensor) {
    let total = total.clamp_min(1.0);
    let mean = |values: &Tensor| (values * counts).sum(None::<Kind>) / &total;
    let center = mean(values);
    let variance = mean(&(values - &center).square());
    (center, variance)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_variances_and_the_means_written_as_a_loop() {
        let loss = Global {
            margin: 0.4,
            weight: 0.8,
        };
        let (_, distances, labels) = batch(loss.distance());
        let (mut positive, mut negative) = (Vec::new(), Vec::new());
        for (a, p) in (0..12).flat_map(|a| (0..12).map(move |p| (a, p))) {
            if a == p || labels[a] != labels[p] {
                continue;
            }
            for n in (0..12).filter(|&n| labels[n] != labels[a]) {
                positive.push(distances[a][p] / 4.0);
                negative.push(distances[a][n] / 4.0);
            }
        }
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let variance = |all: &[f64]| {
            let center = mean(all);
            mean(
                &all.iter()
                    .map(|one| (one - center).powi(2))
                    .collect::<Vec<_>>(),
            )
        };
        let excess = (mean(&positive) - mean(&negative) + 0.4).max(0.0);
        let expected = variance(&positive) + variance(&negative) + 0.8 * excess;
        assert!((of_all_pairs(&loss) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_triplets_is_empty() {
        is_empty_for(&Global::default(), &[0, 0, 0]);
        is_empty_for(&Global::default(), &[0, 1, 2]);
    }
}
