//! SqueezeNet 1.1 (Iandola et al., 2016), with torchvision's names. It has no batch norm.

use tch::Tensor;

use super::{
    backbone::Trunk,
    input::Input,
    layers::{Conv, Convolutions, Pass, Plan, Shape, join, max_pool_3x3},
};

pub(super) const FEATURES: i64 = 512;

pub(super) const INPUT: Input = Input::imagenet(32);

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
pub(super) struct SqueezeNet {
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
    pub(super) fn new(plan: &mut Plan) -> SqueezeNet {
        plan.convolutions = Convolutions::HeUniform;
        let stem = Conv::new(
            plan,
            "features.0",
            Shape::new(3, 64, 3).stride(2).padding(0).biased(),
        );
        SqueezeNet {
            stem,
            blocks: BLOCKS.map(|block| Fire::new(plan, block)).into(),
        }
    }
}

impl Fire {
    fn new(plan: &mut Plan, (place, inputs, squeezed, expanded): (i64, i64, i64, i64)) -> Fire {
        let mut of = |name: &str, shape: Shape| {
            Conv::new(plan, &format!("features.{place}.{name}"), shape.biased())
        };
        Fire {
            squeeze: of("squeeze", Shape::new(inputs, squeezed, 1)),
            small: of("expand1x1", Shape::new(squeezed, expanded, 1)),
            large: of("expand3x3", Shape::new(squeezed, expanded, 3)),
            pooled: matches!(place, 3 | 6 | 9),
        }
    }

    fn forward(&self, pass: &Pass, map: &Tensor) -> Tensor {
        let map = if self.pooled {
            &max_pool_3x3(map, 0, true)
        } else {
            map
        };
        let squeezed = self.squeeze.forward(pass, map).relu_();
        join(&[
            self.small.forward(pass, &squeezed).relu_(),
            self.large.forward(pass, &squeezed).relu_(),
        ])
    }
}

impl Trunk for SqueezeNet {
    fn forward(&self, pass: &Pass, images: &Tensor) -> Tensor {
        let stem = self.stem.forward(pass, images).relu_();
        self.blocks
            .iter()
            .fold(stem, |map, block| block.forward(pass, &map))
    }
}
