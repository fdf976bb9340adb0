//! Pairs evenly spread over their distances.
//!
//! The distances of all positive pairs, from the least to the greatest, are divided into bins of equal width; of each
//! bin that holds any, `pos_per_bin` pairs are drawn with replacement. So for negative pairs.
//! Reference: pytorch-metric-learning `UniformHistogramMiner`, the same bins and probabilities.

use schema::UniformHistogramMiner;
use tch::{Device, Kind, Tensor};

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    download::integers,
    random::Draws,
    tuples::{Pairs, Tuples, at, coordinates, occurrences},
    upload::Parcel,
};

/// Pairs sorted into bins.
struct Binned {
    /// `[t]`: the pairs in the order of their bins.
    order: Tensor,
    /// `[bins]`: the number of pairs in each bin.
    counts: Tensor,
    places: Places,
}

/// Where the pairs of [`Binned`] are.
enum Places {
    /// `[t]` each: their anchors and the other images.
    Listed(Tensor, Tensor),
    /// In a matrix with this number of columns, row by row.
    InMatrix(i64),
}

impl Binned {
    /// Sorts the pairs that `mask` marks, both `[n, m]`. On a GPU, where the host would wait for the length of a list, the
    /// others are sorted with them, into a bin of their own after the last.
    fn of(bins: i64, distances: &Tensor, mask: &Tensor) -> Binned {
        if distances.device() != Device::Cpu {
            return Binned::in_matrix(bins, distances, mask);
        }
        let (anchors, others) = coordinates(mask);
        let distances = at(distances, &anchors, &others);
        let bin_of_pair = match distances.numel() {
            0 => anchors.shallow_clone(),
            _ => bins_of(&distances, &ends(bins, &distances)),
        };
        Binned {
            order: bin_of_pair.argsort_stable(true, 0, false),
            counts: occurrences(&bin_of_pair, bins),
            places: Places::Listed(anchors, others),
        }
    }

    fn in_matrix(bins: i64, distances: &Tensor, mask: &Tensor) -> Binned {
        let least = distances.where_scalarother(mask, f64::INFINITY).min();
        let most = distances.where_scalarother(mask, f64::NEG_INFINITY).max();
        // Other than on the CPU, the host does not know the ends, and up to rounding they are the same.
        let shares = Tensor::linspace(0, 1, bins + 1, (distances.kind(), distances.device()));
        let ends = least.lerp_tensor(&most, &shares);
        let bin_of_pair = bins_of(distances, &ends).where_scalarother(mask, bins);
        let (sorted, order) = bin_of_pair.flatten(0, 1).sort_stable(true, 0, false);
        let numbers = Tensor::arange(bins + 1, (Kind::Int64, distances.device()));
        let starts = numbers.searchsorted(&sorted, false, false, "left", None::<&Tensor>);
        Binned {
            order,
            counts: starts.diff(1, 0, None::<Tensor>, None::<Tensor>),
            places: Places::InMatrix(distances.size()[1]),
        }
    }

    /// Returns the anchors and the other images of the pairs at these positions `[t]`.
    fn at(&self, positions: &Tensor) -> (Tensor, Tensor) {
        let chosen = self.order.index_select(0, positions);
        match &self.places {
            Places::Listed(anchors, others) => (
                anchors.index_select(0, &chosen),
                others.index_select(0, &chosen),
            ),
            Places::InMatrix(columns) => (
                chosen.divide_scalar_mode(*columns, "floor"),
                chosen.remainder(*columns),
            ),
        }
    }
}

/// Returns the ends of bins of equal width between the least and the greatest of some distances: `[bins + 1]`.
fn ends(bins: i64, distances: &Tensor) -> Tensor {
    let options = (distances.kind(), distances.device());
    Tensor::linspace_tensor_tensor(&distances.min(), &distances.max(), bins + 1, options)
}

/// Returns the bin of each distance, from 0. A bin includes its lower end, the last one its upper end
/// as well.
fn bins_of(distances: &Tensor, ends: &Tensor) -> Tensor {
    let bins = ends.size()[0] - 1;
    (distances.bucketize(ends, false, true) - 1).clamp(0, bins - 1)
}

/// Draws `per_bin` positions from each bin, where the positions of a bin are consecutive.
fn positions(counts: &[i64], per_bin: u32, draws: &mut Draws) -> Tensor {
    let mut positions = Vec::new();
    let mut start = 0;
    for &count in counts.iter().filter(|&&count| count > 0) {
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
        let bins = i64::from(self.bins);
        let binned = [&candidates.positives, &candidates.negatives];
        let binned = binned.map(|mask| Binned::of(bins, &candidates.distances, mask));
        // Read at once: a GPU makes the host wait for each reading.
        let counts = integers(&Tensor::cat(&[&binned[0].counts, &binned[1].counts], 0));
        let (of_positives, of_negatives) = counts.split_at(self.bins as usize);
        let drawn = [
            positions(of_positives, self.pos_per_bin, draws),
            positions(of_negatives, self.neg_per_bin, draws),
        ];
        let drawn = Parcel::packed(drawn, candidates.distances.device()).sent();
        let (anchor_pos, positive) = binned[0].at(&drawn[0]);
        let (anchor_neg, negative) = binned[1].at(&drawn[1]);
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
        let of_pairs = Tensor::from_slice(&distances);
        let found: Vec<i64> = list(&bins_of(&of_pairs, &super::ends(7, &of_pairs)));
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
