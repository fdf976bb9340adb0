//! Lifted structure loss. Song et al., CVPR 2016, in its smooth form.
//!
//! Terms: one per positive pair, `max(0, log sum exp(neg_margin - d) + d(a,p) - pos_margin)² / 2`, with the sum over
//! the negatives of the anchor and those of the positive; reduced to the mean. A pair that a miner lists several times
//! counts as often. A sum over nothing is taken to have the logarithm 0.
//! Reference: pytorch-metric-learning (PML) `LiftedStructureLoss`. Differs: the sums are taken once per anchor, not
//! once per pair. A batch with a single positive and a single negative pair counts, while PML calls it empty. In a memory, a positive has negatives if it is a copy of an image of the batch; PML takes the
//! negatives of whatever image of the batch has the same row number.

use schema::Lifted;
use tch::{Kind, Tensor};

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
    tuples::{References, Tuples, at},
};

impl Loss for Lifted {
    fn terms(&self, batch: &LossInput) -> Terms {
        let distances = batch.distances();
        let chosen = Chosen::of(batch, &distances);
        let exponents = batch
            .distance
            .excess_over(&distances, self.neg_margin)
            .neg()
            + chosen.counts.log();
        let is_negative = chosen.counts.gt(0.0);
        let of_images = rows::log_sum_exp(&exponents, &is_negative);
        let of_references = of_references(&of_images, batch.references);
        let of_pairs = [
            of_images.index(&[Some(&chosen.anchors)]),
            of_references.index(&[Some(&chosen.positives)]),
        ];
        let push = rows::or_zero(&Tensor::stack(&of_pairs, 1).logsumexp([1], false));
        let positive = at(&distances, &chosen.anchors, &chosen.positives);
        let violation = push + batch.distance.excess_over(&positive, self.pos_margin);
        // Without a negative pair, no pair counts.
        let values =
            (violation.relu().square() / 2.0).masked_fill(&is_negative.any().logical_not(), 0.0);
        Terms::of([Part::of_tuples(values, &chosen.anchors)])
    }
}

/// The chosen pairs.
struct Chosen {
    /// `[p]`: the anchor of each positive pair.
    anchors: Tensor,
    /// `[p]`: its positive.
    positives: Tensor,
    /// `[n, m]`: how often each negative pair was chosen.
    counts: Tensor,
}

impl Chosen {
    fn of(batch: &LossInput, distances: &Tensor) -> Chosen {
        if let None | Some(Tuples::MarkedPairs(_)) = batch.chosen {
            let (anchors, positives) = batch.positive_pairs();
            let counts = batch.masks().1.to_kind(distances.kind());
            return Chosen {
                anchors,
                positives,
                counts,
            };
        }
        let pairs = batch.pairs();
        Chosen {
            counts: rows::counts(distances, &pairs.anchor_neg, &pairs.negative),
            anchors: pairs.anchor_pos,
            positives: pairs.positive,
        }
    }
}

/// The sum of each reference that is an image of the batch, minus infinity for others: `[m]` from `[n]`.
fn of_references(of_images: &Tensor, references: &References) -> Tensor {
    if references.is_batch {
        return of_images.shallow_clone();
    }
    let options = (Kind::Int64, of_images.device());
    let images = of_images.size()[0];
    // Images without a copy, whose index is -1, write into the row after the last.
    let copies = references.labels.size()[0];
    let rows = Tensor::full([copies + 1], images, options).index_put(
        &[Some(&references.own)],
        &Tensor::arange(images, options),
        false,
    );
    let nothing = Tensor::full(
        [1],
        f64::NEG_INFINITY,
        (of_images.kind(), of_images.device()),
    );
    Tensor::cat(&[of_images, &nothing], 0).index(&[Some(rows.narrow(0, 0, copies))])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = Lifted {
            neg_margin: 1.2,
            pos_margin: 0.1,
        };
        let (_, distances, labels) = batch(loss.distance());
        let sum = |a: usize| {
            (0..12)
                .filter(|&n| labels[n] != labels[a])
                .map(|n| (1.2 - distances[a][n]).exp())
                .sum::<f64>()
        };
        let pairs = (0..12).flat_map(|a| (0..12).map(move |p| (a, p)));
        let terms: Vec<f64> = pairs
            .filter(|&(a, p)| a != p && labels[a] == labels[p])
            .map(|(a, p)| {
                ((sum(a) + sum(p)).ln() + distances[a][p] - 0.1)
                    .max(0.0)
                    .powi(2)
                    / 2.0
            })
            .collect();
        assert!(
            (of_all_pairs(&loss) - terms.iter().sum::<f64>() / terms.len() as f64).abs() < 1e-12
        );
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &Lifted {
                neg_margin: 1.0,
                pos_margin: 0.0,
            },
            &[0],
        );
        is_empty_for(
            &Lifted {
                neg_margin: 1.0,
                pos_margin: 0.0,
            },
            &[0, 0, 0],
        );
        is_empty_for(
            &Lifted {
                neg_margin: 1.0,
                pos_margin: 0.0,
            },
            &[0, 1, 2],
        );
    }
}
