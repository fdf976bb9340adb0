//! Contrastive loss. Hadsell, Chopra & LeCun, CVPR 2006, Eq. 4, without the squares.
//!
//! Terms: one per positive pair, `max(0, d(a,p) - pos_margin)`, and one per negative pair,
//! `max(0, neg_margin - d(a,n))`, both to the power of `power`. The two parts are reduced separately, each to the mean
//! of its non-zero terms. With a similarity, the margins are similarities.
//! Reference: pytorch-metric-learning (PML) `ContrastiveLoss`; `power` as in its versions of 2020.
//! Differs: a batch with a single positive and a single negative pair counts, while PML calls it empty.

use schema::Contrastive;
use tch::Tensor;

use super::{Loss, LossInput};
use crate::{distance::DistanceExt, reduce::Terms};

impl Loss for Contrastive {
    fn terms(&self, batch: &LossInput) -> Terms {
        let excess = |distances: &Tensor, margin| batch.distance.excess_over(distances, margin);
        batch.terms_of_violations(
            |distances| excess(distances, self.pos_margin),
            |distances| excess(distances, self.neg_margin).neg(),
            |violations| raised(violations.relu(), self.power),
        )
    }
}

/// Returns the terms to this power. Where a term is 0, so is its gradient: the slope of a power below
/// 1 is infinite there.
fn raised(terms: Tensor, power: f64) -> Tensor {
    if power == 1.0 {
        return terms;
    }
    let zero = terms.eq(0.0);
    terms
        .masked_fill(&zero, 1.0)
        .pow_tensor_scalar(power)
        .masked_fill(&zero, 0.0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = Contrastive {
            pos_margin: 0.3,
            neg_margin: 1.1,
            power: 1.0,
        };
        let (_, distances, labels) = batch(loss.distance());
        let (mut far, mut close) = (Vec::new(), Vec::new());
        for (a, b) in (0..12)
            .flat_map(|a| (0..12).map(move |b| (a, b)))
            .filter(|(a, b)| a != b)
        {
            let (terms, term) = match labels[a] == labels[b] {
                true => (&mut far, distances[a][b] - 0.3),
                false => (&mut close, 1.1 - distances[a][b]),
            };
            terms.extend(Some(term).filter(|&term| term > 0.0));
        }
        let mean = |terms: &[f64]| terms.iter().sum::<f64>() / terms.len() as f64;
        assert!((of_all_pairs(&loss) - mean(&far) - mean(&close)).abs() < 1e-12);
    }

    #[test]
    fn a_batch_whose_pairs_cost_nothing_is_empty() {
        is_empty_for(
            &Contrastive {
                pos_margin: 3.0,
                neg_margin: -1.0,
                power: 1.0,
            },
            &[0, 0, 1, 1],
        );
        is_empty_for(
            &Contrastive {
                pos_margin: 0.0,
                neg_margin: 1.0,
                power: 2.0,
            },
            &[0],
        );
    }
}
