//! ConvNeXt (Liu et al., CVPR 2022), with the names of timm: four stages of blocks, each a depthwise convolution, a layer
//! norm and two layers for each position by itself. The features are the mean of the last map, behind a layer norm.

use schema::{ConvnextB, ConvnextT};
use tch::{Kind, Tensor};

use super::{
    depth::Branch,
    layers::{
        Conv, Convolutions, ForwardContext, LayerNorm, Linear, ParamBuilder, Parameter, Shape,
    },
    residual::{Recomputable, StageBlocks},
    trunk::{BuildTrunk, Trunk, TrunkInput},
    weights::naming::{Made, Naming},
};
use crate::parameters::Init;

const EPSILON: f64 = 1e-6;

/// What a layer scale begins with.
const SCALE: f32 = 1e-6;

/// Blocks and channels of each stage.
type Stages = [(usize, i64); 4];

const TINY: Stages = [(3, 96), (3, 192), (9, 384), (3, 768)];
const BASE: Stages = [(3, 128), (3, 256), (27, 512), (3, 1024)];

#[derive(Debug)]
struct ConvNext {
    stem: (Conv, LayerNorm),
    stages: Vec<Stage>,
    norm: LayerNorm,
}

#[derive(Debug)]
struct Stage {
    /// Halves the map. Absent from the first stage.
    downsample: Option<(LayerNorm, Conv)>,
    blocks: Vec<Recomputable<Block>>,
}

#[derive(Debug)]
struct Block {
    depthwise: Conv,
    norm: LayerNorm,
    layers: [Linear; 2],
    scale: Parameter,
    branch: Branch,
}

/// Returns the convolution of patches with this side, next to each other.
fn patches(inputs: i64, outputs: i64, side: i64) -> Shape {
    Shape::new(inputs, outputs, side)
        .stride(side)
        .padding(0)
        .biased()
}

/// Applies a layer norm to the channels of a map.
fn normed(norm: &LayerNorm, context: &ForwardContext, map: &Tensor) -> Tensor {
    let by_position = map.permute([0, 2, 3, 1]);
    norm.forward(context, &by_position).permute([0, 3, 1, 2])
}

impl ConvNext {
    fn new(builder: &mut ParamBuilder, stages: Stages) -> ConvNext {
        builder.convolutions = Convolutions::Normal(0.02);
        let [(_, width), .., (_, features)] = stages;
        let stem = (
            Conv::new(builder, "stem.0", patches(3, width, 4)),
            LayerNorm::new(builder, "stem.1", width, EPSILON),
        );
        let blocks = StageBlocks::of_stages(stages.map(|(blocks, _)| blocks));
        let mut built = Vec::new();
        let mut inputs = width;
        for (number, (blocks, (_, width))) in blocks.into_iter().zip(stages).enumerate() {
            let name = format!("stages.{number}");
            built.push(Stage::new(builder, &name, blocks, [inputs, width]));
            inputs = width;
        }
        builder.begin_head();
        ConvNext {
            stem,
            stages: built,
            norm: LayerNorm::new(builder, "head.norm", features, EPSILON),
        }
    }
}

impl Stage {
    /// Returns a stage for maps of the first of these widths, with blocks of the second.
    fn new(builder: &mut ParamBuilder, name: &str, blocks: StageBlocks, widths: [i64; 2]) -> Stage {
        builder.begin_layer();
        let [inputs, width] = widths;
        let downsample = |builder: &mut ParamBuilder| {
            (
                LayerNorm::new(builder, &format!("{name}.downsample.0"), inputs, EPSILON),
                Conv::new(
                    builder,
                    &format!("{name}.downsample.1"),
                    patches(inputs, width, 2),
                ),
            )
        };
        Stage {
            downsample: (inputs != width).then(|| downsample(builder)),
            blocks: blocks.build(
                builder,
                &format!("{name}.blocks"),
                |builder, name, [branch]| Block::new(builder, name, width, branch),
            ),
        }
    }

    fn forward(&self, context: &ForwardContext, map: Tensor) -> Tensor {
        let map = match &self.downsample {
            Some((norm, conv)) => conv.forward(context, &normed(norm, context, &map)),
            None => map,
        };
        self.blocks.iter().fold(map, |map, block| {
            block.forward(context, &map, Block::forward)
        })
    }
}

