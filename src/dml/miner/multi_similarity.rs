//! The pairs of the multi-similarity loss. Wang et al., CVPR 2019, Eq. 7 and 8.
//!
//! For each anchor keeps the negatives that are closer than its farthest positive, and the positives that are
//! farther than its closest negative, each with a tolerance of `epsilon`. An anchor without positives
//! keeps no negatives, and the other way round.
//! Reference: pytorch-metric-learning (PML) `MultiSimilarityMiner`, same pairs, here row by row and not sorted by
//! similarity. Differs: an image's own copy in a memory is never a positive here; PML mines it and drops it
//! afterwards, so that an anchor whose only positive is its own copy keeps negatives there.

use schema::MultiSimilarityMiner;

use super::{Candidates, Miner};
use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    tuples::{MarkedPairs, Tuples},
};

impl Miner for MultiSimilarityMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Cosine)
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
        Tuples::MarkedPairs(MarkedPairs {
            positives: positives.logical_and(&hard_positive),
            negatives: negatives.logical_and(&hard_negative),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::partners;
    use super::*;

    fn with_epsilon(epsilon: f64) -> MultiSimilarityMiner {
        MultiSimilarityMiner {
            epsilon,
            distance: None,
        }
    }

    #[test]
    fn pairs_that_overlap_by_less_than_epsilon_are_kept() {
        // The most similar negative is at 0.5, the least similar positive at 0.25.
        let (positives, negatives) = partners(
            &with_epsilon(0.125),
            &[0.25, 0.5, 0.625, 0.75],
            &[0.5, 0.25, 0.125, 0.0],
        );
        assert_eq!(positives, [1, 2]);
        assert_eq!(negatives, [5, 6]);
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(partners(&with_epsilon(9.0), &[], &[0.5, 1.0]), nothing);
        assert_eq!(partners(&with_epsilon(9.0), &[0.5, 1.0], &[]), nothing);
    }
}
