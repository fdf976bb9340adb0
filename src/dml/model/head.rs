//! From features to embeddings.

use tch::Tensor;

use super::layers::{Linear, Pass, Plan};
use crate::parameters::Initial;

/// What lies between features and embedding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Head {
    /// A linear layer, `embedding`, with PyTorch's initial numbers.
    #[default]
    Linear,
    /// A linear layer, `embedding`, with weights from a normal distribution of variance `2 / fan` (He et al., ICCV
    /// 2015) and biases of zero.
    Kaiming(Fan),
    /// Hidden layers of these widths, `hidden0`, `hidden1` and so on, with ReLU behind each, then `embedding`.
    Mlp(Vec<i64>),
}

/// What the variance of initial weights is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// The number of inputs, as in the seed repository of this field, `bnu-wangxun/Deep_Metric`.
    In,
    /// The number of outputs, as in the code of multi-similarity, XBM and Proxy Anchor.
    Out,
}

#[derive(Debug)]
pub(super) struct Layers(Vec<Linear>);

impl Layers {
    pub(super) fn new(plan: &mut Plan, head: &Head, features: i64, width: i64) -> Layers {
        let normal = |fan: i64| {
            [
                Initial::Normal((2.0 / fan as f64).sqrt()),
                Initial::Constant(0.0),
            ]
        };
        let hidden = match head {
            Head::Linear => &[][..],
            Head::Kaiming(Fan::In) => {
                return Layers(vec![Linear::with(
                    plan,
                    "embedding",
                    features,
                    width,
                    normal(features),
                )]);
            }
            Head::Kaiming(Fan::Out) => {
                return Layers(vec![Linear::with(
                    plan,
                    "embedding",
                    features,
                    width,
                    normal(width),
                )]);
            }
            Head::Mlp(hidden) => hidden,
        };
        let (mut layers, mut inputs) = (Vec::new(), features);
        for (number, &outputs) in hidden.iter().enumerate() {
            layers.push(Linear::new(
                plan,
                &format!("hidden{number}"),
                inputs,
                outputs,
            ));
            inputs = outputs;
        }
        layers.push(Linear::new(plan, "embedding", inputs, width));
        Layers(layers)
    }

    pub(super) fn forward(&self, pass: &Pass, features: &Tensor) -> Tensor {
        let (last, hidden) = self.0.split_last().expect("a head has a last layer");
        last.forward(
            pass,
            &hidden.iter().fold(features.shallow_clone(), |map, layer| {
                layer.forward(pass, &map).relu()
            }),
        )
    }
}