impl Block {
    fn new(builder: &mut ParamBuilder, name: &str, width: i64, branch: Branch) -> Block {
        let linear = |builder: &mut ParamBuilder, part: &str, inputs, outputs| {
            Linear::of_block(builder, &format!("{name}.{part}"), inputs, outputs)
        };
        let depthwise = Shape::depthwise(width, 7).biased();
        Block {
            scale: builder.parameter(format!("{name}.gamma"), &[width], Init::Constant(SCALE)),
            depthwise: Conv::new(builder, &format!("{name}.conv_dw"), depthwise),
            norm: LayerNorm::new(builder, &format!("{name}.norm"), width, EPSILON),
            layers: [
                linear(builder, "mlp.fc1", width, 4 * width),
                linear(builder, "mlp.fc2", 4 * width, width),
            ],
            branch,
        }
    }

    fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let convolved = self.depthwise.forward(context, map);
        let positions = self.norm.forward(context, &convolved.permute([0, 2, 3, 1]));
        let [first, second] = &self.layers;
        let hidden = first.forward(context, &positions).gelu("none");
        let added = second.forward(context, &hidden) * context.parameter(self.scale);
        map + self
            .branch
            .added(context.stochastic_depth, added.permute([0, 3, 1, 2]))
    }
}

impl Trunk for ConvNext {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let (conv, norm) = &self.stem;
        let stem = normed(norm, context, &conv.forward(context, images));
        let map = self
            .stages
            .iter()
            .fold(stem, |map, stage| stage.forward(context, map));
        let mean = map.mean_dim([2i64, 3].as_slice(), false, Kind::Float);
        self.norm.forward(context, &mean)
    }
}

macro_rules! build_trunk {
    ($($name:ident: $stages:expr,)*) => {$(
        impl BuildTrunk for $name {
            fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
                Box::new(ConvNext::new(builder, $stages))
            }

            fn namings(&self) -> &'static [Naming] {
                NAMINGS
            }
        }
    )*};
}

build_trunk! {
    ConvnextT: TINY,
    ConvnextB: BASE,
}

const NAMINGS: &[Naming] = &[Naming::OWN, AUTHORS, HUGGING_FACE, TORCHVISION];

const AUTHORS: Naming = Naming {
    starts: &[
        ("stem.", "downsample_layers.0."),
        ("stages.0.blocks.", "stages.0."),
        ("stages.1.blocks.", "stages.1."),
        ("stages.2.blocks.", "stages.2."),
        ("stages.3.blocks.", "stages.3."),
        ("stages.1.downsample.", "downsample_layers.1."),
        ("stages.2.downsample.", "downsample_layers.2."),
        ("stages.3.downsample.", "downsample_layers.3."),
        ("head.norm.", "norm."),
    ],
    parts: &[
        (".conv_dw.", Made::Of(".dwconv.")),
        (".mlp.fc", Made::Of(".pwconv")),
    ],
    beside: &["head."],
    ..Naming::OWN
};

const HUGGING_FACE: Naming = Naming {
    starts: &[
        ("stem.0.", "embeddings.patch_embeddings."),
        ("stem.1.", "embeddings.layernorm."),
        ("stages.0.blocks.", "encoder.stages.0.layers."),
        ("stages.1.blocks.", "encoder.stages.1.layers."),
        ("stages.2.blocks.", "encoder.stages.2.layers."),
        ("stages.3.blocks.", "encoder.stages.3.layers."),
        (
            "stages.1.downsample.",
            "encoder.stages.1.downsampling_layer.",
        ),
        (
            "stages.2.downsample.",
            "encoder.stages.2.downsampling_layer.",
        ),
        (
            "stages.3.downsample.",
            "encoder.stages.3.downsampling_layer.",
        ),
        ("head.norm.", "layernorm."),
    ],
    parts: &[
        (".conv_dw.", Made::Of(".dwconv.")),
        (".norm.", Made::Of(".layernorm.")),
        (".mlp.fc", Made::Of(".pwconv")),
        (".gamma", Made::Of(".layer_scale_parameter")),
    ],
    ..Naming::OWN
};

const TORCHVISION: Naming = Naming {
    starts: &[
        ("stem.", "features.0."),
        ("stages.0.blocks.", "features.1."),
        ("stages.1.downsample.", "features.2."),
        ("stages.1.blocks.", "features.3."),
        ("stages.2.downsample.", "features.4."),
        ("stages.2.blocks.", "features.5."),
        ("stages.3.downsample.", "features.6."),
        ("stages.3.blocks.", "features.7."),
        ("head.norm.", "classifier.0."),
    ],
    parts: &[
        (".conv_dw.", Made::Of(".block.0.")),
        (".norm.", Made::Of(".block.2.")),
        (".mlp.fc1.", Made::Of(".block.3.")),
        (".mlp.fc2.", Made::Of(".block.5.")),
        (".gamma", Made::Of(".layer_scale")),
    ],
    beside: &["classifier.2."],
    ..Naming::OWN
};
