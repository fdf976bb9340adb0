//! Miners: they choose the pairs or triplets that a loss sees.
//!
//! A miner uses distances without a gradient. It chooses alike within a batch and between a batch and
//! a memory. Settings are in [`schema`]; a miner is implemented on its settings.

mod all_triplets;
mod angular;
mod batch_easy_hard;
mod batch_hard;
mod distance_weighted;
mod easy;
mod gap;
#[cfg(test)]
mod golden;
mod hard;
mod hard_aware;
mod multi_similarity;
mod pair_margin;
mod scripted;
mod semi_hard;
mod uniform_histogram;

pub(crate) use hard_aware::extremes;
pub use scripted::ScriptedMiner;
use tch::{Device, Tensor, no_grad};

use crate::{
    distance::{Distance, DistanceExt},
    random::Draws,
    script::{ScriptError, Scripts},
    tuples::host_labels::PositivePairs,
    tuples::{References, Tuples},
};

/// Chooses pairs or triplets.
pub trait Miner: Send {
    /// Returns the distance by which it chooses.
    fn distance(&self) -> Distance;

    /// Returns its choice. Random numbers come from `draws`.
    fn choose(&self, candidates: &Candidates, draws: &mut Draws) -> Tuples;

    /// Returns its choice for a batch: `embeddings` `[n, d]`, `labels` `[n]`. If its `distances` from the references are
    /// known, `[n, m]`, they are not computed again.
    fn mine(
        &self,
        embeddings: &Tensor,
        labels: &Tensor,
        references: &References,
        distances: Option<&Tensor>,
        draws: &mut Draws,
    ) -> Tuples {
        no_grad(|| {
            let distance = self.distance();
            let distances = match distances {
                Some(known) => known.detach(),
                None => distance.matrix(embeddings, &references.embeddings),
            };
            let (positives, negatives) = references.masks(labels);
            let candidates = Candidates {
                embeddings,
                labels,
                references,
                distance,
                distances,
                positives,
                negatives,
            };
            self.choose(&candidates, draws)
        })
    }
}

macro_rules! implement_build {
    ($($variant:ident),*) => {
        /// Returns the miner with these settings. `scripts` has the module of one that is a module of TorchScript.
        ///
        /// # Errors
        /// If the module cannot be used.
        pub fn build(
            settings: &schema::Miner,
            scripts: &Scripts,
            device: Device,
        ) -> Result<Box<dyn Miner>, ScriptError> {
            match settings {
                $(schema::Miner::$variant(settings) => Ok(Box::new(settings.clone())),)*
                schema::Miner::Torchscript(script) => {
                    Ok(Box::new(ScriptedMiner::new(script, scripts, device)?))
                }
            }
        }
    };
}
schema::for_each_miner!(implement_build);

/// The pairs that a miner chooses from.
pub struct Candidates<'a> {
    /// `[n, d]`: the batch.
    pub embeddings: &'a Tensor,
    /// `[n]`: the classes of the batch.
    pub labels: &'a Tensor,
    /// What the batch is compared with.
    pub references: &'a References,
    /// The distance between embeddings.
    pub distance: Distance,
    /// `[n, m]`: distances of all images from all references.
    pub distances: Tensor,
    /// `[n, m]`: marks the positive pairs.
    pub positives: Tensor,
    /// `[n, m]`: marks the negative pairs.
    pub negatives: Tensor,
}

impl Candidates<'_> {
    /// Returns the positive pairs as lists.
    pub fn positive_pairs(&self) -> &PositivePairs {
        self.references.positive_pairs(self.labels)
    }
}

#[cfg(test)]
mod tests {
    use schema::MultiSimilarityMiner;
    use tch::Kind;

    use super::*;
    use crate::{distance::normalize, random::Purpose, tuples::Pairs};

    fn draws() -> Draws {
        Draws::new(0, Purpose::Mining, 0, 0)
    }

    pub(super) fn list(indices: &Tensor) -> Vec<i64> {
        Vec::try_from(indices).unwrap()
    }

