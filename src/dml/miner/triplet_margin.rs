//! Triplets by how far they are from a margin. Schroff, Kalenichenko & Philbin, CVPR 2015, section 3.2.
//!
//! Of all triplets, with the gap `g = d(a,n) - d(a,p)`, keeps those with
//! `g <= margin` (all that violate the margin), `g <= 0` and `g <= margin` (hard), `0 < g <= margin` (semi-hard)
//! or `g > margin` (easy).
//! Reference: pytorch-metric-learning `TripletMarginMiner(type_of_triplets=...)`, same order. Differs: an
//! image's own copy in a memory is never a positive here; PML mines it and drops it afterwards.

use tch::Tensor;

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Triplets, Tuples, at, coordinates},
};

/// Chooses triplets by their gap.
#[derive(Clone, Debug)]
pub struct TripletMargin {
    /// How much farther a negative should be than a positive.
    pub margin: f64,
    /// Which triplets are kept.
    pub keep: Violation,
}

/// Whether, and how much, a triplet violates a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// By any amount.
    All,
    /// So that the negative is not farther than the positive.
    Hard,
    /// Though the negative is farther than the positive.
    SemiHard,
    /// Not at all.
    Easy,
}

impl TripletMargin {
    fn kept(&self, gap: &Tensor) -> Tensor {
        match self.keep {
            Violation::All => gap.le(self.margin),
            Violation::Hard => gap.le(self.margin.min(0.0)),
            Violation::SemiHard => gap.gt(0.0).logical_and(&gap.le(self.margin)),
            Violation::Easy => gap.gt(self.margin),
        }
    }
}

impl Miner for TripletMargin {
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
        // One row for each positive pair: no list of all triplets is needed.
        let (anchors, partners) = coordinates(positives);
        let to_positive = at(distances, &anchors, &partners).unsqueeze(1);
        let gap = distance.excess(&distances.index_select(0, &anchors), &to_positive);
        let (pair, negative) = coordinates(
            &self
                .kept(&gap)
                .logical_and(&negatives.index_select(0, &anchors)),
        );
        Tuples::Triplets(Triplets {
            anchor: anchors.index_select(0, &pair),
            positive: partners.index_select(0, &pair),
            negative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agrees_with_the_reference_in_its_order, partners};
    use super::*;

    fn miner(name: &str, margin: f64) -> TripletMargin {
        let keep = match name {
            "all" => Violation::All,
            "hard" => Violation::Hard,
            "semihard" => Violation::SemiHard,
            "easy" => Violation::Easy,
            other => panic!("{other}"),
        };
        TripletMargin { margin, keep }
    }

    #[test]
    fn each_kind_keeps_its_part_of_the_gaps() {
        // Gaps to the positive at 1.0: -0.5, 0, 0.125, 0.25, 0.375.
        let negatives =
            |name| partners(&miner(name, 0.25), &[1.0], &[0.5, 1.0, 1.125, 1.25, 1.375]).1;
        assert_eq!(negatives("all"), [2, 3, 4, 5]);
        assert_eq!(negatives("hard"), [2, 3]);
        assert_eq!(negatives("semihard"), [4, 5]);
        assert_eq!(negatives("easy"), [6]);
        let harder = partners(&miner("hard", -0.25), &[1.0], &[0.5, 1.0, 1.125]).1;
        assert_eq!(harder, [2]);
    }

    #[test]
    fn choices_are_those_of_the_reference_in_its_order() {
        agrees_with_the_reference_in_its_order("triplet_margin", |settings| {
            Box::new(miner(
                settings["type_of_triplets"].as_str().unwrap(),
                settings["margin"].as_f64().unwrap(),
            ))
        });
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        for name in ["all", "hard", "semihard", "easy"] {
            assert_eq!(
                partners(&miner(name, 0.1), &[], &[0.5, 1.0]),
                (Vec::new(), Vec::new())
            );
            assert_eq!(
                partners(&miner(name, 0.1), &[0.5, 1.0], &[]),
                (Vec::new(), Vec::new())
            );
        }
    }
}
