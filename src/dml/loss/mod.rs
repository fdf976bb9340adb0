//! Losses: functions of a batch of embeddings that training minimizes.
//!
//! A loss turns a [`LossInput`] into [`Terms`], one non-negative number for each pair, triplet,
//! anchor or class; a [`Reduction`] turns these into one number. Miners choose the tuples, and a
//! [`Distance`] compares embeddings, so that a loss is some lines of tensor algebra, in one file of
//! the same shape as all others.
//!
//! A miner chooses tuples. A loss of pairs or triplets is computed of those alone. A loss without them, such as one of
//! classes, gives each image a weight: how often it was chosen, relative to the image that was chosen most
//! ([`LossInput::weights`]). The weight multiplies the term of the image, if it has one; in `proxy_anchor`, where images
//! are summed within a logarithm, the weight less one is added to the exponent. If a miner chose nothing, nothing
//! counts, whatever the loss ([`LossInput::cost`]).
//!
//! Settings, defaults and what a loss can be combined with are in [`schema`]. A loss without
//! parameters is implemented on its settings; one with [`Parameters`], such as proxies, is built
//! from them by [`BuildLoss`].

mod angular;
mod arc_face;
mod binomial;
mod binomial_dm;
mod circle;
mod classes;
mod clustering;
mod contrastive;
mod contrastive_dm;
mod cos_face;
mod fast_ap;
mod generalized_lifted;
mod global;
#[cfg(test)]
mod golden;
mod hard_mining_dm;
mod hierarchical_triplet;
mod histogram;
mod large_margin_softmax;
mod lifted;
mod lifted_dm;
mod margin;
mod multi_similarity;
mod n_pair;
mod nca;
mod nca_dm;
mod normalized_softmax;
mod nt_xent;
#[cfg(test)]
mod properties;
mod proxy_anchor;
mod proxy_nca;
mod proxy_nca_pp;
mod recall_at_k;
mod rows;
mod scripted;
mod selection;
mod semi_hard_dm;
mod smooth_ap;
mod snr_contrastive;
mod soft_triple;
mod sphere_face;
mod sub_center_arc_face;
mod sup_con;
mod threshold_consistent_margin;
mod triplet;

use schema::{Distance, LossPart, Reduction, ReferenceKind};
use tch::{Device, Kind, Tensor};

use crate::{
    distance::DistanceExt,
    links::{Boosting, Side},
    parameters::Parameters,
    reduce::Terms,
    survey::ClassSurvey,
    tuples::{
        MarkedPairs, MarkedTriplets, Pairs, References, Triplets, Tuples, all_pairs, at,
        coordinates, occurrences,
    },
};

pub use classes::{ClassInit, ClassLoss, ClassRows, ClassTerms, Logits};
pub use margin::MarginLoss;
pub use scripted::ScriptedLoss;

/// A loss that training minimizes.
pub trait Loss: LossPart + Send {
    /// Returns the terms of a batch.
    fn terms(&self, batch: &LossInput) -> Terms;

    /// Returns the trainable parameters of the loss, such as proxies, if it has any.
    fn parameters(&self) -> Option<&Parameters> {
        None
    }

    /// Returns the trainable parameters of the loss, to change them.
    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        None
    }

    /// Returns the default distance.
    fn distance(&self) -> Distance {
        self.facts().distances[0]
    }

    /// Returns the default reduction.
    fn reduction(&self) -> Reduction {
        self.facts().reduction
    }
}

/// Settings from which a loss is built.
pub trait BuildLoss {
    /// Returns the loss, with initial parameters if it has any.
    fn build(&self, init: &ClassInit) -> Box<dyn Loss>;
}

impl<L: Loss + Clone + 'static> BuildLoss for L {
    fn build(&self, _init: &ClassInit) -> Box<dyn Loss> {
        Box::new(self.clone())
    }
}

macro_rules! implement_build {
    ($($variant:ident),*) => {
        /// Returns the loss with these settings; nothing for a sum, which is several losses, and for a module of
        /// TorchScript, which is a [`ScriptedLoss`].
        pub fn build(settings: &schema::Loss, init: &ClassInit) -> Option<Box<dyn Loss>> {
            match settings {
                $(schema::Loss::$variant(settings) => Some(settings.build(init)),)*
                schema::Loss::Sum(_) | schema::Loss::Torchscript(_) => None,
            }
        }
    };
}
schema::for_each_loss!(implement_build);

