//! ResNet (He et al., CVPR 2016), with torchvision's names: a stem, then four stages of residual blocks.
//!
//! Where a bottleneck halves the map is the one point on which published weights differ: torchvision's do it in the
//! 3x3 convolution ("v1.5"), those of the paper, of Caffe and of many exports in the first 1x1 convolution ("v1"). The
//! names and shapes are the same, so that weights load into either, and only one is right.

use tch::Tensor;

use super::{
    backbone::Trunk,
    input::Input,
    layers::{ConvNorm, Convolutions, Pass, Plan, Shape, max_pool_3x3},
};

/// The last of five halvings needs a pixel.
pub(super) const INPUT: Input = Input::imagenet(32);

/// How many blocks each stage has, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Basic blocks 2, 2, 2, 2.
    D18,
    /// Bottlenecks 3, 4, 6, 3.
    D50,
    /// Bottlenecks 3, 4, 23, 3.
    D101,
}

/// Which convolution of a bottleneck halves the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrideOn {
    /// The 3x3 one, as in torchvision.
    Conv3x3,
    /// The first 1x1 one, as in the paper.
    Conv1x1,
}

impl Depth {
    fn blocks(self) -> [i64; 4] {
        match self {
            Depth::D18 => [2, 2, 2, 2],
            Depth::D50 => [3, 4, 6, 3],
            Depth::D101 => [3, 4, 23, 3],
        }
    }

    /// What a block multiplies the width of its stage by.
    fn expansion(self) -> i64 {
        match self {
            Depth::D18 => 1,
            Depth::D50 | Depth::D101 => 4,
        }
    }

    pub(super) fn features(self) -> i64 {
        512 * self.expansion()
    }
}

#[derive(Debug)]
pub(super) struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
}

/// Convolutions whose result is added to what came in.
#[derive(Debug)]
struct Block {
    convolutions: Vec<ConvNorm>,
    /// Fits what came in to what is added to it.
    shortcut: Option<ConvNorm>,
}

impl ResNet {
    pub(super) fn new(plan: &mut Plan, depth: Depth, stride_on: StrideOn) -> ResNet {
        plan.convolutions = Convolutions::FanOut;
        let stem = ConvNorm::new(plan, "conv1", "bn1", Shape::new(3, 64, 7).stride(2));
        let (mut blocks, mut inputs) = (Vec::new(), 64);
        for (stage, (count, width)) in
            (1..).zip(depth.blocks().into_iter().zip([64, 128, 256, 512]))
        {
            for number in 0..count {
                let stride = if stage > 1 && number == 0 { 2 } else { 1 };
                let outputs = width * depth.expansion();
                let shapes = match (depth, stride_on) {
                    (Depth::D18, _) => basic(inputs, width, stride),
                    (_, StrideOn::Conv3x3) => bottleneck(inputs, width, [1, stride]),
                    (_, StrideOn::Conv1x1) => bottleneck(inputs, width, [stride, 1]),
                };
                let shortcut = Shape::new(inputs, outputs, 1).stride(stride);
                let shortcut = (stride > 1 || inputs != outputs).then_some(shortcut);
                blocks.push(Block::new(
                    plan,
                    &format!("layer{stage}.{number}"),
                    shapes,
                    shortcut,
                ));
                inputs = outputs;
            }
        }
        ResNet { stem, blocks }
    }
}

fn basic(inputs: i64, width: i64, stride: i64) -> Vec<Shape> {
    vec![
        Shape::new(inputs, width, 3).stride(stride),
        Shape::new(width, width, 3),
    ]
}

fn bottleneck(inputs: i64, width: i64, strides: [i64; 2]) -> Vec<Shape> {
    let [of_first, of_second] = strides;
    vec![
        Shape::new(inputs, width, 1).stride(of_first),
        Shape::new(width, width, 3).stride(of_second),
        Shape::new(width, 4 * width, 1),
    ]
}

impl Block {
    fn new(plan: &mut Plan, name: &str, shapes: Vec<Shape>, shortcut: Option<Shape>) -> Block {
        let convolution = |(number, shape): (i64, Shape)| {
            ConvNorm::new(
                plan,
                &format!("{name}.conv{number}"),
                &format!("{name}.bn{number}"),
                shape,
            )
        };
        let convolutions = (1..).zip(shapes).map(convolution).collect();
        let names = [
            format!("{name}.downsample.0"),
            format!("{name}.downsample.1"),
        ];
        Block {
            convolutions,
            shortcut: shortcut.map(|shape| ConvNorm::new(plan, &names[0], &names[1], shape)),
        }
    }

    fn forward(&self, pass: &Pass, map: &Tensor) -> Tensor {
        let (last, first) = self
            .convolutions
            .split_last()
            .expect("a block has convolutions");
        let inner = first.iter().fold(map.shallow_clone(), |map, convolution| {
            convolution.relu(pass, &map)
        });
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(pass, map),
            None => map.shallow_clone(),
        };
        last.forward(pass, &inner).g_add_(&shortcut).relu_()
    }
}

impl Trunk for ResNet {
    fn forward(&self, pass: &Pass, images: &Tensor) -> Tensor {
        let stem = max_pool_3x3(&self.stem.relu(pass, images), 1, false);
        self.blocks
            .iter()
            .fold(stem, |map, block| block.forward(pass, &map))
    }
}
