//! ResNet (He et al., CVPR 2016), with torchvision's names: a stem, then four stages of residual blocks.
//!
//! Where a bottleneck halves the map is the one point on which published weights differ: torchvision's do it in the
//! 3x3 convolution ("v1.5"), those of the paper, of Caffe and of many exports in the first 1x1 convolution ("v1"). The
//! names and shapes are the same, so that weights load into either, and only one is right.

use schema::{Resnet18, Resnet34, Resnet50, Resnet101, StrideOn};
use tch::Tensor;

use super::{
    layers::{ConvNorm, Convolutions, ForwardContext, ParamBuilder, Shape, max_pool_3x3},
    trunk::{BuildTrunk, Taps, Trunk, TrunkInput},
};

/// The residual blocks of a ResNet.
#[derive(Clone, Copy, Debug)]
enum BlockKind {
    /// Two 3x3 convolutions.
    Basic,
    /// A 1x1, a 3x3 and a 1x1 convolution, the last of four times as many channels.
    Bottleneck(StrideOn),
}

impl BlockKind {
    /// Returns the factor of the channels of a stage.
    fn expansion(self) -> i64 {
        match self {
            BlockKind::Basic => 1,
            BlockKind::Bottleneck(_) => 4,
        }
    }

    fn convolutions(self, inputs: i64, width: i64, stride: i64) -> Vec<Shape> {
        match self {
            BlockKind::Basic => basic(inputs, width, stride),
            BlockKind::Bottleneck(StrideOn::Conv3x3) => bottleneck(inputs, width, [1, stride]),
            BlockKind::Bottleneck(StrideOn::Conv1x1) => bottleneck(inputs, width, [stride, 1]),
        }
    }
}

#[derive(Debug)]
struct ResNet {
    stem: ConvNorm,
    blocks: Vec<Block>,
}

/// Convolutions whose result is added to what came in.
#[derive(Debug)]
struct Block {
    stage: usize,
    convolutions: Vec<ConvNorm>,
    /// Fits what came in to what is added to it.
    shortcut: Option<ConvNorm>,
}

impl ResNet {
    /// Returns a ResNet with this number of blocks in each stage.
    fn new(builder: &mut ParamBuilder, kind: BlockKind, counts: [i64; 4]) -> ResNet {
        builder.convolutions = Convolutions::FanOut;
        let stem = ConvNorm::new(builder, "conv1", "bn1", Shape::new(3, 64, 7).stride(2));
        let mut blocks = Vec::new();
        let mut inputs = 64;
        for (stage, (count, width)) in (1..).zip(counts.into_iter().zip([64, 128, 256, 512])) {
            for number in 0..count {
                let stride = if stage > 1 && number == 0 { 2 } else { 1 };
                let outputs = width * kind.expansion();
                let shortcut = Shape::new(inputs, outputs, 1).stride(stride);
                blocks.push(Block::new(
                    builder,
                    stage,
                    &format!("layer{stage}.{number}"),
                    kind.convolutions(inputs, width, stride),
                    (stride > 1 || inputs != outputs).then_some(shortcut),
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
    fn new(
        builder: &mut ParamBuilder,
        stage: usize,
        name: &str,
        shapes: Vec<Shape>,
        shortcut: Option<Shape>,
    ) -> Block {
        builder.begin_layer();
        let convolution = |(number, shape): (i64, Shape)| {
            ConvNorm::new(
                builder,
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
            stage,
            convolutions,
            shortcut: shortcut.map(|shape| ConvNorm::new(builder, &names[0], &names[1], shape)),
        }
    }

    fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let (last, first) = self
            .convolutions
            .split_last()
            .expect("a block has convolutions");
        let inner = first.iter().fold(map.shallow_clone(), |map, convolution| {
            convolution.relu(context, &map)
        });
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(context, map),
            None => map.shallow_clone(),
        };
        last.forward(context, &inner).g_add_(&shortcut).relu_()
    }
}

impl Trunk for ResNet {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        self.forward_tapped(context, images, &mut Taps::at(&[]))
    }

    fn forward_tapped(&self, context: &ForwardContext, images: &Tensor, taps: &mut Taps) -> Tensor {
        let stem = max_pool_3x3(&self.stem.relu(context, images), 1, false);
        self.blocks.iter().fold(stem, |map, block| {
            let map = block.forward(context, &map);
            // The map of a stage is that of its last block.
            taps.see(&format!("layer{}", block.stage), &map);
            map
        })
    }
}

impl BuildTrunk for Resnet18 {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(ResNet::new(builder, BlockKind::Basic, [2, 2, 2, 2]))
    }
}

impl BuildTrunk for Resnet34 {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(ResNet::new(builder, BlockKind::Basic, [3, 4, 6, 3]))
    }
}

impl BuildTrunk for Resnet50 {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        let kind = BlockKind::Bottleneck(self.stride_on);
        Box::new(ResNet::new(builder, kind, [3, 4, 6, 3]))
    }
}

impl BuildTrunk for Resnet101 {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        let kind = BlockKind::Bottleneck(self.stride_on);
        Box::new(ResNet::new(builder, kind, [3, 4, 23, 3]))
    }
}