/// The input of a loss: a batch and what it is compared with.
pub struct LossInput<'a> {
    /// `[n, d]`, of length one unless the network does not normalize them.
    pub embeddings: &'a Tensor,
    /// `[n]`, integers. A loss with parameters of classes needs them to be 0 to C - 1.
    pub labels: &'a Tensor,
    /// The images that the batch is compared with: the batch itself or a memory.
    pub references: &'a References,
    /// The pairs or triplets that a miner chose. Absent: all.
    pub chosen: Option<&'a Tuples>,
    /// The distance between embeddings.
    pub distance: Distance,
    /// `[n, m]`: the distances of all images from all references, if they are known.
    pub distances: Option<&'a Tensor>,
    /// Where the classes of the training set lie, if they have been surveyed.
    pub survey: Option<&'a ClassSurvey>,
    /// What the heads before this one think of the batch, if it is boosted by them.
    pub boosting: Option<&'a Boosting<'a>>,
}

impl<'a> LossInput<'a> {
    /// Returns a batch and its references, compared by the distance of a loss, with no choice of a miner.
    pub(crate) fn with(
        embeddings: &'a Tensor,
        labels: &'a Tensor,
        references: &'a References,
        loss: &dyn Loss,
    ) -> LossInput<'a> {
        LossInput {
            embeddings,
            labels,
            references,
            chosen: None,
            distance: loss.distance(),
            distances: None,
            survey: None,
            boosting: None,
        }
    }
}

