//! Generalized lifted structure loss. Hermans, Beyer & Leibe, arXiv 1703.07737.
//!
//! Terms: one per anchor, `max(0, log sum exp(d(a,p) - pos_margin) + log sum exp(neg_margin - d(a,n)))`, reduced to the
//! mean over *all* anchors. A sum over nothing is taken to have the logarithm 0. Each pair counts once, however often
//! a miner lists it.
//! Reference: pytorch-metric-learning (PML) `GeneralizedLiftedStructureLoss`. Differs: a batch with a single positive
//! and a single negative pair counts, while PML calls it empty.

use schema::GeneralizedLifted;

use super::{Loss, LossInput, rows};
use crate::{
    distance::DistanceExt,
    reduce::{Part, Terms},
};

impl Loss for GeneralizedLifted {
    fn terms(&self, batch: &LossInput) -> Terms {
        let distances = batch.distances();
        let (positives, negatives) = batch.masks();
        let pull = rows::log_sum_exp(
            &batch.distance.excess_over(&distances, self.pos_margin),
            &positives,
        );
        let push = rows::log_sum_exp(
            &batch
                .distance
                .excess_over(&distances, self.neg_margin)
                .neg(),
            &negatives,
        );
        Terms::of([Part::of_anchors(
            (rows::or_zero(&pull) + rows::or_zero(&push)).relu(),
        )])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_anchors_written_as_a_loop() {
        let loss = GeneralizedLifted {
            neg_margin: 1.2,
            pos_margin: 0.1,
        };
        let terms = sides(loss.distance())
            .into_iter()
            .map(|(positives, negatives)| {
                let pull = positives.iter().map(|d| (d - 0.1).exp()).sum::<f64>();
                let push = negatives.iter().map(|d| (1.2 - d).exp()).sum::<f64>();
                (pull.ln() + push.ln()).max(0.0)
            });
        assert!((of_all_pairs(&loss) - terms.sum::<f64>() / 12.0).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &GeneralizedLifted {
                neg_margin: 1.0,
                pos_margin: 0.0,
            },
            &[0],
        );
    }
}
