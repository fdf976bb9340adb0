//! Negatives evenly spread over all distances. Wu, Manmatha, Smola & Krähenbühl, "Sampling Matters in Deep Embedding
//! Learning", ICCV 2017, section 4.
//!
//! On the unit sphere of dimension D, the distance between random points has a density `q(d)` with
//! `log q(d) = (D - 2) log d + (D - 3)/2 log(1 - d²/4)`. For each positive pair one negative of its anchor is drawn
//! with a probability proportional to `1 / q(max(d, cutoff))`, but never at `nonzero_loss_cutoff` or beyond. An anchor
//! without such a negative is left out.
//! Reference: pytorch-metric-learning (PML) `DistanceWeightedMiner`, same probabilities of negatives. Differs: PML
//! draws as many positives for each anchor as there are images of its class, with replacement; here every positive
//! pair is taken once, as in the paper. PML subtracts the largest weight of the whole matrix before it takes the
//! exponential, so that in high dimensions whole rows vanish; here it is that of the row.

use schema::DistanceWeightedMiner;
use tch::{Device, Kind, Tensor};

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::host_labels::PositivePairs,
    tuples::{MarkedTriplets, Triplets, Tuples},
    upload::uploaded,
};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// Returns the weight of each negative, `[n, m]` in double precision; the largest of a row is 1.
/// `dimension` is the dimension of the embeddings.
fn weights(
    miner: &DistanceWeightedMiner,
    distances: &Tensor,
    negatives: &Tensor,
    dimension: f64,
) -> Tensor {
    let distances = distances.to_kind(Kind::Double).clamp_min(miner.cutoff);
    let log_height: Tensor = (distances.square() / -4.0).log1p();
    let log_weights = distances.log() * (2.0 - dimension) - log_height * ((dimension - 3.0) / 2.0);
    let possible = negatives.logical_and(&distances.lt(miner.nonzero_loss_cutoff));
    let possible = possible.logical_and(&log_weights.isfinite());
    let log_weights = log_weights.masked_fill(&possible.logical_not(), f64::NEG_INFINITY);
    let largest = log_weights.amax([1], true);
    (log_weights - largest)
        .exp()
        .masked_fill(&possible.logical_not(), 0.0)
}

impl Miner for DistanceWeightedMiner {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        let Candidates {
            embeddings,
            distances,
            negatives,
            ..
        } = candidates;
        let weights = weights(self, distances, negatives, embeddings.size()[1] as f64);
        let can_choose = weights.gt(0.0).any_dim(1, false);
        let pairs = candidates.positive_pairs();
        let kept = can_choose.index_select(0, &pairs.anchors);
        if weights.device() != Device::Cpu {
            return Tuples::MarkedTriplets(marked(&weights, pairs, &kept, draws));
        }
        let kept = kept.nonzero().squeeze_dim(1);
        let anchor = pairs.anchors.index_select(0, &kept);
        let numbers = numbers(anchor.numel(), draws);
        Tuples::Triplets(Triplets {
            negative: drawn(&weights, &anchor, &numbers),
            anchor,
            positive: pairs.positives.index_select(0, &kept),
        })
    }
}

/// Returns this many uniform numbers.
fn numbers(count: usize, draws: &mut Draws) -> Tensor {
    let numbers: Vec<f64> = (0..count).map(|_| draws.uniform()).collect();
    Tensor::from_slice(&numbers)
}

/// Returns a negative for each of these anchors `[p]`: the first at which the cumulative weight exceeds a share of the
/// total, given by uniform numbers `[p]`.
fn drawn(weights: &Tensor, anchors: &Tensor, numbers: &Tensor) -> Tensor {
    let sums = weights.cumsum(1, Kind::Double).index_select(0, anchors);
    let last = sums.size()[1] - 1;
    let shares = numbers.unsqueeze(1) * sums.narrow(1, last, 1);
    let negative = shares.searchsorted(&sums, false, true, "right", None::<&Tensor>);
    negative.squeeze_dim(1).clamp_max(last)
}