impl LossInput<'_> {
    /// Returns the number of images in the batch, `n`.
    pub fn images(&self) -> i64 {
        self.labels.size()[0]
    }

    /// Returns the distances of all images from all references: `[n, m]`.
    pub fn distances(&self) -> Tensor {
        match self.distances {
            Some(known) => known.shallow_clone(),
            None => self
                .distance
                .matrix(self.embeddings, &self.references.embeddings),
        }
    }

    /// Returns similarities to all references, larger meaning closer whatever the distance: `[n, m]`.
    pub fn closeness(&self) -> Tensor {
        self.distance.closeness(&self.distances())
    }

    /// Returns the same, times a factor.
    pub fn scaled_closeness(&self, factor: f64) -> Tensor {
        let sign = if self.distance.is_inverted() {
            1.0
        } else {
            -1.0
        };
        self.distances() * (sign * factor)
    }

    /// Returns similarities of all images to these `rows` `[r, d]`: `[n, r]`.
    pub fn closeness_to(&self, rows: &Tensor) -> Tensor {
        let distances = self.distance.matrix(self.embeddings, rows);
        self.distance.closeness(&distances)
    }

    /// Returns the chosen pairs.
    pub fn pairs(&self) -> Pairs {
        match self.chosen {
            Some(tuples) => tuples.pairs(),
            None => all_pairs(self.labels, self.references),
        }
    }

    /// Returns the anchors and the positives of the chosen positive pairs.
    pub fn positive_pairs(&self) -> (Tensor, Tensor) {
        match self.chosen {
            None => self.all_positive_pairs(),
            Some(Tuples::MarkedPairs(marked)) => coordinates(&marked.positives),
            Some(tuples) => {
                let Pairs {
                    anchor_pos,
                    positive,
                    ..
                } = tuples.pairs();
                (anchor_pos, positive)
            }
        }
    }

    /// Returns the anchors and the positives of all positive pairs.
    fn all_positive_pairs(&self) -> (Tensor, Tensor) {
        let pairs = self.references.positive_pairs(self.labels);
        (
            pairs.anchors.shallow_clone(),
            pairs.positives.shallow_clone(),
        )
    }

    /// Returns the terms of the chosen pairs: `pull` of the distances of positive pairs and `push` of
    /// the distances of negative pairs, element by element.
    pub fn terms_of_pairs(
        &self,
        pull: impl Fn(&Tensor) -> Tensor,
        push: impl Fn(&Tensor) -> Tensor,
    ) -> Terms {
        self.terms_of_violations(pull, push, Tensor::shallow_clone)
    }

    /// Returns the terms of the chosen pairs: `term` of how far the pairs are from satisfying a margin, which `pull` and
    /// `push` return for the distances of positive and of negative pairs, element by element. The heads before this one
    /// weigh the terms. Pairs that count once each stay a matrix on a GPU.
    pub fn terms_of_violations(
        &self,
        pull: impl Fn(&Tensor) -> Tensor,
        push: impl Fn(&Tensor) -> Tensor,
        term: impl Fn(&Tensor) -> Tensor,
    ) -> Terms {
        let distances = self.distances();
        let known = LossInput {
            distances: Some(&distances),
            ..*self
        };
        let [positives, negatives] = known.selections();
        Terms::of([
            known.part(&positives, Side::Pull, pull, &term),
            known.part(&negatives, Side::Push, push, &term),
        ])
    }

    /// Returns the chosen pairs as two masks `[n, m]`, if each counts once and the device is a GPU, which computes a matrix
    /// sooner than the host learns the length of a list.
    pub fn masks_on_gpu(&self) -> Option<(Tensor, Tensor)> {
        if self.embeddings.device() == Device::Cpu {
            return None;
        }
        match self.chosen {
            None | Some(Tuples::MarkedPairs(_)) => Some(self.masks()),
            Some(Tuples::Pairs(_) | Tuples::Triplets(_) | Tuples::MarkedTriplets(_)) => None,
        }
    }

    /// Returns the chosen triplets as a mask of the negatives of each positive pair, if each counts once and the device
    /// is a GPU.
    pub fn marked_triplets_on_gpu(&self) -> Option<MarkedTriplets> {
        if let (Some(Tuples::MarkedTriplets(marked)), true) =
            (self.chosen, self.embeddings.device() != Device::Cpu)
        {
            return Some(marked.shallow_clone());
        }
        let (positives, negatives) = self.masks_on_gpu()?;
        let (anchor, positive) = self.all_positive_pairs();
        let negatives = negatives.index_select(0, &anchor);
        let negatives = match self.chosen {
            None => negatives,
            // The host knows all positive pairs; it would have to wait for a list of those that were chosen.
            Some(_) => negatives.logical_and(&at(&positives, &anchor, &positive).unsqueeze(1)),
        };
        Some(MarkedTriplets {
            anchor,
            positive,
            negatives,
        })
    }

    /// Returns the chosen triplets.
    pub fn triplets(&self) -> Triplets {
        match self.chosen {
            Some(tuples) => tuples.triplets(self.images()),
            None => all_pairs(self.labels, self.references).triplets(self.images()),
        }
    }

    /// Returns the chosen pairs as two masks `[n, m]`, of positives and of negatives. A pair that a
    /// miner lists several times counts once.
    pub fn masks(&self) -> (Tensor, Tensor) {
        let pairs = match self.chosen {
            None => return self.references.masks(self.labels),
            Some(Tuples::MarkedPairs(marked)) => {
                return (
                    marked.positives.shallow_clone(),
                    marked.negatives.shallow_clone(),
                );
            }
            Some(tuples) => tuples.pairs(),
        };
        let shape = [self.images(), self.references.labels.size()[0]];
        let marked = |rows: &Tensor, columns: &Tensor| {
            let mask = Tensor::zeros(shape, (Kind::Bool, rows.device()));
            let yes = Tensor::ones(rows.size(), (Kind::Bool, rows.device()));
            mask.index_put(&[Some(rows), Some(columns)], &yes, false)
        };
        (
            marked(&pairs.anchor_pos, &pairs.positive),
            marked(&pairs.anchor_neg, &pairs.negative),
        )
    }

    /// Returns a weight `[n]` for each image, for losses without pairs: how often a miner chose the
    /// image, divided by the highest such count; 1 for all without a miner. PML `convert_to_weights`;
    /// differs: if a miner chose nothing, PML's weights are all 1, here they are all 0.
    pub fn weights(&self) -> Tensor {
        // The positives and negatives of a memory are not images of the batch.
        self.how_often_chosen(self.references.is_batch)
    }

    /// Like [`weights`](Self::weights), but counts an image only where it is an anchor.
    pub fn anchor_weights(&self) -> Tensor {
        self.how_often_chosen(false)
    }

    fn how_often_chosen(&self, with_others: bool) -> Tensor {
        let options = (self.embeddings.kind(), self.embeddings.device());
        let counts = match self.chosen {
            None => return Tensor::ones([self.images()], options),
            Some(Tuples::MarkedPairs(marked)) => marked_in(marked, with_others),
            Some(Tuples::MarkedTriplets(marked)) => self.in_triplets(marked, with_others),
            Some(Tuples::Pairs(pairs)) => self.listed_in(
                [&pairs.anchor_pos, &pairs.anchor_neg],
                [&pairs.positive, &pairs.negative],
                with_others,
            ),
            Some(Tuples::Triplets(triplets)) => self.listed_in(
                [&triplets.anchor],
                [&triplets.positive, &triplets.negative],
                with_others,
            ),
        };
        let counts = counts.to_kind(options.0);
        &counts / counts.max().clamp_min(1)
    }

    /// Returns how often each image of the batch is listed among these anchors, or among the others, too: `[n]`.
    fn listed_in<const A: usize>(
        &self,
        anchors: [&Tensor; A],
        others: [&Tensor; 2],
        with_others: bool,
    ) -> Tensor {
        let others = others.into_iter().filter(|_| with_others);
        let indices = Tensor::cat(&anchors.into_iter().chain(others).collect::<Vec<_>>(), 0);
        occurrences(&indices, self.images())
    }

    /// Returns how often each image of the batch is an anchor of these triplets, or any image of them: `[n]`.
    fn in_triplets(&self, triplets: &MarkedTriplets, with_others: bool) -> Tensor {
        let MarkedTriplets {
            anchor,
            positive,
            negatives,
        } = triplets;
        let count =
            |dimension: i64| negatives.sum_dim_intlist([dimension].as_slice(), false, Kind::Int64);
        let of_pairs = count(1);
        let none = Tensor::zeros([self.images()], (Kind::Int64, negatives.device()));
        let anchors = none.index_add(0, anchor, &of_pairs);
        match with_others {
            true => anchors.index_add(0, positive, &of_pairs) + count(0),
            false => anchors,
        }
    }

    /// Returns the value of a loss on this batch. If a miner chose nothing, the loss has no terms; what does not depend
    /// on images, such as a penalty on proxies, remains.
    pub fn cost(&self, loss: &dyn Loss, reduction: Reduction) -> LossValue {
        let mut terms = loss.terms(self);
        // A loss of tuples has no terms without them.
        let of_tuples = loss.facts().references == ReferenceKind::Tuples;
        if let Some(chosen) = self.chosen.filter(|_| !of_tuples) {
            self.drop_unless_chosen(&mut terms, chosen);
        }
        let Some(contributes) = terms.contribute() else {
            return self.nothing(&terms.added);
        };
        // On a GPU, terms that are all 0 are reduced like others: to find out, the host would have to wait.
        if self.embeddings.device() == Device::Cpu && !is_true(&contributes) {
            return self.nothing(&terms.added);
        }
        LossValue {
            value: terms.reduce(reduction, self.images()),
            contributes,
        }
    }

    /// Drops all terms if a miner chose nothing. A GPU makes them 0 then: to find out, the host would have to wait.
    fn drop_unless_chosen(&self, terms: &mut Terms, chosen: &Tuples) {
        let on_gpu = self.embeddings.device() != Device::Cpu;
        match chosen.mark_any().filter(|_| on_gpu) {
            Some(any) => terms.keep_if(&any, &LossValue::nothing(self.embeddings).value),
            None if chosen.is_empty() => terms.parts.clear(),
            None => {}
        }
    }

    /// Returns the value of a loss without terms: 0, but a function of the embeddings, and NaN if they are NaN.
    fn nothing(&self, added: &[Tensor]) -> LossValue {
        let nothing = LossValue::nothing(self.embeddings);
        LossValue {
            value: added.iter().fold(nothing.value, |sum, added| sum + added),
            ..nothing
        }
    }
}

