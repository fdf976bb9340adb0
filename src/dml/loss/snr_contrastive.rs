//! Contrastive loss on signal-to-noise ratios. Yuan et al., CVPR 2019.
//!
//! Terms and reduction: those of [`Contrastive`], without a power, on [`Distance::SignalToNoise`](schema::Distance::SignalToNoise). The paper's penalty
//! on means is a regularizer, [`ZeroMean`](crate::regularizer::ZeroMean).
//! Reference: pytorch-metric-learning (PML) `SignalToNoiseRatioContrastiveLoss`. Differs: an embedding without variance
//! has large but finite distances.

use schema::{Contrastive, SnrContrastive};

use super::{Loss, LossInput};
use crate::reduce::Terms;

impl Loss for SnrContrastive {
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
        let loss = SnrContrastive {
            pos_margin: 0.1,
            neg_margin: 3.0,
        };
        let sides = sides(loss.distance());
        let mean = |terms: Vec<f64>| {
            terms.iter().sum::<f64>() / terms.iter().filter(|&&term| term > 0.0).count() as f64
        };
        let pull = sides
            .iter()
            .flat_map(|(positives, _)| positives)
            .map(|d| (d - 0.1).max(0.0))
            .collect();
        let push = sides
            .iter()
            .flat_map(|(_, negatives)| negatives)
            .map(|d| (3.0 - d).max(0.0))
            .collect();
        assert!((of_all_pairs(&loss) - mean(pull) - mean(push)).abs() < 1e-11);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &SnrContrastive {
                pos_margin: 0.0,
                neg_margin: 1.0,
            },
            &[0],
        );
    }
}
