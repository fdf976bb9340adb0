//! Pairs evenly spread over their distances.
//!
//! The distances of all positive pairs, from the least to the greatest, are divided into bins of equal width; of each
//! bin that holds any, `pos_per_bin` pairs are drawn with replacement. So for negative pairs.
//! Reference: pytorch-metric-learning `UniformHistogramMiner`, the same bins and probabilities.

use schema::UniformHistogramMiner;
use tch::Tensor;

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    download::integers,
    random::Draws,
    tuples::{Pairs, Tuples, at, coordinates},
    upload::uploaded,
};

/// Draws `per_bin` pairs from each bin of the pairs that `mask` marks.
fn drawn(
    bins: i64,
    distances: &Tensor,
    mask: &Tensor,
    per_bin: usize,
    draws: &mut Draws,
) -> (Tensor, Tensor) {
    let (anchors, others) = coordinates(mask);
    if anchors.numel() == 0 {
        return (anchors, others);
    }
    let bin_of_pair = bins_of(bins, &at(distances, &anchors, &others));
    let order = bin_of_pair.argsort_stable(true, 0, false);
    let counts = bin_of_pair.bincount(None::<Tensor>, bins);
    let positions = positions(&counts, per_bin, draws);
    let chosen = order.index_select(0, &uploaded(&positions, order.device()));
    (
        anchors.index_select(0, &chosen),
        others.index_select(0, &chosen),
    )
}

/// Returns the bin of each distance, from 0. A bin includes its lower end, the last one its upper end
/// as well.
fn bins_of(bins: i64, distances: &Tensor) -> Tensor {
    let options = (distances.kind(), distances.device());
    let ends =
        Tensor::linspace_tensor_tensor(&distances.min(), &distances.max(), bins + 1, options);
    (distances.bucketize(&ends, false, true) - 1).clamp(0, bins - 1)
}

/// Draws `per_bin` positions from each bin, where the positions of a bin are consecutive.
fn positions(counts: &Tensor, per_bin: usize, draws: &mut Draws) -> Tensor {
    let mut positions = Vec::new();
    let mut start = 0;
    // Copied at once: reading single values from a GPU would synchronize for each.
    for count in integers(counts).into_iter().filter(|&count| count > 0) {
        positions.extend((0..per_bin).map(|_| start + draws.below(count as usize) as i64));
        start += count;
    }
    Tensor::from_slice(&positions)
}

impl Miner for UniformHistogramMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        let Candidates {
            distances,
            positives,
            negatives,
            ..
        } = candidates;
        let bins = i64::from(self.bins);
        let (anchor_pos, positive) =
            drawn(bins, distances, positives, self.pos_per_bin as usize, draws);
        let (anchor_neg, negative) =
            drawn(bins, distances, negatives, self.neg_per_bin as usize, draws);
        Tuples::Pairs(Pairs {
            anchor_pos,
            positive,
            anchor_neg,
            negative,
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::super::tests::{list, partners};
    use super::*;

    #[test]
    fn every_bin_that_holds_pairs_gives_as_many_and_each_of_its_pairs_is_equally_likely() {
        let miner = UniformHistogramMiner {
            bins: 4,
            pos_per_bin: 3000,
            neg_per_bin: 2,
            distance: None,
        };
        // Bins of width 1: two distances in the first, none in the second, one and three in the others.
        let (positives, negatives) = partners(&miner, &[0.0, 0.5, 2.0, 3.0, 3.5, 4.0], &[1.0, 1.0]);
        assert_eq!(positives.len(), 9000);
        let count = |place| positives.iter().filter(|&&found| found == place).count() as f64;
        for (place, expected) in [
            (1, 1500.0),
            (2, 1500.0),
            (3, 3000.0),
            (4, 1000.0),
            (5, 1000.0),
            (6, 1000.0),
        ] {
            assert!(
                (count(place) - expected).abs() <= 4.0 * f64::sqrt(expected),
                "{place}: {}",
                count(place)
            );
        }
        // All at one distance are in one bin.
        assert_eq!(negatives.len(), 2);
    }

    #[test]
    fn bins_are_those_of_the_reference() {
        // The reference compares with the ends of the bins one by one.
        let distances: Vec<f64> = (0..50)
            .map(|place| f64::from(place * place % 37) / 10.0 + 0.3)
            .collect();
        let found: Vec<i64> = list(&bins_of(7, &Tensor::from_slice(&distances)));
        let ends = Vec::<f64>::try_from(Tensor::linspace(
            0.3,
            3.9,
            8,
            (Kind::Double, tch::Device::Cpu),
        ))
        .unwrap();
        for (distance, bin) in distances.iter().zip(found) {
            let bin = bin as usize;
            assert!(
                ends[bin] <= *distance && (*distance < ends[bin + 1] || bin == 6),
                "{distance} in {bin}"
            );
        }
    }

    #[test]
    fn the_same_draws_give_the_same_pairs_and_no_pairs_give_none() {
        let miner = UniformHistogramMiner {
            bins: 5,
            pos_per_bin: 2,
            neg_per_bin: 3,
            distance: None,
        };
        let chosen = || partners(&miner, &[0.1, 0.2, 0.9], &[0.3, 0.4, 0.5, 1.0]);
        assert_eq!(chosen(), chosen());
        assert_eq!(partners(&miner, &[], &[]), (vec![], vec![]));
        assert_eq!(partners(&miner, &[1.0], &[]), (vec![1, 1], vec![]));
    }
}
