//! Triplet margin loss. Weinberger & Saul, JMLR 2009; a margin on plain distances, not on their squares as in
//! Schroff et al., CVPR 2015, Eq. 3.
//!
//! Terms: one per triplet, `max(0, d(a,p) - d(a,n) + margin)`, reduced to the mean of the non-zero ones. With `swap`
//! the distance of the negative is that from the anchor or the positive, whichever is smaller (Balntas et al., BMVC 2016);
//! with `smooth` the hinge is `log(1 + exp(..))`.
//! Reference: pytorch-metric-learning (PML) `TripletMarginLoss`. Differs: against a memory `swap` compares positives
//! with negatives, which are both in the memory; PML takes rows of the batch for positives there.

use schema::Triplet;
use tch::Tensor;

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    links::Side,
    reduce::{Part, Terms},
    tuples::{Triplets, at},
};

impl Loss for Triplet {
    fn terms(&self, batch: &LossInput) -> Terms {
        let distances = batch.distances();
        if let Some(triplets) = batch.marked_triplets_on_gpu() {
            let positive = at(&distances, &triplets.anchor, &triplets.positive).unsqueeze(1);
            let all = distances.index(&[Some(&triplets.anchor)]);
            let all = if self.swap {
                let from_positives = from_positives(batch, &triplets.positive);
                the_closer(batch, &all, &from_positives)
            } else {
                all
            };
            let values = hinge(self, &batch.distance.excess(&positive, &all));
            let weights = boosted(self, batch, |distances| {
                let positive = at(distances, &triplets.anchor, &triplets.positive).unsqueeze(1);
                let all = distances.index(&[Some(&triplets.anchor)]);
                batch.distance.excess(&positive, &all)
            });
            let part = Part::of_marked_rows(&values, triplets.negatives, &triplets.anchor);
            return Terms::of([part.weighted(weights)]);
        }
        let triplets = batch.triplets();
        let positive = at(&distances, &triplets.anchor, &triplets.positive);
        let negative = at(&distances, &triplets.anchor, &triplets.negative);
        let negative = if self.swap {
            from_the_closer(batch, &triplets, &negative)
        } else {
            negative
        };
        let values = hinge(self, &batch.distance.excess(&positive, &negative));
        let weights = boosted(self, batch, |distances| {
            let positive = at(distances, &triplets.anchor, &triplets.positive);
            let negative = at(distances, &triplets.anchor, &triplets.negative);
            batch.distance.excess(&positive, &negative)
        });
        Terms::of([Part::of_tuples(values, &triplets.anchor).weighted(weights)])
    }
}

/// Returns the weights of triplets by the heads before this one, whose excesses are those of their distances.
fn boosted(
    loss: &Triplet,
    batch: &LossInput,
    excess: impl Fn(&Tensor) -> Tensor,
) -> Option<Tensor> {
    let boosting = batch.boosting?;
    let violation = |distances: &Tensor| excess(distances) + loss.margin;
    Some(boosting.weights(Side::Pull, violation, |violation| beyond(loss, violation)))
}

/// Returns the term of each triplet, given by how much its positive is farther than its negative.
fn hinge(loss: &Triplet, excess: &Tensor) -> Tensor {
    beyond(loss, &(excess + loss.margin))
}

/// Returns the term of each triplet, given by how far it is from satisfying the margin.
fn beyond(loss: &Triplet, violation: &Tensor) -> Tensor {
    if loss.smooth {
        rows::softplus(violation)
    } else {
        violation.relu()
    }
}

/// Returns the distance of each negative from its anchor or its positive, whichever is closer.
fn from_the_closer(batch: &LossInput, triplets: &Triplets, from_anchors: &Tensor) -> Tensor {
    let references = &batch.references.embeddings;
    let (positives, rows) = triplets.positive.internal_unique(true, true);
    let distances = batch
        .distance
        .matrix(&references.index(&[Some(positives)]), references);
    the_closer(
        batch,
        from_anchors,
        &at(&distances, &rows, &triplets.negative),
    )
}

/// Returns the distances of all references from these positives `[p]`: `[p, m]`.
fn from_positives(batch: &LossInput, positives: &Tensor) -> Tensor {
    let references = &batch.references.embeddings;
    batch
        .distance
        .matrix(&references.index(&[Some(positives)]), references)
}

/// Returns the closer one of each two distances.
fn the_closer(batch: &LossInput, one: &Tensor, other: &Tensor) -> Tensor {
    if batch.distance.is_inverted() {
        one.maximum(other)
    } else {
        one.minimum(other)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_triplets_written_as_a_loop() {
        let loss = Triplet {
            margin: 0.2,
            swap: false,
            smooth: false,
        };
        let (_, distances, labels) = batch(loss.distance());
        let (mut sum, mut count) = (0.0, 0);
        for (a, p) in (0..12)
            .flat_map(|a| (0..12).map(move |p| (a, p)))
            .filter(|&(a, p)| a != p && labels[a] == labels[p])
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
    fn a_batch_without_triplets_is_empty() {
        is_empty_for(
            &Triplet {
                margin: 0.05,
                swap: true,
                smooth: true,
            },
            &[0, 0, 0],
        );
        is_empty_for(
            &Triplet {
                margin: 0.05,
                swap: true,
                smooth: true,
            },
            &[0, 1, 2],
        );
        is_empty_for(
            &Triplet {
                margin: 0.05,
                swap: true,
                smooth: true,
            },
            &[0],
        );
    }
}
