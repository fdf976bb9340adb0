//! Contrastive loss as in the programs of Deep_Metric (Wang) and of cross-batch memory (Wang et al., CVPR 2020).
//!
//! Terms: `1 - s(a,p)` for each positive pair, and `s(a,n)` for each negative pair with `s(a,n) > margin`; the margin
//! selects and is not subtracted. Their sum over the number of images: it grows with the batch, and with a memory.
//! Reference: Deep_Metric `losses/ContrastiveLoss.py`, research-xbm `contrastive_loss.py`. Differs: an image's own
//! copy is known by its index; there every pair with `s` near 1 counts as one, duplicates too.

use schema::ContrastiveDm;
use tch::Tensor;

use super::{Loss, LossInput};
use crate::{distance::DistanceExt, reduce::Terms};

impl Loss for ContrastiveDm {
    fn terms(&self, batch: &LossInput) -> Terms {
        let closeness = |distances: &Tensor| batch.distance.closeness(distances);
        batch.terms_of_pairs(
            |distances| -closeness(distances) + 1.0,
            |distances| closeness(distances).threshold(self.margin, 0.0),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = ContrastiveDm { margin: 0.3 };
        let sum: f64 = sides(loss.distance())
            .iter()
            .map(|(positives, negatives)| {
                positives.iter().map(|s| 1.0 - s).sum::<f64>()
                    + negatives.iter().filter(|&&s| s > 0.3).sum::<f64>()
            })
            .sum();
        assert!((of_all_pairs(&loss) - sum / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&ContrastiveDm { margin: 0.5 }, &[0]);
    }
}
