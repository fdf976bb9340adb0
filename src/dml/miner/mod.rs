//! Miners: which of all pairs or triplets a loss gets to see.
//!
//! A miner looks at distances without leaving a trace in the gradient. It serves a batch against itself and a
//! batch against a memory alike.

mod angular;
mod batch_easy_hard;
mod batch_hard;
mod distance_weighted;
mod hard_aware;
mod multi_similarity;
mod pair_margin;
mod semi_hard;
mod triplet_margin;
mod uniform_histogram;

use tch::{Tensor, no_grad};

use crate::{
    distance::Distance,
    random::Draws,
    tuples::{References, Tuples},
};

pub use angular::Angular;
pub use batch_easy_hard::{BatchEasyHard, MinerError, Strategy};
pub use batch_hard::BatchHard;
pub use distance_weighted::DistanceWeighted;
pub use hard_aware::HardAware;
pub use multi_similarity::MultiSimilarity;
pub use pair_margin::PairMargin;
pub use semi_hard::SemiHard;
pub use triplet_margin::{TripletMargin, Violation};
pub use uniform_histogram::UniformHistogram;

/// Chooses pairs or triplets.
pub trait Miner: Send {
    /// The distance it judges by, unless another is chosen with [`By`].
    fn distance(&self) -> Distance;

    /// Returns its choice. What it leaves to chance comes from `draws`.
    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples;

    /// Returns its choice for a batch: `embeddings` `[n, d]`, `labels` `[n]`.
    fn mine(
        &self,
        embeddings: &Tensor,
        labels: &Tensor,
        references: &References,
        draws: &mut Draws,
    ) -> Tuples {
        no_grad(|| {
            self.choose(
                &Candidates::new(self.distance(), embeddings, labels, references),
                draws,
            )
        })
    }
}

/// What a miner chooses from.
pub struct Candidates<'a> {
    /// `[n, d]`: the batch.
    pub embeddings: &'a Tensor,
    /// `[m, d]`: what it is compared with.
    pub references: &'a Tensor,
    /// How far apart embeddings are.
    pub distance: Distance,
    /// `[n, m]`: of all images from all references.
    pub distances: Tensor,
    /// `[n, m]`: marks the positive pairs.
    pub positives: Tensor,
    /// `[n, m]`: marks the negative pairs.
    pub negatives: Tensor,
}

impl Candidates<'_> {
    fn new<'a>(
        distance: Distance,
        embeddings: &'a Tensor,
        labels: &Tensor,
        references: &'a References,
    ) -> Candidates<'a> {
        let (positives, negatives) = references.masks(labels);
        let distances = distance.matrix(embeddings, &references.embeddings);
        Candidates {
            embeddings,
            references: &references.embeddings,
            distance,
            distances,
            positives,
            negatives,
        }
    }
}

/// A miner that judges by another distance than its own.
pub struct By {
    /// The distance.
    pub distance: Distance,
    /// The miner.
    pub miner: Box<dyn Miner>,
}

