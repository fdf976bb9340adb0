//! The hardest positive and negative of each anchor. Hermans, Beyer & Leibe, 2017, "In Defense of the Triplet Loss".
//!
//! One triplet for each anchor that has both: its farthest positive and its closest negative. Often called
//! semi-hard elsewhere, which it is not.
//! Reference: pytorch-metric-learning `BatchHardMiner`, same order.

use super::{BatchEasyHard, Candidates, Miner, Strategy};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Pairs, Triplets, Tuples},
};

/// Chooses the hardest triplet of each anchor.
#[derive(Clone, Debug)]
pub struct BatchHard;

impl Miner for BatchHard {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        let hardest = BatchEasyHard::both(Strategy::Hard).choose(candidates, draws);
        // Either list has one pair for each anchor that is left.
        let Pairs {
            anchor_pos,
            positive,
            negative,
            ..
        } = hardest.pairs();
        Tuples::Triplets(Triplets {
            anchor: anchor_pos,
            positive,
            negative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with_the_reference_in_its_order, partners};
    use super::*;

    #[test]
    fn the_farthest_positive_meets_the_closest_negative() {
        assert_eq!(
            partners(&BatchHard, &[0.5, 2.0, 1.0], &[3.0, 0.25, 0.75]),
            (vec![2], vec![5])
        );
    }

    #[test]
    fn choices_are_those_of_the_reference_in_its_order() {
        agrees_with_the_reference_in_its_order("batch_hard", |_| Box::new(BatchHard));
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        assert_eq!(
            partners(&BatchHard, &[], &[0.5, 1.0]),
            (Vec::new(), Vec::new())
        );
        assert_eq!(
            partners(&BatchHard, &[0.5, 1.0], &[]),
            (Vec::new(), Vec::new())
        );
    }
}