/// Returns how often each image of the batch is an anchor of these pairs, or any image of them: `[n]`.
fn marked_in(pairs: &MarkedPairs, with_others: bool) -> Tensor {
    let count = |mask: &Tensor, dimension: i64| {
        mask.sum_dim_intlist([dimension].as_slice(), false, Kind::Int64)
    };
    let of = |dimension| count(&pairs.positives, dimension) + count(&pairs.negatives, dimension);
    if with_others { of(1) + of(0) } else { of(1) }
}

/// Reads a scalar.
fn is_true(value: &Tensor) -> bool {
    value.int64_value(&[]) != 0
}

/// The value of a loss.
#[derive(Debug)]
pub struct LossValue {
    /// A scalar through which gradients flow.
    pub value: Tensor,
    /// A scalar: true if a pair or triplet contributed, false if there was none, or all their terms are 0.
    pub contributes: Tensor,
}

impl LossValue {
    /// Returns the value of a loss without terms: 0, with a gradient of 0 with respect to `embeddings`.
    pub(crate) fn nothing(embeddings: &Tensor) -> LossValue {
        LossValue {
            value: embeddings.sum(None::<Kind>) * 0.0,
            contributes: Tensor::zeros([0; 0], (Kind::Bool, embeddings.device())),
        }
    }

