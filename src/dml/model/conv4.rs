//! Conv4: four blocks of 3x3 convolution with 64 channels, batch norm, ReLU and 2x2 max pooling. The embedding of
//! Vinyals et al., NeurIPS 2016 (section 4.1.1) and Snell et al., NeurIPS 2017, for small images.
//!
//! Differs: the last map is pooled, not flattened, so that any image size gives 64 features; and convolutions
//! have no bias, which batch norm would subtract again.

use schema::Conv4;
use tch::Tensor;

use super::{
    layers::{ConvNorm, ForwardContext, ParamBuilder, Shape, max_pool},
    trunk::{BuildTrunk, Taps, Trunk, TrunkInput},
};

const FEATURES: i64 = 64;

#[derive(Debug)]
struct Layers {
    blocks: Vec<ConvNorm>,
}

impl Layers {
    /// Returns the layers for images of this number of channels.
    fn new(builder: &mut ParamBuilder, channels: i64) -> Layers {
        let inputs = [channels, FEATURES, FEATURES, FEATURES];
        let block = |(number, inputs): (i64, i64)| {
            if number > 1 {
                builder.begin_layer();
            }
            let names = [format!("block{number}.conv"), format!("block{number}.bn")];
            ConvNorm::new(
                builder,
                &names[0],
                &names[1],
                Shape::new(inputs, FEATURES, 3),
            )
        };
        Layers {
            blocks: (1..).zip(inputs).map(block).collect(),
        }
    }
}

impl Trunk for Layers {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        self.forward_tapped(context, images, &mut Taps::at(&[]))
    }

    fn forward_tapped(&self, context: &ForwardContext, images: &Tensor, taps: &mut Taps) -> Tensor {
        let mut map = images.shallow_clone();
        for (number, block) in (1..).zip(&self.blocks) {
            map = max_pool(&block.relu(context, &map), 2, 2, 0, false);
            taps.see(&format!("block{number}"), &map);
        }
        map
    }
}

impl BuildTrunk for Conv4 {
    fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk> {
        Box::new(Layers::new(builder, input.channels))
    }
}

#[cfg(test)]
mod tests {
    use schema::Backbone;
    use serde_json::Value;
    use tch::{Device, Kind};

    use super::super::{Network, NetworkConfig};
    use super::*;
    use crate::testing::{assert_close, golden, tensor};

    /// The formula of the same name in `scripts/golden.py`.
    fn pattern(count: i64, index: i64, bound: f64) -> Tensor {
        let number =
            |place| ((place * 7919 + index * 104_729) % 2003 - 1001) as f64 / 1001.0 * bound;
        Tensor::from_slice(
            &(0..count)
                .map(|place| number(place) as f32)
                .collect::<Vec<_>>(),
        )
    }

    /// The network of a golden case, with its weights.
    fn patterned(case: &Value) -> Network {
        let (channels, image_size) = (
            case["channels"].as_i64().unwrap(),
            case["image_size"].as_i64().unwrap(),
        );
        let embedding = case["embedding"].as_u64().map(|width| width as u32);
        let config = NetworkConfig::new(Backbone::Conv4, channels, image_size, embedding);
        let mut network = Network::new(config, 0, Device::Cpu).unwrap();
        let weights = (0..)
            .zip(network.parameters())
            .map(|(index, (name, parameter))| {
                let inputs = parameter.numel() as f64 / parameter.size()[0] as f64;
                let bound = if parameter.dim() == 1 {
                    0.2
                } else {
                    1.0 / inputs.sqrt()
                };
                pattern(parameter.numel() as i64, index, bound)
                    + f64::from(name.ends_with("bn.weight"))
            });
        let mut state = network.state();
        state[0].1 = Tensor::cat(&weights.collect::<Vec<_>>(), 0);
        network.restore(&state).unwrap();
        network
    }

    fn images(case: &Value) -> Tensor {
        let (channels, size) = (
            case["channels"].as_i64().unwrap(),
            case["image_size"].as_i64().unwrap(),
        );
        let bytes: Vec<u8> = (0..4 * channels * size * size)
            .map(|place| ((place * 31 + place / 97) % 256) as u8)
            .collect();
        Tensor::from_slice(&bytes).view([4, channels, size, size])
    }

    #[test]
    fn embeddings_statistics_and_gradients_are_those_of_the_reference() {
        let golden = golden(include_str!("testdata/conv4.json"));
        for case in golden["cases"].as_array().unwrap() {
            let network = patterned(case);
            let trained = network.forward(&images(case), true);
            assert_close(&trained, &tensor(&case["train"]), 1e-5, "in training");
            let weights = pattern(trained.numel() as i64, 100, 1.0).view_as(&trained);
            let gradient = network.gradient(&(trained * weights).sum(Kind::Float));
            let statistics = &network.state()[1].1;
            assert_close(statistics, &tensor(&case["statistics"]), 1e-5, "statistics");
            assert_close(
                &network.forward(&images(case), false),
                &tensor(&case["eval"]),
                1e-5,
                "in evaluation",
            );
            let sizes: Vec<i64> = network
                .parameters()
                .map(|(_, parameter)| parameter.numel() as i64)
                .collect();
            let parts = gradient.split_with_sizes(&sizes, 0);
            let norms = Tensor::stack(&parts.iter().map(Tensor::norm).collect::<Vec<_>>(), 0);
            assert_close(
                &norms,
                &tensor(&case["gradient_norms"]),
                1e-5,
                "norms of gradients",
            );
            let firsts =
                Tensor::stack(&parts.iter().map(|part| part.get(0)).collect::<Vec<_>>(), 0);
            assert_close(
                &firsts,
                &tensor(&case["gradient_firsts"]),
                1e-5,
                "first numbers of gradients",
            );
        }
    }
}
