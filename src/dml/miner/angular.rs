//! Triplets with a wide angle at the negative. Wang et al., "Deep Metric Learning with Angular Loss", ICCV 2017, Eq. 5.
//!
//! With the center `c = (a + p) / 2`, the angle is `atan(|a - p| / (2 |n - c|))`; triplets above a threshold are kept.
//! Reference: pytorch-metric-learning (PML) `AngularMiner`, same order. Differs: PML adds 1e-6 to each coordinate
//! of a difference, and does not normalize, although its distance is declared to; no list of all triplets is made here.

use schema::AngularMiner;
use tch::Tensor;

use super::{Candidates, Miner};
use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    tuples::host_labels::PositivePairs,
    tuples::{MarkedTriplets, References, Tuples},
};

impl Miner for AngularMiner {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let Candidates {
            embeddings,
            references:
                References {
                    embeddings: references,
                    ..
                },
            negatives,
            ..
        } = candidates;
        let PositivePairs {
            anchors, positives, ..
        } = candidates.positive_pairs();
        let from = embeddings.index_select(0, anchors);
        let to = references.index_select(0, positives);
        // One row for each positive pair.
        let width: Tensor = (&from - &to).norm_scalaropt_dim(2.0, [1], true);
        let height = Distance::Euclidean.matrix(&((from + to) / 2.0), references);
        let wide = width.gt_tensor(&(height * (2.0 * self.degrees.to_radians().tan())));
        Tuples::MarkedTriplets(MarkedTriplets {
            negatives: wide.logical_and(&negatives.index_select(0, anchors)),
            anchor: anchors.shallow_clone(),
            positive: positives.shallow_clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::list;
    use super::*;
    use crate::{random::Purpose, tuples::References};

    #[test]
    fn the_angle_is_measured_from_the_negative_to_half_the_pair() {
        // Half the pair is 1 wide; seen from a height of 1 that is 45 degrees, from a height of 2 it is 26.6.
        let embeddings =
            Tensor::from_slice2(&[[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -2.0], [0.0, 0.0]]);
        let labels = Tensor::from_slice(&[0i64, 0, 1, 2, 3]);
        let chosen = |degrees| {
            let mut draws = Draws::new(0, Purpose::Mining, 0, 0);
            let references = References::batch(&embeddings, &labels);
            let triplets = AngularMiner { degrees }
                .mine(&embeddings, &labels, &references, None, &mut draws)
                .triplets(5);
            [&triplets.anchor, &triplets.positive, &triplets.negative].map(list)
        };
        assert_eq!(chosen(44.9), [[0, 0, 1, 1], [1, 1, 0, 0], [2, 4, 2, 4]]);
        assert_eq!(chosen(45.1), [[0, 1], [1, 0], [4, 4]]);
        assert_eq!(chosen(26.0)[2], [2, 3, 4, 2, 3, 4]);
    }
}
