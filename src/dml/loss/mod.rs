//! Losses: what a batch of embeddings costs.
//!
//! A loss turns distances and [`Tuples`] into [`Terms`], one non-negative number for each pair, triplet or anchor;
//! a [`Reduction`] makes one number of them. Which tuples there are is a miner's business, how far apart
//! embeddings are a [`Distance`]'s: a loss here is some lines of tensor algebra.

mod contrastive;
mod multi_similarity;
mod triplet;

use tch::{Kind, Tensor};

use crate::{
    distance::Distance,
    tuples::{References, Tuples},
};

pub use contrastive::Contrastive;
pub use multi_similarity::MultiSimilarity;
pub use triplet::Triplet;

/// What a batch of embeddings costs.
pub trait Loss: Send {
    /// The distance it is a function of.
    fn distance(&self) -> Distance;

    /// How its terms become one number.
    fn reduction(&self) -> Reduction;

    /// Returns the terms for a matrix `[n, m]` of the distances between batch and references.
    fn terms(&self, distances: &Tensor, tuples: &Tuples) -> Terms;

    /// Returns the loss of a batch `[n, d]` against its references, for these tuples.
    fn loss(&self, embeddings: &Tensor, references: &References, tuples: &Tuples) -> LossValue {
        let distances = self.distance().matrix(embeddings, &references.embeddings);
        let terms = self.terms(&distances, tuples);
        if terms.are_zero() {
            // Zero, but still a function of the embeddings; and not a number if they are not.
            return LossValue { value: embeddings.sum(None::<Kind>) * 0.0, empty: true };
        }
        LossValue { value: terms.reduce(self.reduction()), empty: false }
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

/// The terms of a loss, before they are reduced.
#[derive(Debug)]
pub struct Terms {
    /// Parts that are reduced separately and then added, `[t]` each. No term is negative.
    pub parts: Vec<Tensor>,
}

/// How terms become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The mean of all terms.
    Mean,
    /// The mean of those that are not zero.
    AvgNonZero,
}

impl Terms {
    /// Whether no term differs from zero. A term that is not a number does.
    pub fn are_zero(&self) -> bool {
        !self.parts.iter().any(|part| part.ne(0.0).any().int64_value(&[]) != 0)
    }

