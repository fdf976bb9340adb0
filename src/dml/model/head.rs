//! From features to embeddings.

use schema::{Head, LinearHead, LinearInit, Mlp};
use tch::Tensor;

use super::layers::{ForwardContext, Linear, ParamBuilder};
use crate::parameters::Init;

/// The layers of a head: `hidden0`, `hidden1` and so on with ReLU behind each, then `embedding`, each name behind a prefix.
#[derive(Debug)]
pub(super) struct HeadLayers(Vec<Linear>);

impl HeadLayers {
    /// Returns a head from `features` to `width` dimensions. Absent settings: a linear layer with PyTorch's
    /// initialization.
    pub(super) fn new(
        builder: &mut ParamBuilder,
        prefix: &str,
        head: Option<&Head>,
        features: i64,
        width: i64,
    ) -> HeadLayers {
        match head {
            None => mlp(builder, prefix, &[], features, width),
            Some(Head::Mlp(Mlp { hidden })) => mlp(builder, prefix, hidden, features, width),
            Some(Head::Linear(LinearHead { initial })) => {
                let fan = match initial {
                    LinearInit::KaimingFanIn => features,
                    LinearInit::KaimingFanOut => width,
                };
                let init = [Init::Normal((2.0 / fan as f64).sqrt()), Init::Constant(0.0)];
                let name = format!("{prefix}embedding");
                let layer = Linear::with(builder, &name, features, width, init);
                HeadLayers(vec![layer])
            }
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, features: &Tensor) -> Tensor {
        self.last(context, &self.hidden(context, features))
    }

    /// Returns the input of the last layer.
    pub(super) fn hidden(&self, context: &ForwardContext, features: &Tensor) -> Tensor {
        let mut features = features.shallow_clone();
        for layer in self.split().1 {
            features = layer.forward(context, &features).relu();
        }
        features
    }

    /// Returns the output of the last layer.
    pub(super) fn last(&self, context: &ForwardContext, hidden: &Tensor) -> Tensor {
        self.split().0.forward(context, hidden)
    }

    /// Returns the weights `[width, inputs]` of the last layer.
    pub(super) fn last_weights(&self, context: &ForwardContext) -> Tensor {
        self.split().0.weight(context)
    }

    fn split(&self) -> (&Linear, &[Linear]) {
        self.0.split_last().expect("a head has a last layer")
    }
}

fn mlp(
    builder: &mut ParamBuilder,
    prefix: &str,
    hidden: &[u32],
    features: i64,
    width: i64,
) -> HeadLayers {
    let mut layers = Vec::new();
    let mut inputs = features;
    for (number, &outputs) in hidden.iter().enumerate() {
        let name = format!("{prefix}hidden{number}");
        layers.push(Linear::new(builder, &name, inputs, outputs.into()));
        inputs = outputs.into();
    }
    let name = format!("{prefix}embedding");
    layers.push(Linear::new(builder, &name, inputs, width));
    HeadLayers(layers)
}
