//! BN-Inception (Ioffe and Szegedy, ICML 2015), with the names of the port of its Caffe weights that
//! `pretrainedmodels` (R. Cadene) distributes: the backbone of the Reality Check and of most papers before it.
//!
//! All convolutions have a bias although a norm follows.
//! Poolings that halve the map count beyond its end (`ceil`). Average poolings within a block divide by nine at the
//! border too, where they see padding: Caffe's way, and that of the weights; not so in some ports.

use schema::BnInception;
use tch::Tensor;

use super::{
    layers::{ConvNorm, ForwardContext, ParamBuilder, Shape, join, max_pool, max_pool_3x3},
    trunk::{BuildTrunk, Taps, Trunk, TrunkInput},
};

#[derive(Debug)]
struct Layers {
    stem: [ConvNorm; 3],
    blocks: Vec<Block>,
}

/// Four branches side by side.
#[derive(Debug)]
struct Block {
    name: &'static str,
    /// Absent in a block that halves the map.
    single: Option<ConvNorm>,
    small: [ConvNorm; 2],
    double: [ConvNorm; 3],
    pool: Pool,
    /// Behind the pooling; absent in a block that halves the map.
    projection: Option<ConvNorm>,
}

#[derive(Clone, Copy, Debug)]
enum Pool {
    Average {
        count_padding: bool,
    },
    Largest,
    /// Halves the map, as the convolutions of its block do.
    Halving,
}

/// Channels: of the block's input, of the 1x1 branch, of the 3x3 branch and of the double 3x3 branch (reduced, then
/// the result), and of the projection.
struct Widths(&'static str, i64, i64, [i64; 2], [i64; 2], i64);

const BLOCKS: [Widths; 10] = [
    Widths("3a", 192, 64, [64, 64], [64, 96], 32),
    Widths("3b", 256, 64, [64, 96], [64, 96], 64),
    Widths("3c", 320, 0, [128, 160], [64, 96], 0),
    Widths("4a", 576, 224, [64, 96], [96, 128], 128),
    Widths("4b", 576, 192, [96, 128], [96, 128], 128),
    Widths("4c", 576, 160, [128, 160], [128, 160], 96),
    Widths("4d", 576, 96, [128, 192], [160, 192], 96),
    Widths("4e", 576, 0, [128, 192], [192, 256], 0),
    Widths("5a", 1024, 352, [192, 320], [160, 224], 128),
    Widths("5b", 1024, 352, [192, 320], [192, 224], 128),
];

impl Layers {
    fn new(builder: &mut ParamBuilder, average: Pool) -> Layers {
        let stem = [
            convolution(builder, "conv1_7x7_s2", Shape::new(3, 64, 7).stride(2)),
            convolution(builder, "conv2_3x3_reduce", Shape::new(64, 64, 1)),
            convolution(builder, "conv2_3x3", Shape::new(64, 192, 3)),
        ];
        Layers {
            stem,
            blocks: BLOCKS
                .iter()
                .map(|widths| Block::new(builder, widths, average))
                .collect(),
        }
    }
}

fn convolution(builder: &mut ParamBuilder, name: &str, shape: Shape) -> ConvNorm {
    ConvNorm::new(builder, name, &format!("{name}_bn"), shape.biased())
}

impl Block {
    fn new(builder: &mut ParamBuilder, widths: &Widths, average: Pool) -> Block {
        builder.begin_layer();
        let &Widths(block, inputs, single, [reduced, small], [reduced_double, double], projection) =
            widths;
        let pool = match block {
            "3c" | "4e" => Pool::Halving,
            "5b" => Pool::Largest,
            _ => average,
        };
        let stride = if matches!(pool, Pool::Halving) { 2 } else { 1 };
        let mut of = |branch: &str, shape| {
            convolution(builder, &format!("inception_{block}_{branch}"), shape)
        };
        Block {
            name: block,
            single: (single > 0).then(|| of("1x1", Shape::new(inputs, single, 1))),
            small: [
                of("3x3_reduce", Shape::new(inputs, reduced, 1)),
                of("3x3", Shape::new(reduced, small, 3).stride(stride)),
            ],
            double: [
                of("double_3x3_reduce", Shape::new(inputs, reduced_double, 1)),
                of("double_3x3_1", Shape::new(reduced_double, double, 3)),
                of("double_3x3_2", Shape::new(double, double, 3).stride(stride)),
            ],
            pool,
            projection: (projection > 0)
                .then(|| of("pool_proj", Shape::new(inputs, projection, 1))),
        }
    }

    fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        let pooled = match self.pool {
            Pool::Average { count_padding } => {
                map.avg_pool2d([3; 2], [1; 2], [1; 2], true, count_padding, None::<i64>)
            }
            Pool::Largest => max_pool(map, 3, 1, 1, true),
            Pool::Halving => max_pool_3x3(map, 0, true),
        };
        let mut branches: Vec<Tensor> = self
            .single
            .iter()
            .map(|single| single.relu(context, map))
            .collect();
        branches.push(through(&self.small, context, map));
        branches.push(through(&self.double, context, map));
        branches.push(match &self.projection {
            Some(projection) => projection.relu(context, &pooled),
            None => pooled,
        });
        join(&branches)
    }
}

fn through(convolutions: &[ConvNorm], context: &ForwardContext, map: &Tensor) -> Tensor {
    convolutions
        .iter()
        .fold(map.shallow_clone(), |map, convolution| {
            convolution.relu(context, &map)
        })
}

impl Trunk for Layers {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        self.forward_tapped(context, images, &mut Taps::at(&[]))
    }

    fn forward_tapped(&self, context: &ForwardContext, images: &Tensor, taps: &mut Taps) -> Tensor {
        let (first, second) = self.stem.split_at(1);
        let first = max_pool_3x3(&through(first, context, images), 0, true);
        let second = max_pool_3x3(&through(second, context, &first), 0, true);
        self.blocks.iter().fold(second, |map, block| {
            let map = block.forward(context, &map);
            taps.see(&format!("inception_{}", block.name), &map);
            map
        })
    }
}

impl BuildTrunk for BnInception {
    fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
        let average = Pool::Average {
            count_padding: self.count_padding,
        };
        Box::new(Layers::new(builder, average))
    }
}
