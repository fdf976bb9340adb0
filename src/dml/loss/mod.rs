//! Losses: what a batch of embeddings costs.
//!
//! A loss turns a [`Batch`] into [`Terms`], one non-negative number for each pair, triplet, anchor or class; a
//! [`Reduction`] makes one number of them. Which tuples there are is a miner's business, how far apart embeddings
//! are a [`Distance`]'s: a loss here is some lines of tensor algebra, in one file of the same shape as all others.
//! A loss with numbers of its own to train, such as proxies, keeps them as [`Parameters`].

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
mod generalised_lifted;
mod hierarchical_triplet;
mod histogram;
mod lifted;
mod lifted_dm;
mod margin;
mod multi_similarity;
mod n_pair;
mod nca;
mod nca_dm;
mod normalised_softmax;
mod nt_xent;
#[cfg(test)]
mod properties;
mod proxy_anchor;
mod proxy_nca;
mod proxy_nca_pp;
mod recall_at_k;
mod rows;
mod semi_hard_dm;
mod smooth_ap;
mod snr_contrastive;
mod soft_triple;
mod sup_con;
mod triplet;

use tch::{Kind, Tensor};

use crate::{
    distance::Distance,
    parameters::Parameters,
    reduce::{Part, Reduction, Terms},
    tuples::{Pairs, References, Triplets, Tuples, all_pairs, at, coordinates},
};

pub use angular::Angular;
pub use arc_face::ArcFace;
pub use binomial::Binomial;
pub use binomial_dm::BinomialDm;
pub use circle::Circle;
pub use classes::Start;
pub use clustering::Clustering;
pub use contrastive::Contrastive;
pub use contrastive_dm::ContrastiveDm;
pub use cos_face::CosFace;
pub use fast_ap::FastAp;
pub use generalised_lifted::GeneralisedLifted;
pub use hierarchical_triplet::HierarchicalTriplet;
pub use histogram::Histogram;
pub use lifted::Lifted;
pub use lifted_dm::LiftedDm;
pub use margin::{Boundary, Margin, MarginSettings};
pub use multi_similarity::MultiSimilarity;
pub use n_pair::NPair;
pub use nca::Nca;
pub use nca_dm::NcaDm;
pub use normalised_softmax::NormalisedSoftmax;
pub use nt_xent::NtXent;
pub use proxy_anchor::ProxyAnchor;
pub use proxy_nca::ProxyNca;
pub use proxy_nca_pp::ProxyNcaPp;
pub use recall_at_k::RecallAtK;
pub use semi_hard_dm::SemiHardDm;
pub use smooth_ap::SmoothAp;
pub use snr_contrastive::SnrContrastive;
pub use soft_triple::{SoftTriple, SoftTripleSettings};
pub use sup_con::SupCon;
pub use triplet::Triplet;

/// What a batch of embeddings costs.
pub trait Loss: Send {
    /// The distance it is a function of, unless another is chosen.
    fn distance(&self) -> Distance;

    /// How its terms become one number, unless otherwise chosen.
    fn reduction(&self) -> Reduction;

    /// What it compares the images of a batch with.
    fn compares(&self) -> Compares {
        Compares::References
    }

    /// Returns the terms of a batch.
    fn terms(&self, batch: &Batch) -> Terms;

    /// Its own numbers to train.
    fn parameters(&self) -> Option<&Parameters> {
        None
    }

    /// The same, to change them.
    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        None
    }
}

/// What a loss compares the images of a batch with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compares {
    /// With references: the batch itself, or a memory.
    References,
    /// With each other alone. A memory adds nothing.
    Batch,
    /// With parameters of its own, such as proxies. A memory adds nothing.
    Parameters,
}

/// What a loss is computed from.
pub struct Batch<'a> {
    /// `[n, d]`, of length one unless the network was told otherwise.
    pub embeddings: &'a Tensor,
    /// `[n]`, whole numbers. A loss with parameters for classes needs them to be 0 to C - 1.
    pub labels: &'a Tensor,
    /// What the images are compared with: the batch itself, or a memory.
    pub references: &'a References,
    /// What a miner chose. Absent: everything.
    pub chosen: Option<&'a Tuples>,
    /// How far apart embeddings are.
    pub distance: Distance,
}

