//! The network that turns an image into an embedding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Backbone, EmbeddingHead, Head, Join, is_false, is_never, is_true, settings::settings};

/// A backbone, a pooling of its last map and, unless `embedding` is absent, a head on its features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Images to features.
    pub backbone: Backbone,
    /// Pooling of the last map. Absent: the mean, or nothing if the backbone gives no map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// True if each feature vector is normalized to mean 0 and variance 1 before the head.
    #[serde(default, skip_serializing_if = "is_false")]
    pub layer_norm: bool,
    /// Width of the embedding. Absent: the features are the embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub embedding: Option<u32>,
    /// Layers between features and embedding. Absent: a linear layer with PyTorch's initialization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Several heads instead of one, whose widths add up to `embedding`. Absent: one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heads: Vec<EmbeddingHead>,
    /// How the embeddings of several heads are joined for retrieval.
    #[serde(default, skip_serializing_if = "Join::is_equal")]
    pub join: Join,
    /// True if embeddings are divided by their length.
    #[serde(
        rename(serialize = "normalise", deserialize = "normalize"),
        alias = "normalise",
        default = "yes",
        skip_serializing_if = "is_true"
    )]
    pub normalize: bool,
    /// The parts of batch norms that stay constant.
    #[serde(default, skip_serializing_if = "BatchNorm::is_train")]
    pub batch_norm: BatchNorm,
    /// Frozen layers of the backbone, by the beginnings of their names up to a `.` or `_`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Compute dtype of the backbone.
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
    /// Low-rank adapters of the backbone, which are trained in its place. Absent: the backbone itself is trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// The probability with which an image skips a branch of the last residual block in training; it grows linearly from 0
    /// at the first block (stochastic depth).
    #[serde(default, skip_serializing_if = "is_never")]
    #[schemars(extend("x-also" = ["drop_path_rate", "stochastic_depth"]))]
    pub drop_path: f64,
    /// True if only the inputs of residual blocks are kept for the gradient, and the rest is computed again: the same
    /// results in less memory and more time.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("x-also" = ["gradient_checkpointing", "grad_checkpointing"]))]
    pub checkpointing: bool,
    /// True if convolutions on a GPU may round their factors to TF32, which has 11 bits of precision, as in PyTorch by
    /// default. Matrix products are never rounded.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub tf32: bool,
}

fn yes() -> bool {
    true
}

impl Model {
    /// Returns a backbone with an optional linear layer and default settings.
    pub fn new(backbone: Backbone, embedding: Option<u32>) -> Model {
        Model {
            backbone,
            pooling: None,
            layer_norm: false,
            embedding,
            head: None,
            heads: Vec::new(),
            join: Join::Equal,
            normalize: true,
            batch_norm: BatchNorm::Train,
            freeze: Vec::new(),
            precision: Precision::F32,
            lora: None,
            drop_path: 0.0,
            checkpointing: false,
            tf32: true,
        }
    }

    /// Returns the factor of each head's block of the embedding. The sum of their squares is 1.
    pub fn factors(&self) -> Vec<f64> {
        self.join.factors_of(&self.heads)
    }
}

/// Compute dtype of a backbone. Its parameters, the state of optimizers, and everything after the backbone (embeddings
/// and losses) are always in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Maps, and copies of the parameters, in bfloat16.
    Bf16,
}

impl Precision {
    fn is_single(&self) -> bool {
        *self == Precision::F32
    }
}

settings! {
    /// Low-rank adaptation (Hu et al., ICLR 2022): `alpha / rank * B A` is added to the weights of the linear layers of each
    /// block: in attention and behind it, and behind the convolution of ConvNeXt. `A` and `B` are trained, and nothing else of the backbone; `B` begins at zero.
    Lora {
        /// Rows of `A`, and columns of `B`.
        rank: u32 = 8,
        /// Factor of what is added, times the rank.
        alpha: f64 = 8.0,
    }
}

/// Pooling of the last map of a backbone to one vector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all positions.
    Avg,
    /// The maximum over all positions.
    Max,
    /// The sum of both (Kim et al., CVPR 2020).
    AvgMax,
    /// The generalized mean.
    Gem(Gem),
}

/// The generalized mean `mean(max(x, 1e-6)^p)^(1/p)` (Radenovic et al., TPAMI 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gem {
    /// The power: 1 is the mean, infinity the maximum.
    #[serde(default = "three")]
    pub p: f64,
    /// True if the power is trained, as one parameter for all features.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trainable: bool,
}

fn three() -> f64 {
    3.0
}

/// The parts of batch norms that stay constant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchNorm {
    /// Nothing: in training they use the statistics of the batch and update the running ones.
    #[default]
    Train,
    /// The statistics: the running ones are used in training, too. Scale and shift are trained.
    FrozenStatistics,
    /// Everything.
    Frozen,
}

impl BatchNorm {
    /// Returns the setting of an untrained network.
    pub fn untrained(backbone: &Backbone) -> BatchNorm {
        // A module of TorchScript can be nothing else.
        if matches!(backbone, Backbone::Torchscript(_)) {
            BatchNorm::FrozenStatistics
        } else {
            BatchNorm::Train
        }
    }

    fn is_train(&self) -> bool {
        *self == BatchNorm::Train
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_no_part_of_a_recipe() {
        let text = serde_json::to_string(&Model::new(Backbone::Conv4, Some(64))).unwrap();
        assert_eq!(text, r#"{"backbone":"conv4","embedding":64}"#);
        let long = r#"{"backbone":{"resnet50":{"stride_on":"3x3"}},"normalise":true,"batch_norm":"train","freeze":[]}"#;
        let model: Model = serde_json::from_str(long).unwrap();
        assert_eq!(
            serde_json::to_string(&model).unwrap(),
            r#"{"backbone":{"resnet50":{}}}"#
        );
    }
}
