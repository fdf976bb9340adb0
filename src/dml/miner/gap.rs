//! Triplets by their gap. Schroff, Kalenichenko & Philbin, CVPR 2015, section 3.2.
//!
//! The gap of a triplet is `g = d(a,n) - d(a,p)`. The semi-hard, hard, easy and all-triplets miners
//! differ in the gaps that they keep.
//! Reference: pytorch-metric-learning `TripletMarginMiner(type_of_triplets=...)`, same order. Differs:
//! an image's own copy in a memory is never a positive here; PML mines it and drops it afterwards.

use tch::Tensor;

use super::Candidates;
use crate::{
    distance::DistanceExt,
    tuples::host_labels::PositivePairs,
    tuples::{MarkedTriplets, Tuples, at},
};

/// Returns the triplets whose gap `keep` marks.
pub(super) fn triplets(candidates: &Candidates, keep: impl Fn(&Tensor) -> Tensor) -> Tuples {
    let distances = &candidates.distances;
    // One row for each positive pair: no list of all triplets is needed.
    let PositivePairs {
        anchors, positives, ..
    } = candidates.positive_pairs();
    let to_positive = at(distances, anchors, positives).unsqueeze(1);
    let to_all = distances.index_select(0, anchors);
    let gap = candidates.distance.excess(&to_all, &to_positive);
    let negatives = candidates.negatives.index_select(0, anchors);
    Tuples::MarkedTriplets(MarkedTriplets {
        negatives: keep(&gap).logical_and(&negatives),
        anchor: anchors.shallow_clone(),
        positive: positives.shallow_clone(),
    })
}

#[cfg(test)]
mod tests {
    use schema::{AllTripletsMiner, EasyMiner, HardMiner, SemiHardMiner};

    use super::super::{Miner, tests::partners};

    fn miners(margin: f64) -> [Box<dyn Miner>; 4] {
        [
            Box::new(AllTripletsMiner {
                margin,
                distance: None,
            }),
            Box::new(HardMiner::default()),
            Box::new(SemiHardMiner {
                margin,
                distance: None,
            }),
            Box::new(EasyMiner {
                margin,
                distance: None,
            }),
        ]
    }

    #[test]
    fn each_miner_keeps_its_part_of_the_gaps() {
        // Gaps to the positive at 1.0: -0.5, 0, 0.125, 0.25, 0.375.
        let negatives =
            miners(0.25).map(|miner| partners(&*miner, &[1.0], &[0.5, 1.0, 1.125, 1.25, 1.375]).1);
        assert_eq!(negatives[0], [2, 3, 4, 5]);
        assert_eq!(negatives[1], [2, 3]);
        assert_eq!(negatives[2], [4, 5]);
        assert_eq!(negatives[3], [6]);
    }

    #[test]
    fn without_a_positive_or_a_negative_nothing_is_chosen() {
        let nothing = (Vec::new(), Vec::new());
        for miner in miners(0.1) {
            assert_eq!(partners(&*miner, &[], &[0.5, 1.0]), nothing);
            assert_eq!(partners(&*miner, &[0.5, 1.0], &[]), nothing);
        }
    }
}
