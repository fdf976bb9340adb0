//! What each loss can be combined with.
//!
//! Combinations that make no sense are refused when a sweep file is checked, with a reason.

use super::Loss;
use crate::{Distance, Memory, Miner, Reduction, Regularizer};

/// What a loss compares the images of a batch with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// Images of the batch or of a memory, in pairs or triplets that a miner may choose.
    Tuples,
    /// All images of the batch or of a memory. A miner only weights the images of the batch.
    WeightedImages,
    /// All images of the batch or of a memory. A miner changes nothing.
    AllImages,
    /// The batch as a whole: neither a memory nor a miner changes anything.
    Batch,
    /// Parameters of the classes, such as proxies. A memory adds nothing.
    Classes,
}

impl ReferenceKind {
    /// True if images are compared with other images, which may come from a memory.
    pub fn is_images(self) -> bool {
        match self {
            ReferenceKind::Tuples | ReferenceKind::WeightedImages | ReferenceKind::AllImages => {
                true
            }
            ReferenceKind::Batch | ReferenceKind::Classes => false,
        }
    }
}

/// What the terms of a loss are for pairs or triplets that satisfy their margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeyondMargin {
    /// The terms are no function of a margin.
    NoMargin,
    /// Small.
    Small,
    /// Zero, and so is their slope.
    Zero,
}

/// Facts about a loss.
#[derive(Clone, Copy, Debug)]
pub struct LossFacts {
    /// The distances on which the loss is defined, its default first. A p-norm is accepted wherever
    /// the Euclidean distance is, the hyperbolic distance where the cosine is, too.
    pub distances: &'static [Distance],
    /// The default reduction of its terms.
    pub reduction: Reduction,
    /// What it compares the images of a batch with.
    pub references: ReferenceKind,
}

/// What every loss declares.
pub trait LossPart {
    /// Returns the facts that do not depend on its settings.
    fn facts(&self) -> LossFacts;

    /// True if the loss has trainable parameters.
    fn has_parameters(&self) -> bool {
        self.facts().references == ReferenceKind::Classes
    }

    /// Returns what its terms are beyond the margin of their pair or triplet. Heads can boost each other by a loss with
    /// margins.
    fn beyond_margin(&self) -> BeyondMargin {
        BeyondMargin::NoMargin
    }

    /// True if the loss, with these settings, depends on surveys of the training images.
    fn needs_survey(&self) -> bool {
        false
    }

    /// Returns the setting with which it does; nothing if it never does.
    fn survey_setting(&self) -> Option<&'static str> {
        None
    }
}

/// Every distance, the Euclidean one first.
pub(super) const ANY_DISTANCE: &[Distance] = &[
    Distance::Euclidean,
    Distance::Cosine,
    Distance::SquaredEuclidean,
    Distance::DotProduct,
    Distance::SignalToNoise,
];

/// What a method combines a loss with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Combination<'a> {
    /// Absent: the default of the loss.
    pub distance: Option<Distance>,
    /// Absent: the default of the loss.
    pub reduction: Option<Reduction>,
    /// Absent: the loss sees all pairs or triplets.
    pub miner: Option<&'a Miner>,
    /// Absent: the loss sees the batch only.
    pub memory: Option<&'a Memory>,
    /// Absent: no penalty on embeddings.
    pub regularizer: Option<&'a Regularizer>,
    /// True if the network does not scale embeddings to length one.
    pub has_lengths: bool,
}

/// Why a combination makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// The key at fault: `loss`, `distance`, `reduction`, `miner`, `memory` or `regularizer`.
    pub key: &'static str,
    /// One sentence.
    pub reason: String,
}

