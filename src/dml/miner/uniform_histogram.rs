//! Pairs evenly spread over their distances.
//!
//! The distances of all positive pairs, from the least to the greatest, are divided into bins of equal width; of each
//! bin that holds any, `pos_per_bin` pairs are drawn with replacement. So for negative pairs.
//! Reference: pytorch-metric-learning `UniformHistogramMiner`, the same bins and probabilities.

use tch::Tensor;

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Pairs, Tuples, at, coordinates},
};

/// Draws as many pairs from every range of distances.
#[derive(Clone, Debug)]
pub struct UniformHistogram {
    /// How many bins, at least 1.
    pub bins: i64,
    /// Positive pairs drawn from each.
    pub pos_per_bin: usize,
    /// Negative pairs drawn from each.
    pub neg_per_bin: usize,
}

impl UniformHistogram {
    /// Draws from what `mask` marks.
    fn drawn(
        &self,
        distances: &Tensor,
        mask: &Tensor,
        per_bin: usize,
        draws: &mut Draws,
    ) -> (Tensor, Tensor) {
        let (anchors, others) = coordinates(mask);
        if anchors.numel() == 0 {
            return (anchors, others);
        }
        let bins = self.bins_of(&at(distances, &anchors, &others));
        let order = bins.argsort_stable(true, 0, false);
        let places = places(&bins.bincount(None::<Tensor>, self.bins), per_bin, draws);
        let chosen = order.index_select(0, &places.to_device(order.device()));
        (
            anchors.index_select(0, &chosen),
            others.index_select(0, &chosen),
        )
    }

    /// The bin of each distance, from 0. A bin includes its lower end, the last one its upper end as well.
    fn bins_of(&self, distances: &Tensor) -> Tensor {
        let options = (distances.kind(), distances.device());
        let ends = Tensor::linspace_tensor_tensor(
            &distances.min(),
            &distances.max(),
            self.bins + 1,
            options,
        );
        (distances.bucketize(&ends, false, true) - 1).clamp(0, self.bins - 1)
    }
}

/// Draws so many places from each bin, where those of a bin follow each other.
fn places(counts: &Tensor, per_bin: usize, draws: &mut Draws) -> Tensor {
    let (mut places, mut start) = (Vec::new(), 0);
    // Read at once: each number of a GPU would be waited for.
    let counts = counts.to_device(tch::Device::Cpu);
    for count in counts
        .iter::<i64>()
        .into_iter()
        .flatten()
        .filter(|&count| count > 0)
    {
        places.extend((0..per_bin).map(|_| start + draws.below(count as usize) as i64));
        start += count;
    }
    Tensor::from_slice(&places)
}

impl Miner for UniformHistogram {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        let Candidates {
            distances,
            positives,
            negatives,
            ..
        } = candidates;
        let (anchor_pos, positive) = self.drawn(distances, positives, self.pos_per_bin, draws);
        let (anchor_neg, negative) = self.drawn(distances, negatives, self.neg_per_bin, draws);
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
        let miner = UniformHistogram {
            bins: 4,
            pos_per_bin: 3000,
            neg_per_bin: 2,
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
        let miner = UniformHistogram {
            bins: 7,
            pos_per_bin: 1,
            neg_per_bin: 1,
        };
        let found: Vec<i64> = list(&miner.bins_of(&Tensor::from_slice(&distances)));
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
        let miner = UniformHistogram {
            bins: 5,
            pos_per_bin: 2,
            neg_per_bin: 3,
        };
        let chosen = || partners(&miner, &[0.1, 0.2, 0.9], &[0.3, 0.4, 0.5, 1.0]);
        assert_eq!(chosen(), chosen());
        assert_eq!(partners(&miner, &[], &[]), (vec![], vec![]));
        assert_eq!(partners(&miner, &[1.0], &[]), (vec![1, 1], vec![]));
    }
}
