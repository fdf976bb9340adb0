//! Threshold-consistent margin. Zhang et al., ICLR 2024, which the paper adds to another loss.
//!
//! Terms and reduction: those of [`Contrastive`] on cosine similarity.
//! Reference: pytorch-metric-learning `ThresholdConsistentMarginLoss`. Differs: its weights `lambda_plus` and
//! `lambda_minus` are 1; it takes no memory.

use schema::{Contrastive, ThresholdConsistentMargin};

use super::{Loss, LossInput};
use crate::reduce::Terms;

impl Loss for ThresholdConsistentMargin {
    fn terms(&self, batch: &LossInput) -> Terms {
        let contrastive = Contrastive {
            pos_margin: self.pos_margin,
            neg_margin: self.neg_margin,
            power: 1.0,
        };
        contrastive.terms(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = ThresholdConsistentMargin {
            pos_margin: 0.7,
            neg_margin: -0.2,
        };
        let mean = |terms: &[f64]| {
            let above: Vec<f64> = terms.iter().copied().filter(|&term| term > 0.0).collect();
            above.iter().sum::<f64>() / above.len() as f64
        };
        let (mut pull, mut push) = (Vec::new(), Vec::new());
        for (positives, negatives) in sides(schema::Distance::Cosine) {
            pull.extend(positives.iter().map(|s| 0.7 - s));
            push.extend(negatives.iter().map(|s| s + 0.2));
        }
        let expected = mean(&pull) + mean(&push);
        assert!((of_all_pairs(&loss) - expected).abs() < 1e-14);
    }

    #[test]
    fn a_batch_without_a_violation_is_empty() {
        let loss = ThresholdConsistentMargin {
            pos_margin: -1.0,
            neg_margin: 1.0,
        };
        is_empty_for(&loss, &[0, 0, 1, 1]);
    }
}
