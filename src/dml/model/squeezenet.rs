//! SqueezeNet 1.1 (Iandola et al., 2016), with torchvision's names. It has no batch norm.

use schema::Squeezenet;
use tch::Tensor;

use super::{
    layers::{Conv, Convolutions, ForwardContext, ParamBuilder, Shape, join, max_pool_3x3},
    trunk::{BuildTrunk, Trunk, TrunkInput},
};

/// The place of each block among the layers, its inputs, and its channels: squeezed, and expanded in each of two ways.
const BLOCKS: [(i64, i64, i64, i64); 8] = [
    (3, 64, 16, 64),
    (4, 128, 16, 64),
    (6, 128, 32, 128),
    (7, 256, 32, 128),
    (9, 256, 48, 192),
    (10, 384, 48, 192),
    (11, 384, 64, 256),
    (12, 512, 64, 256),
];

#[derive(Debug)]
struct SqueezeNet {
    stem: Conv,
    blocks: Vec<Fire>,
}

/// Few channels, then many: half of them by 1x1 kernels, half by 3x3.
#[derive(Debug)]
struct Fire {
    squeeze: Conv,
    small: Conv,
    large: Conv,
    /// Whether a pooling comes before it.
    pooled: bool,
}

impl SqueezeNet {
    fn new(builder: &mut ParamBuilder) -> SqueezeNet {
        builder.convolutions = Convolutions::HeUniform;
        let stem = Conv::new(
            builder,
            "features.0",
            Shape::new(3, 64, 3).stride(2).padding(0).biased(),
        );
        SqueezeNet {
            stem,
            blocks: BLOCKS.map(|block| Fire::new(builder, block)).into(),
        }
    }
}

impl Fire {
    fn new(
        builder: &mut ParamBuilder,
        (place, inputs, squeezed, expanded): (i64, i64, i64, i64),
    ) -> Fire {
        builder.begin_layer();
        let mut of = |name: &str, shape: Shape| {
            Conv::new(builder, &format!("features.{place}.{name}"), shape.biased())
        };
        Fire {
            squeeze: of("squeeze", Shape::new(inputs, squeezed, 1)),
            small: of("expand1x1", Shape::new(squeezed, expanded, 1)),
            large: of("expand3x3", Shape::new(squeezed, expanded, 3)),
            pooled: matches!(place, 3 | 6 | 9),
        }
    }

    fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let map = if self.pooled {
            &max_pool_3x3(map, 0, true)
        } else {
            map
        };
        let squeezed = self.squeeze.forward(context, map).relu_();
        join(&[
            self.small.forward(context, &squeezed).relu_(),
            self.large.forward(context, &squeezed).relu_(),
        ])
    }
}

impl Trunk for SqueezeNet {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let stem = self.stem.forward(context, images).relu_();
        self.blocks
            .iter()
            .fold(stem, |map, block| block.forward(context, &map))
    }
}

impl BuildTrunk for Squeezenet {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(SqueezeNet::new(builder))
    }
}
