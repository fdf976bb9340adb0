//! The pairs of the multi-similarity loss. Wang et al., CVPR 2019, Eq. 7 and 8.
//!
//! For each anchor keeps the negatives that are closer than its farthest positive, and the positives that are
//! farther than its closest negative, both give or take `epsilon`. An anchor without positives
//! keeps no negatives, and the other way round.
//! Reference: pytorch-metric-learning (PML) `MultiSimilarityMiner`, same pairs, here row by row and not sorted by
//! similarity. Differs: an image's own copy in a memory is never a positive here; PML mines it and drops it
//! afterwards, so that an anchor whose only positive is its own copy keeps negatives there.

use super::{Candidates, Miner};
use crate::{
    distance::Distance,
    random::Draws,
    tuples::{Pairs, Tuples},
};

/// Chooses pairs that overlap.
#[derive(Clone, Debug)]
pub struct MultiSimilarity {
    /// Width of the overlap.
    pub epsilon: f64,
}

impl Miner for MultiSimilarity {
    fn distance(&self) -> Distance {
        Distance::Cosine
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        let Candidates {
            distance,
            distances,
            positives,
            negatives,
            ..
        } = candidates;
        let closest_negative = distance.closest_of(distances, negatives);
        let farthest_positive = distance.farthest_of(distances, positives);
        let hard_positive = distance
            .excess(distances, &closest_negative)
            .gt(-self.epsilon);
        let hard_negative = distance
            .excess(&farthest_positive, distances)
            .gt(-self.epsilon);
        Tuples::Pairs(Pairs::marked(
            &positives.logical_and(&hard_positive),
            &negatives.logical_and(&hard_negative),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{columns, golden_choices, list, partners, sorted};
    use super::*;

    #[test]
    fn pairs_that_overlap_by_less_than_epsilon_are_kept() {
        // The most similar negative is at 0.5, the least similar positive at 0.25.
        let (positives, negatives) = partners(
            &MultiSimilarity { epsilon: 0.125 },
            &[0.25, 0.5, 0.625, 0.75],
            &[0.5, 0.25, 0.125, 0.0],
        );
        assert_eq!(positives, [1, 2]);
        assert_eq!(negatives, [5, 6]);
    }

    #[test]
    fn choices_are_those_of_the_reference() {
        let make = |case: &serde_json::Value| -> Box<dyn Miner> {
            Box::new(MultiSimilarity {
                epsilon: case["epsilon"].as_f64().unwrap(),
            })
        };
        for (case, batch, references) in golden_choices("multi_similarity", make) {
            for (found, expected) in [(batch, &case["batch"]), (references, &case["references"])] {
                let (found, expected) = (found.pairs(), columns(expected));
                let positives = sorted(&list(&found.anchor_pos), &list(&found.positive));
                let negatives = sorted(&list(&found.anchor_neg), &list(&found.negative));
                assert_eq!(positives, sorted(&expected[0], &expected[1]));
                assert_eq!(negatives, sorted(&expected[2], &expected[3]));
            }
        }
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(
            partners(&MultiSimilarity { epsilon: 9.0 }, &[], &[0.5, 1.0]),
            nothing
        );
        assert_eq!(
            partners(&MultiSimilarity { epsilon: 9.0 }, &[0.5, 1.0], &[]),
            nothing
        );
    }
}
