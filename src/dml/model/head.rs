//! From features to embeddings.

use schema::{Head, LinearHead, LinearInit, Mlp};
use tch::Tensor;

use super::layers::{ForwardContext, Linear, ParamBuilder};
use crate::parameters::Init;

/// The layers of a head: `hidden0`, `hidden1` and so on with ReLU behind each, then `embedding`.
#[derive(Debug)]
pub(super) struct HeadLayers(Vec<Linear>);

impl HeadLayers {
    /// Returns a head from `features` to `width` dimensions. Absent settings: a linear layer with PyTorch's
    /// initialization.
    pub(super) fn new(
        builder: &mut ParamBuilder,
        head: Option<&Head>,
        features: i64,
        width: i64,
    ) -> HeadLayers {
        match head {
            None => mlp(builder, &[], features, width),
            Some(Head::Mlp(Mlp { hidden })) => mlp(builder, hidden, features, width),
            Some(Head::Linear(LinearHead { initial })) => {
                let fan = match initial {
                    LinearInit::KaimingFanIn => features,
                    LinearInit::KaimingFanOut => width,
                };
                let init = [Init::Normal((2.0 / fan as f64).sqrt()), Init::Constant(0.0)];
                let layer = Linear::with(builder, "embedding", features, width, init);
                HeadLayers(vec![layer])
            }
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, features: &Tensor) -> Tensor {
        let (last, hidden) = self.0.split_last().expect("a head has a last layer");
        let mut features = features.shallow_clone();
        for layer in hidden {
            features = layer.forward(context, &features).relu();
        }
        last.forward(context, &features)
    }
}

fn mlp(builder: &mut ParamBuilder, hidden: &[u32], features: i64, width: i64) -> HeadLayers {
    let mut layers = Vec::new();
    let mut inputs = features;
    for (number, &outputs) in hidden.iter().enumerate() {
        let name = format!("hidden{number}");
        layers.push(Linear::new(builder, &name, inputs, outputs.into()));
        inputs = outputs.into();
    }
    layers.push(Linear::new(builder, "embedding", inputs, width));
    HeadLayers(layers)
}