    /// One anchor of class 0 (image 0), `positives` of its class and `negatives` of another, with this
    /// distance or similarity to the anchor each. Returns what the miner pairs the anchor with.
    pub(super) fn partners(
        miner: &dyn Miner,
        positives: &[f64],
        negatives: &[f64],
    ) -> (Vec<i64>, Vec<i64>) {
        let to_anchor = Tensor::from_slice(&[&[0.0], positives, negatives].concat()).unsqueeze(0);
        let embeddings = to_anchor.tr();
        let labels = [vec![0i64; 1 + positives.len()], vec![1; negatives.len()]].concat();
        let labels = Tensor::from_slice(&labels);
        let own = Tensor::from_slice(&[0i64]);
        let references = References::memory(embeddings.shallow_clone(), labels, own);
        let labels = Tensor::from_slice(&[0i64]);
        let (positives, negatives) = references.masks(&labels);
        let candidates = Candidates {
            embeddings: &embeddings.narrow(0, 0, 1),
            labels: &labels,
            references: &references,
            distance: miner.distance(),
            distances: to_anchor,
            positives,
            negatives,
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
        let miner = MultiSimilarityMiner {
            epsilon: 2.0,
            distance: None,
        };
        let pairs = miner
            .mine(&embeddings, &labels, &references, None, &mut draws())
            .pairs();
        assert!(!pairs.positive.requires_grad());
        assert_eq!(pairs.positive.size(), [6]);
    }

    /// Every miner with its defaults, and some with other settings, by name.
    fn all_miners() -> Vec<(String, Box<dyn Miner>)> {
        let defaults = schema::Miner::every()
            .into_iter()
            .map(|miner| (miner.key().to_owned(), miner));
        let others = [
            r#"{ "semi_hard": { "margin": 0.5 } }"#,
            r#"{ "easy": { "margin": 0.3 } }"#,
            r#"{ "batch_easy_hard": { "positive": "semi_hard", "negative": "hard" } }"#,
            r#"{ "batch_easy_hard": { "positive": "all", "negative": "hard" } }"#,
            r#"{ "distance_weighted": { "nonzero_loss_cutoff": 1.9 } }"#,
            r#"{ "pair_margin": { "neg_margin": 1.2 } }"#,
            r#"{ "hard_aware": { "share": 1.0 } }"#,
            r#"{ "angular": { "degrees": 15.0 } }"#,
            r#"{ "uniform_histogram": { "bins": 5, "pos_per_bin": 2, "neg_per_bin": 3 } }"#,
        ];
        let others = others.map(|text| (text.to_owned(), serde_json::from_str(text).unwrap()));
        defaults
            .chain(others)
            .map(|(name, miner)| {
                (
                    name,
                    build(&miner, &Scripts::default(), Device::Cpu).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn no_miner_takes_an_own_copy_in_a_memory_for_a_positive() {
        let embeddings = normalize(&crate::testing::noise(2, 9, 4));
        let labels = Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1, 3]);
        let older = normalize(&crate::testing::noise(3, 5, 4));
        // The copies are at indices 5 and up, from the last to the first.
        let references = References::memory(
            Tensor::cat(&[&older, &embeddings.flip([0])], 0),
            Tensor::cat(
                &[&Tensor::from_slice(&[0i64, 1, 2, 4, 4]), &labels.flip([0])],
                0,
            ),
            Tensor::arange(9, (Kind::Int64, tch::Device::Cpu)) * -1 + 13,
        );
        for (name, miner) in all_miners() {
            let Pairs {
                anchor_pos,
                positive,
                anchor_neg,
                negative,
            } = miner
                .mine(&embeddings, &labels, &references, None, &mut draws())
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
            let (embeddings, labels) = (normalize(embeddings), Tensor::from_slice(labels));
            let references = References::batch(&embeddings, &labels);
            let pairs = miner
                .mine(&embeddings, &labels, &references, None, &mut draws())
                .pairs();
            assert_eq!(pairs.anchor_pos.size(), pairs.positive.size(), "{name}");
            assert_eq!(pairs.anchor_neg.size(), pairs.negative.size(), "{name}");
        }
    }
}
