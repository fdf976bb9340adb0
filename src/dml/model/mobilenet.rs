//! MobileNetV2 (Sandler et al., CVPR 2018), width 1, with torchvision's names.

use schema::MobilenetV2;
use tch::Tensor;

use super::{
    inverted::Inverted,
    layers::{ConvNorm, Convolutions, ForwardContext, ParamBuilder, Shape},
    trunk::{BuildTrunk, Trunk, TrunkInput},
};

const FEATURES: i64 = 1280;

/// Of each stage: expansion, channels, blocks, and the stride of the first block.
const STAGES: [(i64, i64, i64, i64); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

#[derive(Debug)]
struct MobileNetV2 {
    stem: ConvNorm,
    blocks: Vec<Inverted>,
    last: ConvNorm,
}

impl MobileNetV2 {
    fn new(builder: &mut ParamBuilder) -> MobileNetV2 {
        builder.convolutions = Convolutions::FanOut;
        let stem = ConvNorm::new(
            builder,
            "features.0.0",
            "features.0.1",
            Shape::new(3, 32, 3).stride(2),
        );
        let (mut blocks, mut inputs) = (Vec::new(), 32);
        for (expansion, outputs, count, first_stride) in STAGES {
            for number in 0..count {
                let stride = if number == 0 { first_stride } else { 1 };
                let name = format!("features.{}.conv", blocks.len() + 1);
                blocks.push(block(builder, &name, inputs, outputs, expansion, stride));
                inputs = outputs;
            }
        }
        let last = ConvNorm::new(
            builder,
            "features.18.0",
            "features.18.1",
            Shape::new(inputs, FEATURES, 1),
        );
        MobileNetV2 { stem, blocks, last }
    }
}

/// The names count the layers of a block. The first block has no expansion.
fn block(
    builder: &mut ParamBuilder,
    name: &str,
    inputs: i64,
    outputs: i64,
    expansion: i64,
    stride: i64,
) -> Inverted {
    builder.begin_layer();
    let width = inputs * expansion;
    let mut place = 0;
    let mut pair = |builder: &mut ParamBuilder, shape| {
        place += 1;
        let names = [0, 1].map(|part| format!("{name}.{}.{part}", place - 1));
        ConvNorm::new(builder, &names[0], &names[1], shape)
    };
    let expand = (expansion > 1).then(|| pair(builder, Shape::new(inputs, width, 1)));
    let depthwise = pair(builder, Shape::depthwise(width, 3).stride(stride));
    let names = [place, place + 1].map(|place| format!("{name}.{place}"));
    let project = ConvNorm::new(builder, &names[0], &names[1], Shape::new(width, outputs, 1));
    Inverted {
        expand,
        depthwise,
        project,
        adds: stride == 1 && inputs == outputs,
    }
}

impl Trunk for MobileNetV2 {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let map = self
            .blocks
            .iter()
            .fold(self.stem.relu6(context, images), |map, block| {
                block.forward(context, &map)
            });
        self.last.relu6(context, &map)
    }
}

impl BuildTrunk for MobilenetV2 {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(MobileNetV2::new(builder))
    }
}
