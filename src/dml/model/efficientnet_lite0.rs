//! EfficientNet-lite0: EfficientNet (Tan and Le, ICML 2019) for small devices, without squeeze-and-excitation and with
//! ReLU6, with the names of the PyTorch ports of its TensorFlow weights.
//!
//! Convolutions pad as TensorFlow does. Batch norms have its
//! epsilon, 1e-3, and its slow running statistics.

use schema::EfficientnetLite0;
use tch::Tensor;

use super::{
    inverted::Inverted,
    layers::{ConvNorm, Convolutions, ForwardContext, NormSettings, ParamBuilder, Shape},
    trunk::{BuildTrunk, Trunk, TrunkInput},
};

const FEATURES: i64 = 1280;

const SETTINGS: NormSettings = NormSettings {
    epsilon: 1e-3,
    momentum: 0.01,
};

/// Of each stage: expansion, channels, blocks, kernel, and the stride of the first block.
const STAGES: [(i64, i64, i64, i64, i64); 7] = [
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
];

#[derive(Debug)]
struct EfficientNetLite0 {
    stem: ConvNorm,
    blocks: Vec<Inverted>,
    last: ConvNorm,
}

impl EfficientNetLite0 {
    fn new(builder: &mut ParamBuilder) -> EfficientNetLite0 {
        builder.convolutions = Convolutions::FanOut;
        let stem = convolution(
            builder,
            "_conv_stem",
            "_bn0",
            Shape::new(3, 32, 3).stride(2),
        );
        let (mut blocks, mut inputs) = (Vec::new(), 32);
        for (expansion, outputs, count, kernel, first_stride) in STAGES {
            for number in 0..count {
                builder.begin_layer();
                let stride = if number == 0 { first_stride } else { 1 };
                let (name, width) = (format!("_blocks.{}", blocks.len()), inputs * expansion);
                let mut of = |conv: &str, norm: &str, shape| {
                    convolution(
                        builder,
                        &format!("{name}.{conv}"),
                        &format!("{name}.{norm}"),
                        shape,
                    )
                };
                blocks.push(Inverted {
                    expand: (expansion > 1)
                        .then(|| of("_expand_conv", "_bn0", Shape::new(inputs, width, 1))),
                    depthwise: of(
                        "_depthwise_conv",
                        "_bn1",
                        Shape::depthwise(width, kernel).stride(stride),
                    ),
                    project: of("_project_conv", "_bn2", Shape::new(width, outputs, 1)),
                    adds: stride == 1 && inputs == outputs,
                });
                inputs = outputs;
            }
        }
        let last = convolution(
            builder,
            "_conv_head",
            "_bn1",
            Shape::new(inputs, FEATURES, 1),
        );
        EfficientNetLite0 { stem, blocks, last }
    }
}

fn convolution(builder: &mut ParamBuilder, conv: &str, norm: &str, shape: Shape) -> ConvNorm {
    ConvNorm::with(builder, conv, norm, shape.same(), SETTINGS)
}

impl Trunk for EfficientNetLite0 {
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

impl BuildTrunk for EfficientnetLite0 {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(EfficientNetLite0::new(builder))
    }
}
