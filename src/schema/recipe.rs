//! Everything that determines one run's result.

use serde::{Deserialize, Serialize};

use crate::{
    Dataset, Distance, Loss, Memory, Miner, Model, Optimizer, Reduction, Regularizer, Sampler, StoredImages, Transform,
};

/// Everything that determines one run's result, apart from the bytes of the data and the kind of
/// arithmetic (see [`Identity`](crate::Identity)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The data set.
    pub dataset: Dataset,
    /// How its images are stored.
    pub images: StoredImages,
    /// What is done to them in a batch. Absent: nothing.
    #[serde(default, skip_serializing_if = "Transform::is_none")]
    pub transform: Transform,
    /// The held-out part of the training classes. Absent: all of them are trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// The network.
    pub model: Model,
    /// How it is trained. Absent: it is not, and the run is a baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// The seed of every random draw.
    pub seed: u64,
}

/// One of `of` class-disjoint parts of the training classes, in the order of the class list; the run
/// trains on the others, validates on this one and keeps its best checkpoint by validation MAP@R.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which part, from 0.
    pub index: u32,
    /// How many parts.
    pub of: u32,
}

impl Fold {
    /// Which of `classes` training classes, numbered from 0, are held out.
    /// The parts differ in size by one class at most.
    pub fn held_out(self, classes: u32) -> std::ops::Range<u32> {
        let bound =
            |part: u32| u32::try_from(u64::from(part) * u64::from(classes) / u64::from(self.of)).unwrap_or(classes);
        bound(self.index)..bound(self.index + 1)
    }
}

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The loss.
    pub loss: Loss,
    /// How far apart embeddings are. Absent: the loss's own distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// How the loss's terms become one number. Absent: as the loss has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Reduction>,
    /// A penalty on embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regularizer: Option<Regularizer>,
    /// Chooses what the loss sees. Absent: all pairs, or all triplets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner: Option<Miner>,
    /// Adds embeddings of earlier batches. Absent: the loss sees one batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// Forms the batches.
    pub sampler: Sampler,
    /// Changes the weights.
    pub optimizer: Optimizer,
    /// Changes the parameters of losses that have some, such as proxies. Absent: one like that of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_optimizer: Option<Optimizer>,
    /// How many batches are trained on.
    pub steps: u64,
    /// Steps between two validations. Only a run with a fold validates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_every: Option<u64>,
    /// Whether the labels are the true ones.
    #[serde(default, skip_serializing_if = "Labels::are_true")]
    pub labels: Labels,
}

/// Whether a network is trained on the true labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// As they are.
    #[default]
    True,
    /// Permuted among the training images: a control, from which nothing about classes can be learnt.
    Shuffled,
}

impl Labels {
    fn are_true(&self) -> bool {
        *self == Labels::True
    }
}

#[cfg(test)]
mod tests {
    use super::Fold;

    #[test]
    fn folds_cover_every_class_exactly_once() {
        for (classes, of) in [(964, 4), (10, 3), (7, 7), (98, 4)] {
            let held_out: Vec<u32> = (0..of).flat_map(|index| Fold { index, of }.held_out(classes)).collect();
            assert_eq!(held_out, (0..classes).collect::<Vec<_>>());
        }
    }
}
