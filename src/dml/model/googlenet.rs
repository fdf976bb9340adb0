//! GoogLeNet (Szegedy et al., CVPR 2015) as torchvision has it, with its names.
//!
//! Differs from the paper as torchvision does: batch norm behind every convolution, 3x3 kernels where the paper has
//! 5x5, and no auxiliary classifiers (the published file's `aux1` and `aux2` are ignored).

use schema::Googlenet;
use tch::Tensor;

use super::{
    layers::{
        ConvNorm, Convolutions, ForwardContext, NORM, NormSettings, ParamBuilder, Shape, join,
        max_pool, max_pool_3x3,
    },
    trunk::{BuildTrunk, Taps, Trunk, TrunkInput},
};

const SETTINGS: NormSettings = NormSettings {
    epsilon: 1e-3,
    ..NORM
};

/// Channels: of the block's input, of the 1x1 branch, of the two 3x3 branches (reduced, then the result), and of the
/// projection behind the pooling.
struct Widths(&'static str, i64, i64, [i64; 2], [i64; 2], i64);

const BLOCKS: [Widths; 9] = [
    Widths("3a", 192, 64, [96, 128], [16, 32], 32),
    Widths("3b", 256, 128, [128, 192], [32, 96], 64),
    Widths("4a", 480, 192, [96, 208], [16, 48], 64),
    Widths("4b", 512, 160, [112, 224], [24, 64], 64),
    Widths("4c", 512, 128, [128, 256], [24, 64], 64),
    Widths("4d", 512, 112, [144, 288], [32, 64], 64),
    Widths("4e", 528, 256, [160, 320], [32, 128], 128),
    Widths("5a", 832, 256, [160, 320], [32, 128], 128),
    Widths("5b", 832, 384, [192, 384], [48, 128], 128),
];

#[derive(Debug)]
struct GoogLeNet {
    stem: [ConvNorm; 3],
    blocks: Vec<Block>,
}

/// Four branches side by side.
#[derive(Debug)]
struct Block {
    name: &'static str,
    single: ConvNorm,
    small: [ConvNorm; 2],
    other: [ConvNorm; 2],
    projection: ConvNorm,
}

impl GoogLeNet {
    fn new(builder: &mut ParamBuilder) -> GoogLeNet {
        builder.convolutions = Convolutions::Normal(0.01);
        let stem = [
            convolution(builder, "conv1", Shape::new(3, 64, 7).stride(2)),
            convolution(builder, "conv2", Shape::new(64, 64, 1)),
            convolution(builder, "conv3", Shape::new(64, 192, 3)),
        ];
        GoogLeNet {
            stem,
            blocks: BLOCKS
                .iter()
                .map(|widths| Block::new(builder, widths))
                .collect(),
        }
    }
}

fn convolution(builder: &mut ParamBuilder, name: &str, shape: Shape) -> ConvNorm {
    ConvNorm::with(
        builder,
        &format!("{name}.conv"),
        &format!("{name}.bn"),
        shape,
        SETTINGS,
    )
}

impl Block {
    fn new(builder: &mut ParamBuilder, widths: &Widths) -> Block {
        builder.begin_layer();
        let &Widths(name, inputs, single, small, other, projection) = widths;
        let mut of =
            |branch: &str, shape| convolution(builder, &format!("inception{name}.{branch}"), shape);
        Block {
            name,
            single: of("branch1", Shape::new(inputs, single, 1)),
            small: [
                of("branch2.0", Shape::new(inputs, small[0], 1)),
                of("branch2.1", Shape::new(small[0], small[1], 3)),
            ],
            other: [
                of("branch3.0", Shape::new(inputs, other[0], 1)),
                of("branch3.1", Shape::new(other[0], other[1], 3)),
            ],
            projection: of("branch4.1", Shape::new(inputs, projection, 1)),
        }
    }

    fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let through =
            |[first, second]: &[ConvNorm; 2]| second.relu(context, &first.relu(context, map));
        let pooled = max_pool(map, 3, 1, 1, true);
        let branches = [
            self.single.relu(context, map),
            through(&self.small),
            through(&self.other),
            self.projection.relu(context, &pooled),
        ];
        join(&branches)
    }
}

impl Trunk for GoogLeNet {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        self.forward_tapped(context, images, &mut Taps::at(&[]))
    }

    fn forward_tapped(&self, context: &ForwardContext, images: &Tensor, taps: &mut Taps) -> Tensor {
        let [first, second, third] = &self.stem;
        let map = max_pool_3x3(&first.relu(context, images), 0, true);
        let map = max_pool_3x3(&third.relu(context, &second.relu(context, &map)), 0, true);
        self.blocks.iter().fold(map, |map, block| {
            let map = match block.name {
                "4a" => max_pool_3x3(&map, 0, true),
                "5a" => max_pool(&map, 2, 2, 0, true),
                _ => map,
            };
            let map = block.forward(context, &map);
            taps.see(&format!("inception{}", block.name), &map);
            map
        })
    }
}

impl BuildTrunk for Googlenet {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        Box::new(GoogLeNet::new(builder))
    }
}
