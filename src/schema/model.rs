//! The network that turns an image into an embedding.

use serde::{Deserialize, Serialize};

/// A backbone and, unless `embedding` is absent, a linear layer on its features. The result is
/// L2-normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The trunk.
    pub backbone: Backbone,
    /// Width of the embedding. Absent: the backbone's own features are the embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<u32>,
}

/// A trunk: images in, one feature vector each out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// Four blocks of 3x3 convolution with 64 channels, batch norm, ReLU and 2x2 max pooling, then the
    /// average over what is left of the image. For 28x28 or 64x64 images.
    Conv4,
    /// No network: the pixels themselves. A baseline that nothing can train.
    Pixels,
}
