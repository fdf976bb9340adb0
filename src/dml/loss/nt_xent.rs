//! Normalized-temperature cross-entropy, also known as InfoNCE. Sohn, NeurIPS 2016; Chen et al., ICML 2020,
//! Eq. 1.
//!
//! Terms: one per positive pair, `-log(exp(s(a,p)/T) / (exp(s(a,p)/T) + sum exp(s(a,n)/T)))`, with the sum over the
//! negatives of the anchor alone, as often as a miner lists them; reduced to the mean.
//! Reference: pytorch-metric-learning (PML) `NTXentLoss`. Differs: the sum is taken once per anchor, so that nothing
//! has the size of positive times negative pairs; PML adds the smallest number within the logarithm, which caps the
//! cost and stops the gradient of pairs worse than that; a batch with a single positive and a single negative pair
//! counts, while PML calls it empty.

use schema::NtXent;

use super::{Loss, LossInput, rows};
use crate::{
    reduce::{Part, Terms},
    tuples::at,
};

impl Loss for NtXent {
    fn terms(&self, batch: &LossInput) -> Terms {
        let scaled = batch.closeness() / self.temperature;
        if let Some((positives, negatives)) = batch.masks_on_gpu() {
            let of_negatives = rows::log_sum_exp(&scaled, &negatives).unsqueeze(1);
            let values = rows::softplus(&(of_negatives - &scaled));
            return Terms::of([Part::of_marked(&values, positives)]);
        }
        let pairs = batch.pairs();
        if pairs.anchor_pos.numel() == 0 || pairs.anchor_neg.numel() == 0 {
            return Terms::default();
        }
        let counts = rows::counts(&scaled, &pairs.anchor_neg, &pairs.negative);
        let negatives = rows::log_sum_exp(&(&scaled + counts.log()), &counts.gt(0.0));
        let positive = at(&scaled, &pairs.anchor_pos, &pairs.positive);
        let values = rows::softplus(&(negatives.index(&[Some(&pairs.anchor_pos)]) - positive));
        Terms::of([Part::of_tuples(values, &pairs.anchor_pos)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = NtXent { temperature: 0.3 };
        let terms: Vec<f64> = sides(loss.distance())
            .into_iter()
            .flat_map(|(positives, negatives)| {
                let sum = negatives.iter().map(|s| (s / 0.3).exp()).sum::<f64>();
                positives
                    .into_iter()
                    .map(move |s| -((s / 0.3).exp() / ((s / 0.3).exp() + sum)).ln())
            })
            .collect();
        assert!(
            (of_all_pairs(&loss) - terms.iter().sum::<f64>() / terms.len() as f64).abs() < 1e-12
        );
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&NtXent { temperature: 0.07 }, &[0]);
        is_empty_for(&NtXent { temperature: 0.07 }, &[0, 0, 0]);
        is_empty_for(&NtXent { temperature: 0.07 }, &[0, 1, 2]);
    }
}
