//! Contrastive loss. Hadsell, Chopra & LeCun, CVPR 2006, Eq. 4, without the squares.
//!
//! Terms: one per positive pair, `max(0, d(a,p) - pos_margin)`, and one per negative pair,
//! `max(0, neg_margin - d(a,n))`, both to the power of `power`. The two parts are reduced separately, each to the mean
//! of its non-zero terms. A similarity works as well: its margins then divide what is similar from what is not.
//! Reference: pytorch-metric-learning (PML) `ContrastiveLoss`; `power` as in its versions of 2020.
//! Differs: a batch with a single positive and a single negative pair counts, while PML calls it empty.

use tch::Tensor;

use super::{Batch, Loss};
use crate::{
    distance::Distance,
    reduce::{Reduction, Terms},
};

/// Contrastive loss.
#[derive(Clone, Debug)]
pub struct Contrastive {
    /// A positive pair costs nothing when it is closer than this.
    pub pos_margin: f64,
    /// A negative pair costs nothing when it is farther than this.
    pub neg_margin: f64,
    /// The power of each term: 2 in the paper.
    pub power: f64,
}

impl Loss for Contrastive {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn reduction(&self) -> Reduction {
        Reduction::AvgNonZero
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let excess = |distances: &Tensor, margin| batch.distance.excess_over(distances, margin);
        batch.terms_of_pairs(
            |distances| self.raised(excess(distances, self.pos_margin).relu()),
            |distances| self.raised(excess(distances, self.neg_margin).neg().relu()),
        )
    }
}

impl Contrastive {
    /// The slope of a power below 1 is infinite at 0, where a term costs nothing and pulls at nothing.
    fn raised(&self, terms: Tensor) -> Tensor {
        if self.power == 1.0 {
            return terms;
        }
        let nothing = terms.eq(0.0);
        terms
            .masked_fill(&nothing, 1.0)
            .pow_tensor_scalar(self.power)
            .masked_fill(&nothing, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{
        agrees_with, agrees_with_golden_values, batch, is_empty_for, of_all_pairs,
    };
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
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with_golden_values("contrastive");
        agrees_with(include_str!("testdata/contrastive.json"), |settings| {
            let setting = |name: &str| settings[name].as_f64().unwrap();
            let (pos_margin, neg_margin) = (setting("pos_margin"), setting("neg_margin"));
            Box::new(Contrastive {
                pos_margin,
                neg_margin,
                power: setting("power"),
            })
        });
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
