//! Semi-hard triplets. Schroff, Kalenichenko & Philbin, CVPR 2015, Eq. 4, with an upper bound.
//!
//! Keeps the triplets whose negative is farther than the positive by at most a margin:
//! `0 < d(a,n) - d(a,p) <= margin`; see [`gap`].

use schema::SemiHardMiner;

use super::{Candidates, Miner, gap};
use crate::{distance::Distance, random::Draws, tuples::Tuples};

impl Miner for SemiHardMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        gap::triplets(candidates, |gap| {
            gap.gt(0.0).logical_and(&gap.le(self.margin))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::partners;
    use super::*;

    #[test]
    fn only_negatives_within_the_band_are_kept_each_with_its_positive() {
        let miner = SemiHardMiner {
            margin: 0.25,
            distance: None,
        };
        // Gaps to the positive at 1.0: -0.5, 0, 0.125, 0.25, 0.375; to the one at 2.0 all are negative.
        let (positives, negatives) = partners(&miner, &[1.0, 2.0], &[0.5, 1.0, 1.125, 1.25, 1.375]);
        assert_eq!(positives, [1, 1]);
        assert_eq!(negatives, [5, 6]);
    }
}
