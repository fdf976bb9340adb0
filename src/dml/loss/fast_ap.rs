//! FastAP: average precision of quantized distances. Cakir et al., CVPR 2019.
//!
//! Terms: one per anchor that has a positive, `1 - AP(a)`, times the anchor's weight; reduced to the mean. Distances
//! are sorted into `bins + 1` overlapping bins, between which each counts for the two next to it. With `h` positives
//! in a bin, `H` of them in it and all closer ones, and `T` images of any class there, `AP = sum h H / T` over the
//! number of positives. A miner's pairs only weigh anchors.
//! Reference: pytorch-metric-learning (PML) `FastAPLoss`. Differs: references may be a memory; distances are those
//! of embeddings of length one, and longer ones end in the last bin.

use schema::{Distance, FastAp};
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for FastAp {
    fn terms(&self, batch: &LossInput) -> Terms {
        let bins = i64::from(self.bins);
        let positions = batch.bin_positions(bins);
        let (positives, negatives) = batch.references.masks(batch.labels);
        let of_positives = rows::soft_histogram(&positions, &positives, bins);
        let of_all = &of_positives + rows::soft_histogram(&positions, &negatives, bins);
        let closer = rows::running_sums(&of_all);
        let hits = &of_positives * rows::running_sums(&of_positives);
        let precision = hits / closer.masked_fill(&closer.le(0.0), 1.0);
        let precision = precision.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let anchors = rows::with_any(&positives);
        let missed: Tensor = 1.0 - precision / rows::count(&positives).clamp_min(1);
        let values = missed * batch.weights();
        Terms::of([Part::of_some(&values, &anchors)])
    }
}

impl LossInput<'_> {
    /// Returns the distances of embeddings of length one, scaled from 0, the nearest, to `bins`, the
    /// farthest: `[n, m]`.
    pub(super) fn bin_positions(&self, bins: i64) -> Tensor {
        let (nearest, range) = match self.distance {
            Distance::Euclidean | Distance::Lp(_) => (0.0, 2.0),
            Distance::Cosine | Distance::DotProduct => (1.0, 2.0),
            Distance::SquaredEuclidean | Distance::SignalToNoise => (0.0, 4.0),
            // Twice the length of each, from one side of the ball to the other.
            Distance::Hyperbolic(ball) => (0.0, 4.0 * ball.clip.min(1.0)),
        };
        self.distance.excess_over(&self.distances(), nearest) * (bins as f64 / range)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_and_bins_written_as_a_loop() {
        let loss = FastAp { bins: 7 };
        let pulse = |distance: f64, bin: usize| {
            (1.0 - (distance - bin as f64 * 4.0 / 7.0).abs() / (4.0 / 7.0)).max(0.0)
        };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let histogram = |distances: &[f64], bin| {
                    distances
                        .iter()
                        .map(|&distance| pulse(distance, bin))
                        .sum::<f64>()
                };
                let (mut precision, mut hits, mut all) = (0.0, 0.0, 0.0);
                for bin in 0..=7 {
                    hits += histogram(&positives, bin);
                    all += histogram(&positives, bin) + histogram(&negatives, bin);
                    precision += if all > 0.0 {
                        histogram(&positives, bin) * hits / all
                    } else {
                        0.0
                    };
                }
                1.0 - precision / positives.len() as f64
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&FastAp { bins: 10 }, &[0]);
        is_empty_for(&FastAp { bins: 10 }, &[0, 1, 2]);
    }
}