impl Batch<'_> {
    /// Images in the batch, `n`.
    pub fn images(&self) -> i64 {
        self.labels.size()[0]
    }

    /// Returns the distances of all images from all references: `[n, m]`.
    pub fn distances(&self) -> Tensor {
        self.distance
            .matrix(self.embeddings, &self.references.embeddings)
    }

    /// Returns the same with larger meaning closer, whichever way the distance points: `[n, m]`.
    pub fn closeness(&self) -> Tensor {
        self.distance.closeness(&self.distances())
    }

    /// Whether the batch is its own reference.
    pub fn is_own_reference(&self) -> bool {
        let own = &self.references.own;
        self.images() == self.references.labels.size()[0]
            && own.equal(&Tensor::arange(self.images(), (Kind::Int64, own.device())))
    }

    /// Returns the pairs that count.
    pub fn pairs(&self) -> Pairs {
        match self.chosen {
            Some(tuples) => tuples.pairs(),
            None => all_pairs(self.labels, self.references),
        }
    }

    /// Returns the anchors and the others of the positive pairs that count.
    pub fn positive_pairs(&self) -> (Tensor, Tensor) {
        match self.chosen {
            Some(tuples) => {
                let Pairs {
                    anchor_pos,
                    positive,
                    ..
                } = tuples.pairs();
                (anchor_pos, positive)
            }
            None => coordinates(&self.references.masks(self.labels).0),
        }
    }

    /// Returns the terms of the pairs that count: what `pull` makes of the distances of positive pairs, and what
    /// `push` makes of those of negative pairs, one by one.
    pub fn terms_of_pairs(
        &self,
        pull: impl Fn(&Tensor) -> Tensor,
        push: impl Fn(&Tensor) -> Tensor,
    ) -> Terms {
        let distances = self.distances();
        let listed = |values: &dyn Fn(&Tensor) -> Tensor, anchors: &Tensor, others: &Tensor| {
            Part::of_tuples(values(&at(&distances, anchors, others)), anchors)
        };
        let Some(tuples) = self.chosen else {
            // Nearly all pairs are negative, so these stay a matrix.
            let (positives, negatives) = self.references.masks(self.labels);
            let (anchors, others) = coordinates(&positives);
            return Terms::of([
                listed(&pull, &anchors, &others),
                Part::of_marked(&push(&distances), negatives),
            ]);
        };
        let Pairs {
            anchor_pos,
            positive,
            anchor_neg,
            negative,
        } = tuples.pairs();
        Terms::of([
            listed(&pull, &anchor_pos, &positive),
            listed(&push, &anchor_neg, &negative),
        ])
    }

    /// Returns the triplets that count.
    pub fn triplets(&self) -> Triplets {
        match self.chosen {
            Some(tuples) => tuples.triplets(),
            None => all_pairs(self.labels, self.references).triplets(),
        }
    }

    /// Returns the pairs that count as two masks `[n, m]`, of positives and of negatives. A pair counts once,
    /// however often a miner lists it.
    pub fn masks(&self) -> (Tensor, Tensor) {
        let Some(tuples) = self.chosen else {
            return self.references.masks(self.labels);
        };
        let pairs = tuples.pairs();
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

    /// Returns a weight `[n]` for each image, of which a loss without pairs makes use: how often a miner chose it,
    /// over the highest such count; 1 for all without a miner. PML `convert_to_weights`, which gives 1 for all to a
    /// miner that chose nothing, too; here nothing counts then.
    pub fn weights(&self) -> Tensor {
        // In a memory positives and negatives are none of the batch.
        self.how_often_chosen(self.chosen.is_some() && self.is_own_reference())
    }

    /// Returns the same, of how often a miner chose it as an anchor.
    pub fn anchor_weights(&self) -> Tensor {
        self.how_often_chosen(false)
    }

    fn how_often_chosen(&self, with_others: bool) -> Tensor {
        let options = (self.embeddings.kind(), self.embeddings.device());
        let Some(tuples) = self.chosen else {
            return Tensor::ones([self.images()], options);
        };
        let (anchors, others) = match tuples {
            Tuples::Pairs(pairs) => (
                vec![&pairs.anchor_pos, &pairs.anchor_neg],
                [&pairs.positive, &pairs.negative],
            ),
            Tuples::Triplets(triplets) => (
                vec![&triplets.anchor],
                [&triplets.positive, &triplets.negative],
            ),
        };
        let others = others.into_iter().filter(|_| with_others);
        let indices = Tensor::cat(&anchors.into_iter().chain(others).collect::<Vec<_>>(), 0);
        if indices.numel() == 0 {
            return Tensor::zeros([self.images()], options);
        }
        let counts = indices
            .bincount(None::<Tensor>, self.images())
            .to_kind(options.0);
        &counts / counts.max()
    }

    /// Returns the loss of this batch.
    pub fn cost(&self, loss: &dyn Loss, reduction: Reduction) -> LossValue {
        let terms = loss.terms(self);
        let empty = terms.are_zero();
        if empty && terms.added.is_empty() {
            // Zero, but still a function of the embeddings; and not a number if they are not.
            return LossValue {
                value: self.embeddings.sum(None::<Kind>) * 0.0,
                empty,
            };
        }
        LossValue {
            value: terms.reduce(reduction, self.images()),
            empty,
        }
    }
}

