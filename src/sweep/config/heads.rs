//! The heads of a method, and its losses: that of the method, and those of heads with their own.

use schema::{
    Distance, EmbeddingHead, Head, Loss, Miner, Model, Reduction, Regularizer, WeightedLoss,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MethodTable;

/// A head of a method with several.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodHead {
    /// Width of its part of the embedding.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// The layer of the backbone whose map it pools; absent: the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// Its layers; absent: as `model.head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Head>,
    /// Weight of its loss in the sum.
    #[serde(default = "one")]
    pub weight: f64,
    /// Its loss; absent: that of the method, with all choices about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// The distance of its own loss; absent: the loss's own distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// How the terms of its own loss become one number; absent: as the loss has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Reduction>,
    /// A penalty on its embeddings, beside its own loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regularizer: Option<Regularizer>,
    /// Which pairs or triplets its own loss sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub miner: Option<Miner>,
}

fn one() -> f64 {
    1.0
}

impl MethodHead {
    /// Returns its layers.
    pub(crate) fn layers(&self) -> EmbeddingHead {
        EmbeddingHead {
            width: self.width,
            tap: self.tap.clone(),
            layers: self.layers.clone(),
        }
    }

    /// Returns its loss, if it is not that of the method.
    pub(crate) fn own_loss(&self) -> Option<WeightedLoss> {
        Some(WeightedLoss {
            weight: self.weight,
            loss: self.loss.clone()?,
            distance: self.distance,
            reduction: self.reduction,
            miner: self.miner.clone(),
            regularizer: self.regularizer.clone(),
        })
    }
}

impl MethodTable {
    /// Returns what is chosen about its loss, which is that of all heads without their own; nothing for a baseline.
    pub(crate) fn whole_loss(&self) -> Option<WeightedLoss> {
        Some(WeightedLoss {
            distance: self.distance,
            reduction: self.reduction,
            miner: self.miner.clone(),
            regularizer: self.regularizer.clone(),
            ..WeightedLoss::of(self.loss.clone()?)
        })
    }

    /// Returns the loss of the method and those of heads with their own.
    pub(crate) fn losses(&self) -> impl Iterator<Item = &Loss> {
        let heads = self.heads.iter().flatten();
        let of_heads = heads.filter_map(|head| head.loss.as_ref());
        self.loss.iter().chain(of_heads)
    }

    /// True if a loss or a link has parameters of its own.
    pub(crate) fn has_parameters(&self) -> bool {
        self.losses().any(Loss::has_parameters) || self.links.have_parameters()
    }

    /// True if a loss or a link depends on surveys of the training images.
    pub(crate) fn needs_survey(&self) -> bool {
        self.links.divide.is_some() || self.losses().any(Loss::needs_survey)
    }

    /// True if a batch without two images of one class has no gradient.
    pub(crate) fn needs_positives(&self) -> bool {
        self.losses().any(Loss::needs_positives)
    }

    /// Returns its network: the model that all share, with its own heads if it has some.
    pub(crate) fn model(&self, shared: &Model) -> Model {
        let layers = |heads: &Vec<MethodHead>| heads.iter().map(MethodHead::layers).collect();
        let heads = self.heads.as_ref().map(layers);
        Model {
            heads: heads.unwrap_or_else(|| shared.heads.clone()),
            join: self.join.clone().unwrap_or_else(|| shared.join.clone()),
            ..shared.clone()
        }
    }

    /// Returns the losses of its heads; none if all have that of the method.
    pub(crate) fn losses_of_heads(&self) -> Vec<WeightedLoss> {
        let heads: Vec<&MethodHead> = self.heads.iter().flatten().collect();
        let is_plain = |head: &&MethodHead| head.loss.is_none() && head.weight == 1.0;
        let Some(shared) = self.whole_loss().filter(|_| !heads.iter().all(is_plain)) else {
            return Vec::new();
        };
        let of_head = |head: &MethodHead| {
            head.own_loss().unwrap_or_else(|| WeightedLoss {
                weight: head.weight,
                ..shared.clone()
            })
        };
        heads.into_iter().map(of_head).collect()
    }
}