impl Loss {
    /// Returns the distances on which this loss is defined, its default first; none for a sum.
    pub fn distances(&self) -> &'static [Distance] {
        self.part().map_or(&[], |part| part.facts().distances)
    }

    /// True if this loss has trainable parameters.
    pub fn has_parameters(&self) -> bool {
        match self {
            Loss::Sum(losses) => losses.iter().any(|one| one.loss.has_parameters()),
            other => other.part().is_some_and(LossPart::has_parameters),
        }
    }

    /// Returns what its terms are beyond the margin of their pair or triplet.
    pub fn beyond_margin(&self) -> BeyondMargin {
        self.part()
            .map_or(BeyondMargin::NoMargin, LossPart::beyond_margin)
    }

    /// True if its terms are of pairs or triplets, among which a cascade of heads can choose.
    pub fn is_of_tuples(&self) -> bool {
        self.part()
            .is_some_and(|part| part.facts().references == ReferenceKind::Tuples)
    }

    /// True if this loss depends on surveys of the training images.
    pub fn needs_survey(&self) -> bool {
        match self {
            Loss::Sum(losses) => losses.iter().any(|one| one.loss.needs_survey()),
            other => other.part().is_some_and(LossPart::needs_survey),
        }
    }

    /// Returns the setting, as a sweep file has it, with which this loss depends on surveys; nothing if it never does.
    pub fn survey_setting(&self) -> Option<&'static str> {
        self.part().and_then(LossPart::survey_setting)
    }

    /// True if a batch without two images of one class has no gradient.
    pub fn needs_positives(&self) -> bool {
        match self {
            Loss::Sum(losses) => losses.iter().any(|one| one.loss.needs_positives()),
            other => other
                .part()
                .is_some_and(|part| part.facts().references != ReferenceKind::Classes),
        }
    }

    /// Checks that this loss can be combined with these choices. The losses of a sum are checked
    /// one by one.
    ///
    /// # Errors
    /// Returns the first choice that makes no sense.
    pub fn check_combination(&self, with: Combination) -> Result<(), Incompatible> {
        let Some(part) = self.part() else {
            return check_sum(with);
        };
        if matches!(self, Loss::Torchscript(_)) && with.distance.is_some() {
            return Err(Incompatible {
                key: "distance",
                reason:
                    "the module of `loss.torchscript` compares embeddings itself: remove `distance`"
                        .to_owned(),
            });
        }
        let facts = part.facts();
        if let Some((key, reason)) = useless(facts.references, with) {
            let reason = format!("`{}` {reason}", self.key());
            return Err(Incompatible { key, reason });
        }
        match with.distance {
            Some(distance) if !is_accepted(distance, facts.distances) => Err(Incompatible {
                key: "distance",
                reason: format!(
                    "`{}` is not defined on this distance: choose one of {}",
                    self.key(),
                    names(facts.distances)
                ),
            }),
            Some(_) | None => self.check_lengths(facts, with),
        }
    }

    /// Checks what depends on whether embeddings have length one: the cosine, which is computed as an inner product, and
    /// penalties on lengths.
    fn check_lengths(&self, facts: LossFacts, with: Combination) -> Result<(), Incompatible> {
        let distance = with.distance.unwrap_or(facts.distances[0]);
        if with.has_lengths && distance == Distance::Cosine {
            let instead = match facts.distances.contains(&Distance::DotProduct) {
                true => ", or `distance = \"dot_product\"`",
                false => "",
            };
            return Err(Incompatible {
                key: with.distance.map_or("loss", |_| "distance"),
                reason: format!(
                    "`{}` compares by cosine, which needs embeddings of length one: set `model.normalize = true`{instead}",
                    self.key()
                ),
            });
        }
        check_regularizer(with)
    }
}

fn check_regularizer(with: Combination) -> Result<(), Incompatible> {
    match with.regularizer {
        Some(regularizer) if regularizer.is_of_lengths() && !with.has_lengths => {
            Err(Incompatible {
                key: "regularizer",
                reason: format!(
                    "`{}` penalizes the lengths of embeddings, which are all one: remove it, or set `model.normalize = false`",
                    regularizer.key()
                ),
            })
        }
        Some(_) | None => Ok(()),
    }
}

/// Returns the choice that a loss with these references cannot use, and why.
fn useless(references: ReferenceKind, with: Combination) -> Option<(&'static str, &'static str)> {
    let has_memory = with.memory.is_some();
    let has_miner = with.miner.is_some();
    match references {
        ReferenceKind::Batch if has_memory => Some((
            "memory",
            "uses a batch as a whole and cannot use a memory: remove `memory`",
        )),
        ReferenceKind::Batch if has_miner => Some((
            "miner",
            "uses a batch as a whole and cannot use a miner: remove `miner`",
        )),
        ReferenceKind::AllImages if has_miner => Some((
            "miner",
            "uses all pairs and cannot use a miner: remove `miner`",
        )),
        ReferenceKind::Classes if has_memory => Some((
            "memory",
            "compares images with classes and cannot use a memory of images: remove `memory`",
        )),
        ReferenceKind::Tuples
        | ReferenceKind::WeightedImages
        | ReferenceKind::AllImages
        | ReferenceKind::Batch
        | ReferenceKind::Classes => None,
    }
}

