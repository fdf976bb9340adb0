//! Semi-hard triplets. Schroff, Kalenichenko & Philbin, CVPR 2015, Eq. 4, with an upper bound.
//!
//! Keeps the triplets whose negative is farther than the positive, but by no more than a margin:
//! `0 < d(a,n) - d(a,p) <= margin`, out of all triplets: [`TripletMargin`] with [`Violation::SemiHard`].
//! Reference: pytorch-metric-learning `TripletMarginMiner(type_of_triplets="semihard")`, same order. Differs: an
//! image's own copy in a memory is never a positive here; PML mines it and drops it afterwards.

use super::{Candidates, Miner, TripletMargin, Violation};
use crate::{distance::Distance, random::Draws, tuples::Tuples};

/// Chooses semi-hard triplets.
#[derive(Clone, Debug)]
pub struct SemiHard {
    /// Width of the band.
    pub margin: f64,
}

impl Miner for SemiHard {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        TripletMargin {
            margin: self.margin,
            keep: Violation::SemiHard,
        }
        .choose(candidates, draws)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{columns, golden_choices, list, partners};
    use super::*;

    #[test]
    fn only_negatives_within_the_band_are_kept_each_with_its_positive() {
        // Gaps to the positive at 1.0: -0.5, 0, 0.125, 0.25, 0.375; to the one at 2.0 all are negative.
        let (positives, negatives) = partners(
            &SemiHard { margin: 0.25 },
            &[1.0, 2.0],
            &[0.5, 1.0, 1.125, 1.25, 1.375],
        );
        assert_eq!(positives, [1, 1]);
        assert_eq!(negatives, [5, 6]);
    }

    #[test]
    fn choices_are_those_of_the_reference_in_its_order() {
        let make = |case: &serde_json::Value| -> Box<dyn Miner> {
            Box::new(SemiHard {
                margin: case["margin"].as_f64().unwrap(),
            })
        };
        for (case, batch, references) in golden_choices("semi_hard", make) {
            for (found, expected) in [(batch, &case["batch"]), (references, &case["references"])] {
                let found = found.triplets();
                assert_eq!(
                    [&found.anchor, &found.positive, &found.negative]
                        .map(list)
                        .to_vec(),
                    columns(expected)
                );
            }
        }
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(
            partners(&SemiHard { margin: 9.0 }, &[], &[0.5, 1.0]),
            nothing
        );
        assert_eq!(
            partners(&SemiHard { margin: 9.0 }, &[0.5, 1.0], &[]),
            nothing
        );
    }
}
