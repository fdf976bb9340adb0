//! MobileNetV2 (Sandler et al., CVPR 2018), width 1, with torchvision's names.

use tch::Tensor;

use super::{
    backbone::Trunk,
    input::Input,
    inverted::Inverted,
    layers::{ConvNorm, Convolutions, Pass, Plan, Shape},
};

pub(super) const FEATURES: i64 = 1280;

pub(super) const INPUT: Input = Input::imagenet(32);

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
pub(super) struct MobileNetV2 {
    stem: ConvNorm,
    blocks: Vec<Inverted>,
    last: ConvNorm,
}

impl MobileNetV2 {
    pub(super) fn new(plan: &mut Plan) -> MobileNetV2 {
        plan.convolutions = Convolutions::FanOut;
        let stem = ConvNorm::new(
            plan,
            "features.0.0",
            "features.0.1",
            Shape::new(3, 32, 3).stride(2),
        );
        let (mut blocks, mut inputs) = (Vec::new(), 32);
        for (expansion, outputs, count, first_stride) in STAGES {
            for number in 0..count {
                let stride = if number == 0 { first_stride } else { 1 };
                let name = format!("features.{}.conv", blocks.len() + 1);
                blocks.push(block(plan, &name, inputs, outputs, expansion, stride));
                inputs = outputs;
            }
        }
        let last = ConvNorm::new(
            plan,
            "features.18.0",
            "features.18.1",
            Shape::new(inputs, FEATURES, 1),
        );
        MobileNetV2 { stem, blocks, last }
    }
}

/// The names count the layers of a block, of which the first has no expansion.
fn block(
    plan: &mut Plan,
    name: &str,
    inputs: i64,
    outputs: i64,
    expansion: i64,
    stride: i64,
) -> Inverted {
    let width = inputs * expansion;
    let mut place = 0;
    let mut pair = |plan: &mut Plan, shape| {
        place += 1;
        let names = [0, 1].map(|part| format!("{name}.{}.{part}", place - 1));
        ConvNorm::new(plan, &names[0], &names[1], shape)
    };
    let expand = (expansion > 1).then(|| pair(plan, Shape::new(inputs, width, 1)));
    let depthwise = pair(plan, Shape::depthwise(width, 3).stride(stride));
    let names = [place, place + 1].map(|place| format!("{name}.{place}"));
    let project = ConvNorm::new(plan, &names[0], &names[1], Shape::new(width, outputs, 1));
    Inverted {
        expand,
        depthwise,
        project,
        adds: stride == 1 && inputs == outputs,
    }
}

impl Trunk for MobileNetV2 {
    fn forward(&self, pass: &Pass, images: &Tensor) -> Tensor {
        let map = self
            .blocks
            .iter()
            .fold(self.stem.relu6(pass, images), |map, block| {
                block.forward(pass, &map)
            });
        self.last.relu6(pass, &map)
    }
}
