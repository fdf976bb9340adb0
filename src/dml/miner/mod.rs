//! Miners: which of all pairs or triplets a loss gets to see.
//!
//! A miner looks at distances without leaving a trace in the gradient. It serves a batch against itself and a
//! batch against a memory alike.

mod multi_similarity;
mod semi_hard;

use tch::{Tensor, no_grad};

use crate::{
    distance::Distance,
    tuples::{References, Tuples},
};

pub use multi_similarity::MultiSimilarity;
pub use semi_hard::SemiHard;

/// Chooses pairs or triplets.
pub trait Miner: Send {
    /// The distance it judges by.
    fn distance(&self) -> Distance;

    /// Returns its choice, given the matrix `[n, m]` of distances and masks `[n, m]` of the positive and of
    /// the negative pairs.
    fn choose(&self, distances: &Tensor, positives: &Tensor, negatives: &Tensor) -> Tuples;

    /// Returns its choice for a batch: `embeddings` `[n, d]`, `labels` `[n]`.
    fn mine(&self, embeddings: &Tensor, labels: &Tensor, references: &References) -> Tuples {
        no_grad(|| {
            let distances = self.distance().matrix(embeddings, &references.embeddings);
            let (positives, negatives) = references.masks(labels);
            self.choose(&distances, &positives, &negatives)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Kind;

    use super::*;
    use crate::{
        distance::normalise,
        testing::{golden, labels, tensor, whole},
        tuples::Pairs,
    };

    /// For each golden case of the miner `name`: the case, and what the miner made for it chooses within the
    /// batch and against other embeddings.
    pub(super) fn golden_choices(name: &str, make: fn(&Value) -> Box<dyn Miner>) -> Vec<(Value, Tuples, Tuples)> {
        let golden = golden(include_str!("testdata/chosen.json"));
        let embeddings = normalise(&tensor(&golden["embeddings"]));
        let labels_of_batch = labels(&golden["labels"]);
        let own = Tensor::full(labels_of_batch.size(), -1, (Kind::Int64, tch::Device::Cpu));
        let within = References::batch(&embeddings, &labels_of_batch);
        let others = normalise(&tensor(&golden["references"]));
        let against = References { embeddings: others, labels: labels(&golden["reference_labels"]), own };
        let cases = golden["cases"].as_array().unwrap().iter().filter(|case| case["miner"] == name);
        let mine = |miner: &dyn Miner, references| miner.mine(&embeddings, &labels_of_batch, references);
        let choices: Vec<_> =
            cases.map(|case| (case.clone(), mine(&*make(case), &within), mine(&*make(case), &against))).collect();
        assert_eq!(choices.len(), 3);
        choices
    }

    /// Golden index lists.
    pub(super) fn columns(value: &Value) -> Vec<Vec<i64>> {
        value.as_array().unwrap().iter().map(whole).collect()
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
    pub(super) fn partners(miner: &dyn Miner, positives: &[f64], negatives: &[f64]) -> (Vec<i64>, Vec<i64>) {
        let to_anchor = Tensor::from_slice(&[&[0.0], positives, negatives].concat()).unsqueeze(0);
        let place = Tensor::arange(to_anchor.size()[1], (Kind::Int64, tch::Device::Cpu)).unsqueeze(0);
        let is_negative = place.gt(positives.len() as i64);
        let is_positive = place.gt(0).logical_and(&is_negative.logical_not());
        let Pairs { positive, negative, .. } = miner.choose(&to_anchor, &is_positive, &is_negative).pairs();
        (list(&positive), list(&negative))
    }

    #[test]
    fn a_choice_leaves_no_trace_in_the_gradient() {
        let embeddings = crate::testing::noise(1, 6, 3).set_requires_grad(true);
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2]);
        let references = References::batch(&embeddings, &labels);
        let pairs = MultiSimilarity { epsilon: 2.0 }.mine(&embeddings, &labels, &references).pairs();
        assert!(!pairs.positive.requires_grad());
        assert_eq!(pairs.positive.size(), [6]);
    }
}
