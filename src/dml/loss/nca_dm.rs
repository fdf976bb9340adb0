//! Neighborhood component analysis among nearest neighbors, as intended by Deep_Metric (Wang).
//!
//! Terms: one per anchor that has pairs of both kinds, `-log(sum over P of exp(alpha s) / sum over P and N)`. N are the
//! negatives among its `k` nearest neighbors; P are the positives there or, without any, the nearest positive. Ties with
//! neighbor `k + 1` are left out. The sum of terms is divided by the number of images.
//! Reference: Deep_Metric `losses/NCA.py`. Differs: that program fails when it runs, and applies a formula
//! for distances to similarities. Each pair counts once, even if a miner lists it several times.

use schema::NcaDm;
use tch::Tensor;

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for NcaDm {
    fn terms(&self, batch: &LossInput) -> Terms {
        let closeness = batch.closeness();
        let (positives, negatives) = batch.masks();
        let near = nearest(&closeness, &positives.logical_or(&negatives), self.k.into());
        let closest = closeness
            .masked_fill(&positives.logical_not(), f64::NEG_INFINITY)
            .detach()
            .max_dim(1, true)
            .0;
        let within = positives.logical_and(&near);
        let instead = positives
            .logical_and(&closeness.eq_tensor(&closest))
            .logical_and(&within.any_dim(1, true).logical_not());
        let kept = within.logical_or(&instead);
        let exponents = &closeness * self.alpha;
        let others = negatives.logical_and(&near);
        let lacks = rows::have_both(&positives, &negatives).logical_not();
        let values = rows::cost_of_share(&exponents, &kept, &others);
        Terms::of([Part::of_anchors(values.masked_fill(&lacks, 0.0))])
    }
}

/// Returns a mask of the references that are closer than neighbor `k + 1` of their row, out of those
/// that `kept` marks.
fn nearest(closeness: &Tensor, kept: &Tensor, k: i64) -> Tensor {
    if k >= closeness.size()[1] {
        return kept.shallow_clone();
    }
    let candidates = closeness
        .detach()
        .masked_fill(&kept.logical_not(), f64::NEG_INFINITY);
    let next = candidates.topk(k + 1, 1, true, true).0.narrow(1, k, 1);
    candidates.gt_tensor(&next)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        for k in [1, 3, 20] {
            let loss = NcaDm { alpha: 5.0, k };
            let terms = sides(loss.distance())
                .into_iter()
                .map(|(positives, negatives)| {
                    let mut all = [positives.clone(), negatives.clone()].concat();
                    all.sort_by(|a, b| b.total_cmp(a));
                    let threshold = all.get(k as usize).copied().unwrap_or(-2.0);
                    let near = |s: &[f64]| {
                        s.iter()
                            .copied()
                            .filter(|&s| s > threshold)
                            .collect::<Vec<f64>>()
                    };
                    let mut kept = near(&positives);
                    if kept.is_empty() {
                        kept.push(positives.iter().copied().fold(-2.0, f64::max));
                    }
                    let sum = |s: &[f64]| s.iter().map(|s| (5.0 * s).exp()).sum::<f64>();
                    -(sum(&kept) / (sum(&kept) + sum(&near(&negatives)))).ln()
                });
            assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&NcaDm { alpha: 16.0, k: 32 }, &[0]);
        is_empty_for(&NcaDm { alpha: 16.0, k: 32 }, &[0, 0, 0]);
        is_empty_for(&NcaDm { alpha: 16.0, k: 32 }, &[0, 1, 2]);
    }
}