    /// Returns one number, 0 for a part without terms.
    ///
    /// A term that is not a number makes the result none: PML's `AvgNonZeroReducer` would drop it silently.
    pub fn reduce(&self, reduction: Reduction) -> Tensor {
        let mut reduced = self.parts.iter().map(|part| reduce(part, reduction));
        let first = reduced.next().unwrap_or_else(|| Tensor::from(0.0));
        reduced.fold(first, |sum, part| sum + part)
    }
}

fn reduce(part: &Tensor, reduction: Reduction) -> Tensor {
    let sum = part.sum(None::<Kind>);
    match reduction {
        Reduction::Mean => sum / (part.numel().max(1) as f64),
        Reduction::AvgNonZero => sum / part.ne(0.0).sum(Kind::Int64).clamp_min(1),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        distance::normalise,
        miner::{self, Miner},
        testing::{assert_close, golden, gradient, labels, noise, rows, tensor},
        tuples::all_pairs,
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
                Box::new(Contrastive { pos_margin: setting("pos_margin"), neg_margin: setting("neg_margin") })
            }
            "triplet" => Box::new(Triplet { margin: setting("margin") }),
            "multi_similarity" => {
                Box::new(MultiSimilarity { alpha: setting("alpha"), beta: setting("beta"), base: setting("base") })
            }
            other => panic!("golden loss {other}"),
        }
    }

    fn value(loss: &dyn Loss, miner: Option<&dyn Miner>, embeddings: &Tensor, labels: &Tensor) -> LossValue {
        let references = References::batch(embeddings, labels);
        let tuples = match miner {
            Some(miner) => miner.mine(embeddings, labels, &references),
            None => Tuples::Pairs(all_pairs(labels, &references)),
        };
        loss.loss(embeddings, &references, &tuples)
    }

    /// Compares value and gradient of the loss `name`, with and without miners, with those of PML.
    pub(super) fn agrees_with_golden_values(name: &str) {
        let golden = golden(include_str!("testdata/batch.json"));
        let cases = golden["cases"].as_array().unwrap();
        let cases: Vec<&Value> = cases.iter().filter(|case| case["loss"] == name).collect();
        assert_eq!(cases.len(), 9);
        let precisions = [(Kind::Double, 1e-10), (Kind::Float, 1e-5)];
        for (case, (kind, tolerance)) in cases.into_iter().flat_map(|case| precisions.map(|of| (case, of))) {
            let raw = tensor(&golden["embeddings"]).to_kind(kind).set_requires_grad(true);
            let miner = named_miner(&case["miner"]);
            let loss = value(&*named_loss(case), miner.as_deref(), &normalise(&raw), &labels(&golden["labels"]));
            let what = format!("{name} {} {} {kind:?}", case["settings"], case["miner"]);
            assert_close(&loss.value, &tensor(&case["value"]), tolerance, &what);
            assert_close(&gradient(&loss.value, &raw), &tensor(&case["gradient"]), tolerance, &what);
        }
    }

    /// Twelve embeddings of four classes, the distances between them, and their labels.
    pub(super) fn batch(distance: Distance) -> (Tensor, Vec<Vec<f64>>, Vec<i64>) {
        let embeddings = normalise(&noise(1, 12, 3));
        let distances = rows(&distance.matrix(&embeddings, &embeddings));
        (embeddings, distances, (0..12).map(|image| image % 5 % 4).collect())
    }

    /// The loss of that batch on all pairs.
    pub(super) fn of_all_pairs(loss: &dyn Loss) -> f64 {
        let (embeddings, _, labels) = batch(loss.distance());
        value(loss, None, &embeddings, &Tensor::from_slice(&labels)).value.double_value(&[])
    }

    /// Asserts that this loss of normalised noise with these labels is zero, empty and has a zero gradient.
    pub(super) fn is_empty_for(loss: &dyn Loss, labels: &[i64]) {
        let raw = noise(2, labels.len() as i64, 3).set_requires_grad(true);
        let loss = value(loss, None, &normalise(&raw), &Tensor::from_slice(labels));
        assert!(loss.empty);
        assert_eq!(loss.value.double_value(&[]), 0.0);
        assert_eq!(gradient(&loss.value, &raw).abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn terms_that_are_zero_count_for_one_mean_and_not_for_the_other() {
        let terms = Terms { parts: vec![Tensor::from_slice(&[0.0, 1.0, 0.0, 2.0]), Tensor::from_slice(&[4.0, 0.0])] };
        assert_eq!(terms.reduce(Reduction::Mean).double_value(&[]), 3.0 / 4.0 + 4.0 / 2.0);
        assert_eq!(terms.reduce(Reduction::AvgNonZero).double_value(&[]), 3.0 / 2.0 + 4.0);
    }

    #[test]
    fn a_part_without_terms_is_zero() {
        let terms = Terms { parts: vec![Tensor::from_slice(&[0.0f64; 0]), Tensor::from_slice(&[1.0])] };
        assert_eq!(terms.reduce(Reduction::Mean).double_value(&[]), 1.0);
        assert_eq!(terms.reduce(Reduction::AvgNonZero).double_value(&[]), 1.0);
    }

    #[test]
    fn a_term_that_is_not_a_number_is_not_dropped() {
        let terms = Terms { parts: vec![Tensor::from_slice(&[0.0, f64::NAN, 1.0])] };
        assert!(!terms.are_zero());
        assert!(terms.reduce(Reduction::AvgNonZero).double_value(&[]).is_nan());
    }

    #[test]
    fn embeddings_that_are_not_numbers_make_no_zero_loss() {
        let embeddings = Tensor::full([8, 3], f64::NAN, (Kind::Double, tch::Device::Cpu));
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]);
        let losses: [Box<dyn Loss>; 3] = [
            Box::new(Contrastive { pos_margin: 0.0, neg_margin: 1.0 }),
            Box::new(Triplet { margin: 0.05 }),
            Box::new(MultiSimilarity { alpha: 2.0, beta: 50.0, base: 0.5 }),
        ];
        for (loss, miner) in losses.iter().flat_map(|loss| ["none", "semi_hard", "multi_similarity"].map(|m| (loss, m)))
        {
            let miner = named_miner(&Value::from(miner));
            let found = value(&**loss, miner.as_deref(), &embeddings, &labels).value;
            assert!(found.double_value(&[]).is_nan());
        }
    }
}
