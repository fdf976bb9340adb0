//! Contrastive loss on signal-to-noise ratios. Yuan et al., CVPR 2019.
//!
//! Terms and reduction: those of [`Contrastive`], without a power, on [`Distance::SignalToNoise`]. The paper's penalty
//! on means is a regulariser of its own, [`ZeroMean`](crate::regularizer::ZeroMean).
//! Reference: pytorch-metric-learning (PML) `SignalToNoiseRatioContrastiveLoss`. Differs: an embedding without variance
//! has large but finite distances.

use super::{Batch, Contrastive, Loss};
use crate::{
    distance::Distance,
    reduce::{Reduction, Terms},
};

/// Contrastive loss on signal-to-noise ratios.
#[derive(Clone, Debug)]
pub struct SnrContrastive {
    /// A positive pair costs nothing when its noise is less than this.
    pub pos_margin: f64,
    /// A negative pair costs nothing when its noise is more than this.
    pub neg_margin: f64,
}

impl Loss for SnrContrastive {
    fn distance(&self) -> Distance {
        Distance::SignalToNoise
    }

    fn reduction(&self) -> Reduction {
        Reduction::AvgNonZero
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let (pos_margin, neg_margin) = (self.pos_margin, self.neg_margin);
        Contrastive {
            pos_margin,
            neg_margin,
            power: 1.0,
        }
        .terms(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with, is_empty_for, of_all_pairs, sides};
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
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/snr_contrastive.json"), |settings| {
            let setting = |name: &str| settings[name].as_f64().unwrap();
            Box::new(SnrContrastive {
                pos_margin: setting("pos_margin"),
                neg_margin: setting("neg_margin"),
            })
        });
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
