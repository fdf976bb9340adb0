//! Triplet margin loss. Weinberger & Saul, JMLR 2009; a margin on plain distances, not on their squares as in
//! Schroff et al., CVPR 2015, Eq. 3.
//!
//! Terms: one per triplet, `max(0, d(a,p) - d(a,n) + margin)`, reduced to the mean of the non-zero ones.
//! Reference: pytorch-metric-learning `TripletMarginLoss`. Differs: no `swap`, no `smooth_loss`.

use tch::Tensor;

use super::{Loss, Reduction, Terms};
use crate::{
    distance::Distance,
    tuples::{Tuples, at},
};

/// Triplet margin loss.
#[derive(Clone, Debug)]
pub struct Triplet {
    /// How much farther a negative has to be than a positive.
    pub margin: f64,
}

impl Loss for Triplet {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn reduction(&self) -> Reduction {
        Reduction::AvgNonZero
    }

    fn terms(&self, distances: &Tensor, tuples: &Tuples) -> Terms {
        let triplets = tuples.triplets();
        let positive = at(distances, &triplets.anchor, &triplets.positive);
        let negative = at(distances, &triplets.anchor, &triplets.negative);
        let violation = self.distance().excess(&positive, &negative) + self.margin;
        Terms { parts: vec![violation.relu()] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with_golden_values, batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_triplets_written_as_a_loop() {
        let loss = Triplet { margin: 0.2 };
        let (_, distances, labels) = batch(loss.distance());
        let (mut sum, mut count) = (0.0, 0);
        for (a, p) in
            (0..12).flat_map(|a| (0..12).map(move |p| (a, p))).filter(|&(a, p)| a != p && labels[a] == labels[p])
        {
            for n in (0..12).filter(|&n| labels[a] != labels[n]) {
                let term = distances[a][p] - distances[a][n] + 0.2;
                if term > 0.0 {
                    sum += term;
                    count += 1;
                }
            }
        }
        assert!((of_all_pairs(&loss) - sum / f64::from(count)).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with_golden_values("triplet");
    }

    #[test]
    fn a_batch_without_triplets_is_empty() {
        is_empty_for(&Triplet { margin: 0.05 }, &[0, 0, 0]);
        is_empty_for(&Triplet { margin: 0.05 }, &[0, 1, 2]);
        is_empty_for(&Triplet { margin: 0.05 }, &[0]);
    }
}
