//! The heads of a method, as a sweep file has them.

use schema::{
    Auxiliary, Distance, EmbeddingHead, Head, Loss, Miner, Reduction, Regularizer, WeightedLoss,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Layers on the map of `tap`, instead of a pooling; absent: as `model.pooling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<Auxiliary>,
    /// Its layers; absent: as `model.head`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Head>,
    /// The probability with which training sets each input of its last layer to 0 (dropout).
    #[serde(default, skip_serializing_if = "schema::is_never")]
    pub dropout: f64,
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
            auxiliary: self.auxiliary,
            layers: self.layers.clone(),
            dropout: self.dropout,
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
