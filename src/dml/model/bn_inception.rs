//! BN-Inception (Ioffe and Szegedy, ICML 2015), with the names of the port of its Caffe weights that
//! `pretrainedmodels` (R. Cadene) distributes: the backbone of the Reality Check and of most papers before it.
//!
//! Input: blue, green, red from 0 to 255, minus 104, 117, 128. All convolutions have a bias although a norm follows.
//! Poolings that halve the map count beyond its end (`ceil`). Average poolings within a block divide by nine at the
//! border too, where they see padding: Caffe's way, and that of the weights; not so in some ports.

use tch::Tensor;

use super::{
    backbone::Trunk,
    input::{Colours, Input},
    layers::{ConvNorm, Pass, Plan, Shape, join, max_pool_3x3},
};

pub(super) const FEATURES: i64 = 1024;

pub(super) const INPUT: Input = Input {
    colours: Colours::Bgr,
    white: 255.0,
    mean: [104.0, 117.0, 128.0],
    deviation: [1.0; 3],
    native: 224,
    least: 32,
};

/// Whether average poolings count the padding at the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BorderAverage {
    /// They divide by nine everywhere, as in Caffe.
    WithPadding,
    /// They divide by the pixels that are there.
    WithoutPadding,
}

#[derive(Debug)]
pub(super) struct BnInception {
    stem: [ConvNorm; 3],
    blocks: Vec<Block>,
}

/// Four branches side by side.
#[derive(Debug)]
struct Block {
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
    Average(BorderAverage),
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

/// Whether the maps of an image of this size fit together: where a block halves, a pooling that counts beyond the end
/// and convolutions that do not have to agree, and they do on maps of an even size.
pub(super) fn fits(image_size: i64) -> bool {
    let pooled = |size: i64| size / 2;
    let third = pooled(pooled((image_size + 1) / 2));
    third % 2 == 0 && (third / 2) % 2 == 0
}

impl BnInception {
    pub(super) fn new(plan: &mut Plan, border: BorderAverage) -> BnInception {
        let stem = [
            convolution(plan, "conv1_7x7_s2", Shape::new(3, 64, 7).stride(2)),
            convolution(plan, "conv2_3x3_reduce", Shape::new(64, 64, 1)),
            convolution(plan, "conv2_3x3", Shape::new(64, 192, 3)),
        ];
        BnInception {
            stem,
            blocks: BLOCKS
                .iter()
                .map(|widths| Block::new(plan, widths, border))
                .collect(),
        }
    }
}

fn convolution(plan: &mut Plan, name: &str, shape: Shape) -> ConvNorm {
    ConvNorm::new(plan, name, &format!("{name}_bn"), shape.biased())
}

impl Block {
    fn new(plan: &mut Plan, widths: &Widths, border: BorderAverage) -> Block {
        let &Widths(block, inputs, single, [reduced, small], [reduced_double, double], projection) =
            widths;
        let pool = match block {
            "3c" | "4e" => Pool::Halving,
            "5b" => Pool::Largest,
            _ => Pool::Average(border),
        };
        let stride = if matches!(pool, Pool::Halving) { 2 } else { 1 };
        let mut of =
            |branch: &str, shape| convolution(plan, &format!("inception_{block}_{branch}"), shape);
        Block {
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

    fn forward(&self, pass: &Pass, map: &Tensor) -> Tensor {
        let pooled = match self.pool {
            Pool::Average(border) => {
                let with_padding = border == BorderAverage::WithPadding;
                map.avg_pool2d(3, 1, 1, true, with_padding, None::<i64>)
            }
            Pool::Largest => map.max_pool2d(3, 1, 1, 1, true),
            Pool::Halving => max_pool_3x3(map, 0, true),
        };
        let mut branches: Vec<Tensor> = self
            .single
            .iter()
            .map(|single| single.relu(pass, map))
            .collect();
        branches.push(through(&self.small, pass, map));
        branches.push(through(&self.double, pass, map));
        branches.push(match &self.projection {
            Some(projection) => projection.relu(pass, &pooled),
            None => pooled,
        });
        join(&branches)
    }
}

fn through(convolutions: &[ConvNorm], pass: &Pass, map: &Tensor) -> Tensor {
    convolutions
        .iter()
        .fold(map.shallow_clone(), |map, convolution| {
            convolution.relu(pass, &map)
        })
}

impl Trunk for BnInception {
    fn forward(&self, pass: &Pass, images: &Tensor) -> Tensor {
        let (first, second) = self.stem.split_at(1);
        let first = max_pool_3x3(&through(first, pass, images), 0, true);
        let second = max_pool_3x3(&through(second, pass, &first), 0, true);
        self.blocks
            .iter()
            .fold(second, |map, block| block.forward(pass, &map))
    }
}