    /// True if nothing contributed. On a GPU, the host waits for the answer.
    pub fn is_empty(&self) -> bool {
        !is_true(&self.contributes)
    }

    /// Returns the sum of two losses, which is empty if both are.
    pub(crate) fn plus(self, other: LossValue) -> LossValue {
        LossValue {
            value: self.value + other.value,
            contributes: self.contributes.logical_or(&other.contributes),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};
    use tch::Device;

    use super::*;
    use crate::{
        distance::normalize,
        miner::{self, Miner},
        random::{Draws, Purpose},
        script::Scripts,
        testing::{gradient, noise, rows},
    };

    /// Returns the miner with this key and its default settings; none for `none`.
    pub(crate) fn named_miner(name: &Value) -> Option<Box<dyn Miner>> {
        let key = name.as_str().filter(|key| *key != "none")?;
        let mut every = schema::Miner::every().into_iter();
        let settings = every.find(|miner| miner.key() == key).unwrap();
        Some(miner::build(&settings, &Scripts::default(), Device::Cpu).unwrap())
    }

    /// Returns the loss of a golden case.
    pub(crate) fn named_loss(case: &Value) -> Box<dyn Loss> {
        let name = case["loss"].as_str().unwrap();
        build(&settings(name, &case["settings"]), &INIT).unwrap()
    }

    /// Returns the loss of this key with these settings.
    pub(super) fn settings(key: &str, settings: &Value) -> schema::Loss {
        serde_json::from_value(json!({ key: settings })).unwrap()
    }

    /// For the golden files: five classes, width four.
    pub(super) const INIT: ClassInit = ClassInit {
        classes: 5,
        width: 4,
        seed: 7,
        part: 0,
        device: Device::Cpu,
    };

    pub(super) fn value(
        loss: &dyn Loss,
        miner: Option<&dyn Miner>,
        embeddings: &Tensor,
        labels: &Tensor,
    ) -> LossValue {
        let references = &References::batch(embeddings, labels);
        let chosen =
            miner.map(|miner| miner.mine(embeddings, labels, references, None, &mut draws()));
        LossInput {
            chosen: chosen.as_ref(),
            ..LossInput::with(embeddings, labels, references, loss)
        }
        .cost(loss, loss.reduction())
    }

    fn draws() -> Draws {
        Draws::new(0, Purpose::Mining, 0, 0)
    }

    /// Twelve embeddings of four classes, the distances between them, and their labels.
    pub(super) fn batch(distance: Distance) -> (Tensor, Vec<Vec<f64>>, Vec<i64>) {
        let embeddings = normalize(&noise(1, 12, 3));
        let distances = rows(&distance.matrix(&embeddings, &embeddings));
        (
            embeddings,
            distances,
            (0..12).map(|image| image % 5 % 4).collect(),
        )
    }

    /// For each anchor of that batch the distances of its positives, and of its negatives.
    pub(super) fn sides(distance: Distance) -> Vec<(Vec<f64>, Vec<f64>)> {
        let (_, distances, labels) = batch(distance);
        let others = |a: usize, same: bool| {
            let others = (0..12).filter(|&b| a != b && (labels[a] == labels[b]) == same);
            others.map(|b| distances[a][b]).collect()
        };
        (0..12)
            .map(|a| (others(a, true), others(a, false)))
            .collect()
    }

    /// The loss of that batch on all pairs.
    pub(super) fn of_all_pairs(loss: &dyn Loss) -> f64 {
        let (embeddings, _, labels) = batch(loss.distance());
        value(loss, None, &embeddings, &Tensor::from_slice(&labels))
            .value
            .double_value(&[])
    }

    /// Asserts that this loss of normalized noise with these labels is zero, empty and has a zero gradient.
    pub(super) fn is_empty_for(loss: &dyn Loss, labels: &[i64]) {
        let raw = noise(2, labels.len() as i64, 3).set_requires_grad(true);
        let loss = value(loss, None, &normalize(&raw), &Tensor::from_slice(labels));
        assert!(loss.is_empty());
        assert_eq!(loss.value.double_value(&[]), 0.0);
        assert_eq!(
            gradient(&loss.value, &raw).abs().max().double_value(&[]),
            0.0
        );
    }
}