fn is_accepted(distance: Distance, accepted: &[Distance]) -> bool {
    match distance {
        Distance::Lp(_) => accepted.contains(&Distance::Euclidean),
        // The losses that only need to know what is closer.
        Distance::Hyperbolic(_) => {
            accepted.contains(&Distance::Euclidean) && accepted.contains(&Distance::Cosine)
        }
        Distance::Cosine
        | Distance::Euclidean
        | Distance::SquaredEuclidean
        | Distance::DotProduct
        | Distance::SignalToNoise => accepted.contains(&distance),
    }
}

fn names(distances: &[Distance]) -> String {
    let names: Vec<String> = distances
        .iter()
        .map(|distance| format!("`{}`", distance.key()))
        .collect();
    names.join(", ")
}

fn check_sum(with: Combination) -> Result<(), Incompatible> {
    let chosen = [
        ("distance", with.distance.is_some()),
        ("reduction", with.reduction.is_some()),
        ("miner", with.miner.is_some()),
    ];
    match chosen.into_iter().find(|(_, is_chosen)| *is_chosen) {
        Some((key, _)) => Err(Incompatible {
            key,
            reason: format!("in a sum, each loss has its own `{key}`: write it there"),
        }),
        None => check_regularizer(with),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clustering, Contrastive, ProxyAnchor, SemiHardMiner, WeightedLoss, Xbm};

    fn key_at_fault(loss: &Loss, with: Combination) -> Option<&'static str> {
        loss.check_combination(with).err().map(|error| error.key)
    }

    #[test]
    fn combinations_that_make_no_sense_are_refused_with_the_key_at_fault() {
        let xbm = Memory::Xbm(serde_json::from_str::<Xbm>(r#"{"size": 64}"#).unwrap());
        let miner = Miner::SemiHard(SemiHardMiner::default());
        let with_memory = Combination {
            memory: Some(&xbm),
            ..Combination::default()
        };
        let with_miner = Combination {
            miner: Some(&miner),
            ..Combination::default()
        };
        let on_noise = Combination {
            distance: Some(Distance::SignalToNoise),
            ..Combination::default()
        };
        let proxies = Loss::ProxyAnchor(ProxyAnchor::default());
        assert_eq!(key_at_fault(&proxies, with_memory), Some("memory"));
        assert_eq!(key_at_fault(&proxies, on_noise), Some("distance"));
        let batch = Loss::Clustering(Clustering::default());
        assert_eq!(key_at_fault(&batch, with_miner), Some("miner"));
        let pairs = Loss::Contrastive(Contrastive::default());
        let all = Combination {
            distance: Some(Distance::Lp(1.0)),
            reduction: Some(Reduction::Sum),
            miner: Some(&miner),
            memory: Some(&xbm),
            regularizer: Some(&Regularizer::ZeroMean(1.0)),
            has_lengths: false,
        };
        assert_eq!(key_at_fault(&pairs, all), None);
        let sum = Loss::Sum(vec![WeightedLoss::of(pairs)]);
        assert_eq!(key_at_fault(&sum, with_miner), Some("miner"));
        assert_eq!(key_at_fault(&sum, with_memory), None);
    }

    #[test]
    fn a_cosine_needs_embeddings_of_length_one_and_a_penalty_on_lengths_others() {
        let free = Combination {
            has_lengths: true,
            ..Combination::default()
        };
        let by_cosine = Combination {
            distance: Some(Distance::Cosine),
            ..free
        };
        for loss in Loss::every() {
            let is_cosine = loss.distances()[0] == Distance::Cosine;
            assert_eq!(key_at_fault(&loss, free), is_cosine.then_some("loss"));
            assert_eq!(key_at_fault(&loss, by_cosine), Some("distance"));
        }
        let pairs = Loss::Contrastive(Contrastive::default());
        for regularizer in Regularizer::every() {
            let penalized = |has_lengths| Combination {
                regularizer: Some(&regularizer),
                has_lengths,
                ..Combination::default()
            };
            let refused = regularizer.is_of_lengths().then_some("regularizer");
            assert_eq!(key_at_fault(&pairs, penalized(false)), refused);
            assert_eq!(key_at_fault(&pairs, penalized(true)), None);
            let sum = Loss::Sum(vec![WeightedLoss::of(pairs.clone())]);
            assert_eq!(key_at_fault(&sum, penalized(false)), refused);
        }
    }

    #[test]
    fn every_loss_accepts_its_own_distances() {
        for loss in Loss::every() {
            assert!(!loss.distances().is_empty());
            for &distance in loss.distances() {
                let with = Combination {
                    distance: Some(distance),
                    ..Combination::default()
                };
                assert_eq!(key_at_fault(&loss, with), None);
            }
        }
    }
}
