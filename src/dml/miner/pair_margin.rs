//! Pairs on the wrong side of a margin. Hadsell, Chopra & LeCun, CVPR 2006: those that cost something there.
//!
//! Keeps positives farther than `pos_margin` and negatives closer than `neg_margin`.
//! Reference: pytorch-metric-learning `PairMarginMiner`, same order.

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Pairs, Tuples},
};

/// Chooses pairs by their distance.
#[derive(Clone, Debug)]
pub struct PairMargin {
    /// Positives must be farther than this.
    pub pos_margin: f64,
    /// Negatives must be closer than this.
    pub neg_margin: f64,
}

impl Miner for PairMargin {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let Candidates {
            distance,
            distances,
            positives,
            negatives,
            ..
        } = candidates;
        let far = distance.excess_over(distances, self.pos_margin).gt(0.0);
        let close = distance.excess_over(distances, self.neg_margin).lt(0.0);
        Tuples::Pairs(Pairs::marked(
            &positives.logical_and(&far),
            &negatives.logical_and(&close),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with_the_reference_in_its_order, partners};
    use super::*;

    #[test]
    fn pairs_at_the_margin_are_not_kept() {
        let miner = PairMargin {
            pos_margin: 0.25,
            neg_margin: 0.75,
        };
        assert_eq!(
            partners(&miner, &[0.125, 0.25, 0.5], &[0.5, 0.75, 1.0]),
            (vec![3], vec![4])
        );
    }

    #[test]
    fn choices_are_those_of_the_reference_in_its_order() {
        agrees_with_the_reference_in_its_order("pair_margin", |settings| {
            let setting = |name: &str| settings[name].as_f64().unwrap();
            Box::new(PairMargin {
                pos_margin: setting("pos_margin"),
                neg_margin: setting("neg_margin"),
            })
        });
    }

    #[test]
    fn positives_and_negatives_are_chosen_apart() {
        let miner = PairMargin {
            pos_margin: 0.25,
            neg_margin: 0.75,
        };
        assert_eq!(partners(&miner, &[], &[0.5]), (vec![], vec![1]));
        assert_eq!(partners(&miner, &[0.5], &[]), (vec![1], vec![]));
        assert_eq!(partners(&miner, &[], &[]), (vec![], vec![]));
    }
}