/// A loss as one number.
#[derive(Debug)]
pub struct LossValue {
    /// A scalar through which gradients flow.
    pub value: Tensor,
    /// Whether no pair or triplet contributed: there was none, or all of them cost nothing.
    pub empty: bool,
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        distance::normalise,
        miner::{self, Miner},
        random::{Draws, Purpose},
        testing::{assert_close, golden, gradient, labels, noise, rows, tensor},
    };

    /// The miner of a golden case.
    pub(crate) fn named_miner(name: &Value) -> Option<Box<dyn Miner>> {
        match name.as_str().unwrap() {
            "none" => None,
            "semi_hard" => Some(Box::new(miner::SemiHard { margin: 0.2 })),
            "multi_similarity" => Some(Box::new(miner::MultiSimilarity { epsilon: 0.1 })),
            other => panic!("golden miner {other}"),
        }
    }

    /// The loss of a golden case.
    pub(crate) fn named_loss(case: &Value) -> Box<dyn Loss> {
        let setting = |name: &str| case["settings"][name].as_f64().unwrap();
        match case["loss"].as_str().unwrap() {
            "contrastive" => {
                let (pos_margin, neg_margin) = (setting("pos_margin"), setting("neg_margin"));
                Box::new(Contrastive {
                    pos_margin,
                    neg_margin,
                    power: 1.0,
                })
            }
            "triplet" => Box::new(Triplet {
                margin: setting("margin"),
                swap: false,
                smooth: false,
            }),
            "multi_similarity" => Box::new(MultiSimilarity {
                alpha: setting("alpha"),
                beta: setting("beta"),
                base: setting("base"),
            }),
            other => panic!("golden loss {other}"),
        }
    }

    fn value(
        loss: &dyn Loss,
        miner: Option<&dyn Miner>,
        embeddings: &Tensor,
        labels: &Tensor,
    ) -> LossValue {
        let references = &References::batch(embeddings, labels);
        let chosen = miner.map(|miner| miner.mine(embeddings, labels, references, &mut draws()));
        let (chosen, distance) = (chosen.as_ref(), loss.distance());
        Batch {
            embeddings,
            labels,
            references,
            chosen,
            distance,
        }
        .cost(loss, loss.reduction())
    }

    fn draws() -> Draws {
        Draws::new(0, Purpose::Mining, 0, 0)
    }

    /// Compares value and gradient of the loss `name`, with and without miners, with those of PML.
    pub(super) fn agrees_with_golden_values(name: &str) {
        let golden = golden(include_str!("testdata/batch.json"));
        let cases = golden["cases"].as_array().unwrap();
        let cases: Vec<&Value> = cases.iter().filter(|case| case["loss"] == name).collect();
        assert_eq!(cases.len(), 9);
        let precisions = [(Kind::Double, 1e-10), (Kind::Float, 1e-5)];
        for (case, (kind, tolerance)) in cases
            .into_iter()
            .flat_map(|case| precisions.map(|of| (case, of)))
        {
            let raw = tensor(&golden["embeddings"])
                .to_kind(kind)
                .set_requires_grad(true);
            let miner = named_miner(&case["miner"]);
            let loss = value(
                &*named_loss(case),
                miner.as_deref(),
                &normalise(&raw),
                &labels(&golden["labels"]),
            );
            let what = format!("{name} {} {} {kind:?}", case["settings"], case["miner"]);
            assert_close(&loss.value, &tensor(&case["value"]), tolerance, &what);
            assert_close(
                &gradient(&loss.value, &raw),
                &tensor(&case["gradient"]),
                tolerance,
                &what,
            );
        }
    }

    /// Compares value and gradient of a loss in every case of its own golden file: `{ embeddings, labels, cases }`,
    /// each case with `settings`, which `make` understands, perhaps a `miner`, perhaps `raw` if embeddings are not
    /// normalised, `value` and `gradient` with respect to the raw embeddings; for a loss with parameters also their
    /// values and gradients by name.
    pub(super) fn agrees_with(text: &str, make: fn(&Value) -> Box<dyn Loss>) {
        agrees_within(1e-5, text, make);
    }

    /// The same with another tolerance in single precision.
    pub(super) fn agrees_within(single: f64, text: &str, make: fn(&Value) -> Box<dyn Loss>) {
        let golden = golden(text);
        let cases = golden["cases"].as_array().unwrap();
        assert!(
            cases.len() >= 3,
            "its defaults and at least two other settings"
        );
        let precisions = [(Kind::Double, 1e-10), (Kind::Float, single)];
        for (case, (kind, tolerance)) in cases
            .iter()
            .flat_map(|case| precisions.map(|of| (case, of)))
        {
            let raw = tensor(&golden["embeddings"])
                .to_kind(kind)
                .set_requires_grad(true);
            let mut loss = make(&case["settings"]);
            if let Some(parameters) = loss.parameters_mut() {
                parameters.set_all(kind, |name| tensor(&case["parameters"][name]));
            }
            let miner = case.get("miner").and_then(|name| named_miner(name));
            let embeddings = if case.get("raw").is_some() {
                raw.shallow_clone()
            } else {
                normalise(&raw)
            };
            let found = value(
                &*loss,
                miner.as_deref(),
                &embeddings,
                &labels(&golden["labels"]),
            )
            .value;
            let what = format!("{} {:?} {kind:?}", case["settings"], case.get("miner"));
            assert_close(&found, &tensor(&case["value"]), tolerance, &what);
            let named: Vec<(&str, &Tensor)> = loss
                .parameters()
                .into_iter()
                .flat_map(Parameters::named)
                .collect();
            let inputs: Vec<&Tensor> = named
                .iter()
                .map(|(_, tensor)| *tensor)
                .chain([&raw])
                .collect();
            let gradients = Tensor::run_backward(&[&found], &inputs, false, false);
            for ((name, _), gradient) in named.iter().zip(&gradients) {
                let what = format!("{name} of {what}");
                assert_close(
                    gradient,
                    &tensor(&case["parameter_gradients"][name]),
                    tolerance,
                    &what,
                );
            }
            assert_close(
                &gradients[named.len()],
                &tensor(&case["gradient"]),
                tolerance,
                &what,
            );
        }
    }

    /// Twelve embeddings of four classes, the distances between them, and their labels.
    pub(super) fn batch(distance: Distance) -> (Tensor, Vec<Vec<f64>>, Vec<i64>) {
        let embeddings = normalise(&noise(1, 12, 3));
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

    /// Asserts that this loss of normalised noise with these labels is zero, empty and has a zero gradient.
    pub(super) fn is_empty_for(loss: &dyn Loss, labels: &[i64]) {
        let raw = noise(2, labels.len() as i64, 3).set_requires_grad(true);
        let loss = value(loss, None, &normalise(&raw), &Tensor::from_slice(labels));
        assert!(loss.empty);
        assert_eq!(loss.value.double_value(&[]), 0.0);
        assert_eq!(
            gradient(&loss.value, &raw).abs().max().double_value(&[]),
            0.0
        );
    }
}