impl Miner for By {
    fn distance(&self) -> Distance {
        self.distance
    }

    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples {
        self.miner.choose(candidates, draws)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Kind;

    use super::*;
    use crate::{
        distance::normalise,
        random::Purpose,
        testing::{golden, integers, labels, tensor},
        tuples::Pairs,
    };

    fn draws() -> Draws {
        Draws::new(0, Purpose::Mining, 0, 0)
    }

    /// For each golden case of the miner `name`: the case, and what the miner made for it chooses within the
    /// batch and against other embeddings.
    pub(super) fn golden_choices(
        name: &str,
        make: fn(&Value) -> Box<dyn Miner>,
    ) -> Vec<(Value, Tuples, Tuples)> {
        let golden = golden(include_str!("testdata/chosen.json"));
        let embeddings = normalise(&tensor(&golden["embeddings"]));
        let labels_of_batch = labels(&golden["labels"]);
        let own = Tensor::full(labels_of_batch.size(), -1, (Kind::Int64, tch::Device::Cpu));
        let within = References::batch(&embeddings, &labels_of_batch);
        let others = normalise(&tensor(&golden["references"]));
        let labels_of_others = labels(&golden["reference_labels"]);
        let against = References {
            embeddings: others,
            labels: labels_of_others,
            own,
            dropped: None,
        };
        let cases = golden["cases"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| case["miner"] == name);
        let mine = |miner: &dyn Miner, references| {
            miner.mine(&embeddings, &labels_of_batch, references, &mut draws())
        };
        let choices: Vec<_> = cases
            .map(|case| {
                (
                    case.clone(),
                    mine(&*make(case), &within),
                    mine(&*make(case), &against),
                )
            })
            .collect();
        assert_eq!(choices.len(), 3);
        choices
    }

    /// For each case of `name` among the rules of the reference: its settings, and the choices with what the
    /// reference chooses.
    fn choices_beside_the_reference(
        name: &str,
        make: fn(&Value) -> Box<dyn Miner>,
    ) -> Vec<(Value, Tuples, Value)> {
        let golden = golden(include_str!("testdata/rules.json"));
        let cases = golden["cases"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| case["miner"] == name);
        let distance = |case: &Value| match case["distance"].as_str().unwrap() {
            "euclidean" => Distance::Euclidean,
            "cosine" => Distance::Cosine,
            other => panic!("{other}"),
        };
        let embeddings = normalise(&tensor(&golden["embeddings"]));
        let labels_of_batch = labels(&golden["labels"]);
        let batch = References::batch(&embeddings, &labels_of_batch);
        let others = normalise(&tensor(&golden["references"]));
        let own = Tensor::full(labels_of_batch.size(), -1, (Kind::Int64, tch::Device::Cpu));
        let labels_of_others = labels(&golden["reference_labels"]);
        let against = References {
            embeddings: others,
            labels: labels_of_others,
            own,
            dropped: None,
        };
        let mut choices = Vec::new();
        for case in cases {
            for (references, name) in [(&batch, "batch"), (&against, "references")] {
                let miner = By {
                    distance: distance(case),
                    miner: make(&case["settings"]),
                };
                let found = miner.mine(&embeddings, &labels_of_batch, references, &mut draws());
                choices.push((case["settings"].clone(), found, case[name].clone()));
            }
        }
        assert!(choices.len() >= 4, "{name}");
        choices
    }

    /// As the reference gives them: three lists for triplets, four for pairs.
    fn lists(tuples: &Tuples) -> Vec<Vec<i64>> {
        match tuples {
            Tuples::Triplets(all) => [&all.anchor, &all.positive, &all.negative]
                .map(list)
                .to_vec(),
            Tuples::Pairs(all) => [
                &all.anchor_pos,
                &all.positive,
                &all.anchor_neg,
                &all.negative,
            ]
            .map(list)
            .to_vec(),
        }
    }

    /// Compares with every case of `name`.
    pub(super) fn agrees_with_the_reference_in_its_order(
        name: &str,
        make: fn(&Value) -> Box<dyn Miner>,
    ) {
        for (settings, found, expected) in choices_beside_the_reference(name, make) {
            assert_eq!(lists(&found), columns(&expected), "{name} {settings}");
        }
    }

    /// The same for a miner of pairs whose order means nothing.
    pub(super) fn agrees_with_the_reference(name: &str, make: fn(&Value) -> Box<dyn Miner>) {
        for (settings, found, expected) in choices_beside_the_reference(name, make) {
            let (found, expected) = (lists(&found), columns(&expected));
            assert_eq!(
                sorted(&found[0], &found[1]),
                sorted(&expected[0], &expected[1]),
                "{name} {settings}"
            );
            assert_eq!(
                sorted(&found[2], &found[3]),
                sorted(&expected[2], &expected[3]),
                "{name} {settings}"
            );
        }
    }

    /// Golden index lists.
    pub(super) fn columns(value: &Value) -> Vec<Vec<i64>> {
        value.as_array().unwrap().iter().map(integers).collect()
    }

    pub(super) fn list(indices: &Tensor) -> Vec<i64> {
        Vec::try_from(indices).unwrap()
    }

    /// The pairs of two lists, in order.
    pub(super) fn sorted(first: &[i64], second: &[i64]) -> Vec<(i64, i64)> {
        let mut pairs: Vec<_> = first.iter().copied().zip(second.iter().copied()).collect();
        pairs.sort_unstable();
        pairs
    }

    /// One anchor of class 0 (image 0), `positives` of its class and `negatives` of another, with this
    /// distance or similarity to the anchor each. Returns what the miner pairs the anchor with.
    pub(super) fn partners(
        miner: &dyn Miner,
        positives: &[f64],
        negatives: &[f64],
    ) -> (Vec<i64>, Vec<i64>) {
        let to_anchor = Tensor::from_slice(&[&[0.0], positives, negatives].concat()).unsqueeze(0);
        let place =
            Tensor::arange(to_anchor.size()[1], (Kind::Int64, tch::Device::Cpu)).unsqueeze(0);
        let is_negative = place.gt(positives.len() as i64);
        let is_positive = place.gt(0).logical_and(&is_negative.logical_not());
        let nothing = Tensor::zeros([0, 1], (Kind::Double, tch::Device::Cpu));
        let candidates = Candidates {
            embeddings: &nothing,
            references: &nothing,
            distance: miner.distance(),
            distances: to_anchor,
            positives: is_positive,
            negatives: is_negative,
        };
        let Pairs {
            positive, negative, ..
        } = miner.choose(&candidates, &mut draws()).pairs();
        (list(&positive), list(&negative))
    }

    #[test]
    fn a_choice_leaves_no_trace_in_the_gradient() {
        let embeddings = crate::testing::noise(1, 6, 3).set_requires_grad(true);
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2]);
        let references = References::batch(&embeddings, &labels);
        let pairs = MultiSimilarity { epsilon: 2.0 }
            .mine(&embeddings, &labels, &references, &mut draws())
            .pairs();
        assert!(!pairs.positive.requires_grad());
        assert_eq!(pairs.positive.size(), [6]);
    }

    fn all_miners() -> Vec<(&'static str, Box<dyn Miner>)> {
        let gap = |keep| Box::new(TripletMargin { margin: 0.3, keep });
        let extreme =
            |positive, negative| Box::new(BatchEasyHard::new(positive, negative).unwrap());
        vec![
            ("semi_hard", Box::new(SemiHard { margin: 0.5 })),
            ("all_triplets", gap(Violation::All)),
            ("hard", gap(Violation::Hard)),
            ("easy", gap(Violation::Easy)),
            ("batch_hard", Box::new(BatchHard)),
            (
                "easy positives",
                extreme(Strategy::Easy, Strategy::SemiHard),
            ),
            (
                "semi-hard positives",
                extreme(Strategy::SemiHard, Strategy::Hard),
            ),
            ("all positives", extreme(Strategy::All, Strategy::Hard)),
            (
                "distance_weighted",
                Box::new(DistanceWeighted {
                    cutoff: 0.5,
                    nonzero_loss_cutoff: 1.9,
                }),
            ),
            (
                "multi_similarity",
                Box::new(MultiSimilarity { epsilon: 0.1 }),
            ),
            (
                "pair_margin",
                Box::new(PairMargin {
                    pos_margin: 0.2,
                    neg_margin: 1.2,
                }),
            ),
            ("hard_aware", Box::new(HardAware { share: 1.0 })),
            ("angular", Box::new(Angular { degrees: 15.0 })),
            (
                "uniform_histogram",
                Box::new(UniformHistogram {
                    bins: 5,
                    pos_per_bin: 2,
                    neg_per_bin: 3,
                }),
            ),
        ]
    }

    #[test]
    fn no_miner_takes_an_own_copy_in_a_memory_for_a_positive() {
        let embeddings = normalise(&crate::testing::noise(2, 9, 4));
        let labels = Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1, 3]);
        let older = normalise(&crate::testing::noise(3, 5, 4));
        // The copies lie at places 5 and up, from the last to the first.
        let references = References {
            embeddings: Tensor::cat(&[&older, &embeddings.flip([0])], 0),
            labels: Tensor::cat(
                &[&Tensor::from_slice(&[0i64, 1, 2, 4, 4]), &labels.flip([0])],
                0,
            ),
            own: Tensor::arange(9, (Kind::Int64, tch::Device::Cpu)) * -1 + 13,
            dropped: None,
        };
        for (name, miner) in all_miners() {
            let Pairs {
                anchor_pos,
                positive,
                anchor_neg,
                negative,
            } = miner
                .mine(&embeddings, &labels, &references, &mut draws())
                .pairs();
            let label = |all: &Tensor, place: &Tensor| all.index_select(0, place);
            assert!(
                positive.numel() > 0 && negative.numel() > 0,
                "{name} found nothing"
            );
            assert!(
                !list(&anchor_pos)
                    .into_iter()
                    .zip(list(&positive))
                    .any(|(a, p)| p == 13 - a),
                "{name}"
            );
            assert!(
                label(&labels, &anchor_pos) == label(&references.labels, &positive),
                "{name}"
            );
            let different =
                label(&labels, &anchor_neg).ne_tensor(&label(&references.labels, &negative));
            assert_eq!(different.all().int64_value(&[]), 1, "{name}");
        }
    }

    #[test]
    fn every_miner_survives_batches_in_which_there_is_nothing_to_find() {
        let batches: [(Tensor, &[i64]); 4] = [
            (crate::testing::noise(1, 6, 4), &[5; 6]),
            (crate::testing::noise(2, 6, 4), &[0, 1, 2, 3, 4, 5]),
            (
                crate::testing::noise(3, 1, 4).repeat([6, 1]),
                &[0, 0, 1, 1, 2, 2],
            ),
            (crate::testing::noise(4, 1, 4), &[3]),
        ];
        for ((embeddings, labels), (name, miner)) in batches
            .iter()
            .flat_map(|batch| all_miners().into_iter().map(move |m| (batch, m)))
        {
            let (embeddings, labels) = (normalise(embeddings), Tensor::from_slice(labels));
            let references = References::batch(&embeddings, &labels);
            let pairs = miner
                .mine(&embeddings, &labels, &references, &mut draws())
                .pairs();
            assert_eq!(pairs.anchor_pos.size(), pairs.positive.size(), "{name}");
            assert_eq!(pairs.anchor_neg.size(), pairs.negative.size(), "{name}");
        }
    }
}
