//! Contrastive loss. Hadsell, Chopra & LeCun, CVPR 2006, Eq. 4, without the squares.
//!
//! Terms: one per positive pair, `max(0, d(a,p) - pos_margin)`, and one per negative pair,
//! `max(0, neg_margin - d(a,n))`. The two parts are reduced separately, each to the mean of its non-zero terms.
//! Reference: pytorch-metric-learning (PML) `ContrastiveLoss`. Differs: a batch with a single positive and a
//! single negative pair counts, while PML calls it empty.

use tch::Tensor;

use super::{Loss, Reduction, Terms};
use crate::{
    distance::Distance,
    tuples::{Tuples, at},
};

/// Contrastive loss.
#[derive(Clone, Debug)]
pub struct Contrastive {
    /// A positive pair costs nothing when it is closer than this.
    pub pos_margin: f64,
    /// A negative pair costs nothing when it is farther than this.
    pub neg_margin: f64,
}

impl Loss for Contrastive {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn reduction(&self) -> Reduction {
        Reduction::AvgNonZero
    }

    fn terms(&self, distances: &Tensor, tuples: &Tuples) -> Terms {
        let pairs = tuples.pairs();
        let too_far = self.distance().excess_over(&at(distances, &pairs.anchor_pos, &pairs.positive), self.pos_margin);
        let too_close =
            self.distance().excess_over(&at(distances, &pairs.anchor_neg, &pairs.negative), self.neg_margin).neg();
        Terms { parts: vec![too_far.relu(), too_close.relu()] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with_golden_values, batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = Contrastive { pos_margin: 0.3, neg_margin: 1.1 };
        let (_, distances, labels) = batch(loss.distance());
        let (mut far, mut close) = (Vec::new(), Vec::new());
        for (a, b) in (0..12).flat_map(|a| (0..12).map(move |b| (a, b))).filter(|(a, b)| a != b) {
            let (terms, term) = match labels[a] == labels[b] {
                true => (&mut far, distances[a][b] - 0.3),
                false => (&mut close, 1.1 - distances[a][b]),
            };
            terms.extend(Some(term).filter(|&term| term > 0.0));
        }
        let mean = |terms: &[f64]| terms.iter().sum::<f64>() / terms.len() as f64;
        assert!((of_all_pairs(&loss) - mean(&far) - mean(&close)).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with_golden_values("contrastive");
    }

    #[test]
    fn a_batch_whose_pairs_cost_nothing_is_empty() {
        is_empty_for(&Contrastive { pos_margin: 3.0, neg_margin: -1.0 }, &[0, 0, 1, 1]);
        is_empty_for(&Contrastive { pos_margin: 0.0, neg_margin: 1.0 }, &[0]);
    }
}
