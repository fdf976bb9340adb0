//! The head of a network, between features and embedding, and several heads on one trunk.
//!
//! Each of several heads gives one block of the embedding, at length one, and a loss sees one block. For retrieval the
//! blocks are joined, each times a factor, so that a joined embedding has length one too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::is_never;

/// Layers between features and embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// A linear layer.
    Linear(LinearHead),
    /// Hidden layers with ReLU, then a linear layer.
    Mlp(Mlp),
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearHead {
    /// Initialization of the weights.
    pub initial: LinearInit,
}

/// Initialization of the weights of a linear layer (He et al., ICCV 2015). Biases are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinearInit {
    /// Normal with variance 2 / inputs, as in `bnu-wangxun/Deep_Metric`.
    KaimingFanIn,
    /// Normal with variance 2 / outputs, as in the code of multi-similarity, XBM and Proxy Anchor.
    KaimingFanOut,
}

/// Hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Their widths.
    pub hidden: Vec<u32>,
}

/// Layers of a head on the map of a tap that keep the positions in the map: averages of windows of 5x5 at every third
/// position, a 1x1 convolution and ReLU, as in HDC (Yuan et al., ICCV 2017) and in the auxiliary classifiers of GoogLeNet
/// (Szegedy et al., CVPR 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auxiliary {
    /// Channels of the convolution.
    #[schemars(range(min = 1))]
    pub channels: u32,
}

impl Auxiliary {
    /// Side of the windows.
    pub const WINDOW: u32 = 5;

    /// From one window to the next.
    pub const STRIDE: u32 = 3;

    /// Returns how many windows a side of a map has, at least as long as a window. The last one may reach beyond the map
    /// and is the average of what lies in it, as in Caffe.
    pub fn windows(side: u32) -> u32 {
        side.saturating_sub(Auxiliary::WINDOW)
            .div_ceil(Auxiliary::STRIDE)
            + 1
    }
}

/// A head of a network with several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingHead {
    /// Width of its block. The widths of all heads add up to `model.embedding`.
    #[schemars(range(min = 1))]
    pub width: u32,
    /// The layer of the backbone whose map it pools. Absent: the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tap: Option<String>,
    /// Layers on the map of `tap`, instead of a pooling. Absent: the map is pooled as in `model.pooling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auxiliary: Option<Auxiliary>,
    /// Its layers. Absent: as `model.head`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Head>,
    /// The probability with which training sets each input of its last layer to 0 (dropout).
    #[serde(default, skip_serializing_if = "is_never")]
    pub dropout: f64,
}

impl EmbeddingHead {
    /// Returns a head of this width on the last map, with the layers of the model.
    pub fn of_width(width: u32) -> EmbeddingHead {
        EmbeddingHead {
            width,
            tap: None,
            auxiliary: None,
            layers: None,
            dropout: 0.0,
        }
    }
}

/// The factors of the blocks of a joined embedding, up to a common one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// The same for all.
    #[default]
    Equal,
    /// The widths of the blocks, as in the program of BIER: similarities count by the square of it.
    Width,
    /// These, one for each head.
    Factors(Vec<f64>),
}

impl Join {
    pub(crate) fn is_equal(&self) -> bool {
        *self == Join::Equal
    }

    /// Returns the factor of each head's block. The sum of their squares is 1.
    pub(crate) fn factors_of(&self, heads: &[EmbeddingHead]) -> Vec<f64> {
        let widths = heads.iter().map(|head| f64::from(head.width));
        let factors: Vec<f64> = match self {
            Join::Equal => vec![1.0; heads.len()],
            Join::Width => widths.collect(),
            Join::Factors(factors) => factors.clone(),
        };
        let squares = factors.iter().map(|factor| factor * factor);
        let length = squares.sum::<f64>().sqrt();
        factors.iter().map(|factor| factor / length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_of_a_map_are_those_of_caffe() {
        assert_eq!(Auxiliary::windows(14), 4);
        assert_eq!(
            [5, 6, 7, 8, 9, 28].map(Auxiliary::windows),
            [1, 2, 2, 2, 3, 9]
        );
    }

    #[test]
    fn the_factors_of_a_joined_embedding_make_it_one_long() {
        let heads = [96, 160, 256].map(EmbeddingHead::of_width);
        let shares = |join: Join| -> Vec<f64> {
            let factors = join.factors_of(&heads).into_iter();
            factors
                .map(|factor| (factor * factor * 1000.0).round() / 1000.0)
                .collect()
        };
        assert_eq!(shares(Join::Equal), [0.333, 0.333, 0.333]);
        assert_eq!(shares(Join::Width), [0.092, 0.255, 0.653]);
        assert_eq!(
            shares(Join::Factors(vec![3.0, 0.0, 4.0])),
            [0.36, 0.0, 0.64]
        );
    }
}