/// Returns one triplet for each of the `kept` pairs `[p]`, by the numbers that a list of them would get.
fn marked(
    weights: &Tensor,
    pairs: &PositivePairs,
    kept: &Tensor,
    draws: &mut Draws,
) -> MarkedTriplets {
    // The first number is for pairs that are not kept.
    let numbers = Tensor::cat(
        &[Tensor::zeros([1], DOUBLE), numbers(kept.numel(), draws)],
        0,
    );
    let numbers = uploaded(&numbers, weights.device());
    let numbers = numbers.index_select(0, &kept.cumsum(0, Kind::Int64));
    let negative = drawn(weights, &pairs.anchors, &numbers).unsqueeze(1);
    let mut negatives = Tensor::zeros(
        [kept.size()[0], weights.size()[1]],
        (Kind::Bool, weights.device()),
    );
    let _ = negatives.scatter_(1, &negative, &kept.unsqueeze(1));
    MarkedTriplets {
        anchor: pairs.anchors.shallow_clone(),
        positive: pairs.positives.shallow_clone(),
        negatives,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::list;
    use super::*;
    use crate::{
        distance::{DistanceExt, normalize},
        random::Purpose,
        testing::{noise, rows},
        tuples::{References, Triplets},
    };

    const DEFAULT: DistanceWeightedMiner = DistanceWeightedMiner {
        cutoff: 0.5,
        nonzero_loss_cutoff: 1.4,
    };

    /// One pair of class 0. Its first image is at these distances from images of class 1.
    fn circle(distances: &[f64], dimension: i64) -> (Tensor, Tensor) {
        let angles = distances
            .iter()
            .map(|distance| 2.0 * (distance / 2.0f64).asin());
        let angles: Vec<f64> = [0.0, -0.1].into_iter().chain(angles).collect();
        let labels: Vec<i64> = (0..angles.len() as i64)
            .map(|image| image.min(2) / 2)
            .collect();
        let angles = Tensor::from_slice(&angles);
        let rest = Tensor::zeros(
            [angles.size()[0], dimension - 2],
            (Kind::Double, tch::Device::Cpu),
        );
        let plane = Tensor::stack(&[angles.cos(), angles.sin()], 1);
        (Tensor::cat(&[plane, rest], 1), Tensor::from_slice(&labels))
    }

    fn mined(
        miner: &DistanceWeightedMiner,
        (embeddings, labels): &(Tensor, Tensor),
        occasion: u64,
    ) -> Triplets {
        let mut draws = Draws::new(3, Purpose::Mining, occasion, 0);
        miner
            .mine(
                embeddings,
                labels,
                &References::batch(embeddings, labels),
                None,
                &mut draws,
            )
            .triplets(labels.size()[0])
    }

    #[test]
    fn negatives_are_drawn_as_often_as_the_density_says() {
        let distances = [0.3, 0.5, 0.8, 1.0, 1.3, 1.5, 1.9];
        for dimension in [3, 8] {
            let batch = circle(&distances, dimension);
            let mut counts = [0.0; 7];
            let trials = 4000;
            for occasion in 0..trials {
                let triplets = mined(&DEFAULT, &batch, occasion);
                let places = list(&triplets.anchor)
                    .into_iter()
                    .zip(list(&triplets.negative));
                places
                    .filter(|&(anchor, _)| anchor == 0)
                    .for_each(|(_, place)| counts[place as usize - 2] += 1.0);
            }
            let power = (dimension - 3) as f64 / 2.0;
            let weight = |d: f64| {
                d.max(0.5).powi(2 - dimension as i32)
                    * (1.0 - d.max(0.5).powi(2) / 4.0).powf(-power)
            };
            let weights: Vec<f64> = distances
                .map(|d| if d < 1.4 { weight(d) } else { 0.0 })
                .to_vec();
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(&weights) {
                let expected = trials as f64 * weight / total;
                assert!(
                    (count - expected).abs() <= 4.5 * expected.sqrt(),
                    "{dimension}: {counts:?}, {weights:?}"
                );
            }
        }
    }

    #[test]
    fn no_negative_is_lost_in_high_dimensions() {
        let (embeddings, labels) = circle(&[0.7, 0.9, 1.1, 1.3], 2048);
        for kind in [Kind::Float, Kind::Double] {
            let embeddings = embeddings.to_kind(kind);
            let distances = Distance::Euclidean.matrix(&embeddings, &embeddings);
            let (_, negatives) = References::batch(&embeddings, &labels).masks(&labels);
            let weights = weights(&DEFAULT, &distances, &negatives, 2048.0);
            let largest = rows(&weights.amax([1], true));
            assert!(largest.iter().all(|row| row[0] == 1.0), "{largest:?}");
        }
    }

    #[test]
    fn every_positive_pair_gets_one_negative_and_the_same_draws_give_the_same() {
        let labels = Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1]);
        let batch = (normalize(&noise(1, 8, 4)), labels);
        let miner = DistanceWeightedMiner {
            cutoff: 0.5,
            nonzero_loss_cutoff: 2.0,
        };
        let columns = |occasion| {
            let Triplets {
                anchor,
                positive,
                negative,
            } = mined(&miner, &batch, occasion);
            [anchor, positive, negative].map(|column| list(&column))
        };
        let [anchors, positives, negatives] = columns(1);
        assert_eq!(anchors, [0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7]);
        assert_eq!(positives, [3, 6, 4, 7, 5, 0, 6, 1, 7, 2, 0, 3, 1, 4]);
        assert!(
            anchors
                .iter()
                .zip(&negatives)
                .all(|(anchor, negative)| anchor % 3 != negative % 3)
        );
        assert_eq!(columns(1), columns(1));
        assert_ne!(columns(1), columns(2));
    }

    #[test]
    fn an_anchor_without_a_negative_within_the_cutoff_is_left_out() {
        assert_eq!(
            list(&mined(&DEFAULT, &circle(&[1.5, 1.9], 4), 0).anchor),
            [0i64; 0]
        );
        let alone = (
            normalize(&noise(1, 3, 4)),
            Tensor::from_slice(&[5i64, 5, 5]),
        );
        assert_eq!(list(&mined(&DEFAULT, &alone, 0).anchor), [0i64; 0]);
    }
}
