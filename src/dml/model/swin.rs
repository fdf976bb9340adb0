//! Swin transformer (Liu et al., ICCV 2021), with the names of timm: attention within windows of 7 by 7 positions, which are
//! shifted by half a window in every other block, and stages that halve the map.
//!
//! Maps that windows do not cover exactly are padded with zeros at the end, and are not shifted where one window covers
//! them, as torchvision does. With images of 224 pixels, or a multiple of that, nothing is padded.

use schema::{SwinB, SwinT};
use tch::{Device, Kind, Tensor};

use super::{
    depth::Branch,
    layers::{
        self, Conv, Convolutions, ForwardContext, LayerNorm, Linear, ParamBuilder, Parameter, Shape,
    },
    residual::{Recomputable, StageBlocks},
    trunk::{BuildTrunk, Trunk, TrunkInput},
    weights::naming::{Made, Naming, Unneeded},
};
use crate::parameters::Init;

const EPSILON: f64 = 1e-5;

/// Positions of a window's side.
const WINDOW: i64 = 7;

/// The width of a head.
const HEAD_WIDTH: i64 = 32;

/// What is added to the attention between positions that are only neighbors because of a shift.
const APART: f64 = -100.0;

/// The number of blocks of each stage.
type Stages = [usize; 4];

#[derive(Debug)]
struct Swin {
    patches: Conv,
    patch_norm: LayerNorm,
    stages: Vec<Stage>,
    norm: LayerNorm,
}

#[derive(Debug)]
struct Stage {
    /// Halves the map. Absent from the first stage.
    downsample: Option<(LayerNorm, Linear)>,
    blocks: Vec<Recomputable<Block>>,
}

#[derive(Debug)]
struct Block {
    before_attention: LayerNorm,
    queries_keys_values: Linear,
    projection: Linear,
    /// `[(2 w - 1)^2, heads]`: what is added to the attention, by the distance of positions in rows and columns.
    by_distance: Parameter,
    before_layers: LayerNorm,
    layers: [Linear; 2],
    /// Of the attention and of the layers.
    branches: [Branch; 2],
    heads: i64,
}

impl Swin {
    fn new(builder: &mut ParamBuilder, width: i64, stages: Stages) -> Swin {
        builder.convolutions = Convolutions::Normal(0.02);
        let patches = Shape::new(3, width, 4).stride(4).padding(0).biased();
        let stages = StageBlocks::of_stages(stages);
        Swin {
            patches: Conv::new(builder, "patch_embed.proj", patches),
            patch_norm: LayerNorm::new(builder, "patch_embed.norm", width, EPSILON),
            stages: (0..)
                .zip(stages)
                .map(|(number, blocks)| Stage::new(builder, number, blocks, width << number))
                .collect(),
            norm: LayerNorm::new(builder, "norm", 8 * width, EPSILON),
        }
    }
}

impl Stage {
    fn new(builder: &mut ParamBuilder, number: u32, blocks: StageBlocks, width: i64) -> Stage {
        builder.begin_layer();
        let name = format!("layers.{number}");
        let downsample = |builder: &mut ParamBuilder| {
            let part = |part: &str| format!("{name}.downsample.{part}");
            (
                LayerNorm::new(builder, &part("norm"), 2 * width, EPSILON),
                Linear::unbiased(
                    builder,
                    &part("reduction"),
                    2 * width,
                    width,
                    Init::Normal(0.02),
                ),
            )
        };
        Stage {
            downsample: (number > 0).then(|| downsample(builder)),
            blocks: blocks.build(
                builder,
                &format!("{name}.blocks"),
                |builder, name, branches| Block::new(builder, name, width, branches),
            ),
        }
    }

    /// Returns the map `[n, h, w, d]` of the stage.
    fn forward(&self, context: &ForwardContext, map: Tensor) -> Tensor {
        let map = match &self.downsample {
            Some((norm, reduction)) => {
                reduction.forward(context, &norm.forward(context, &in_fours(&map)))
            }
            None => map,
        };
        let windows = [false, true].map(|is_shifted| Windows::of(&map, is_shifted));
        let windows = windows.iter().cycle();
        self.blocks
            .iter()
            .zip(windows)
            .fold(map, |map, (block, windows)| {
                let windows = windows.share();
                block.forward(context, &map, move |block, context, map| {
                    block.forward(context, map, &windows)
                })
            })
    }
}

/// Puts the channels of four neighbors side by side: `[n, h, w, d]` to `[n, h / 2, w / 2, 4 d]`, with zeros beyond an odd
/// end.
fn in_fours(map: &Tensor) -> Tensor {
    let (_, height, width, channels) = map.size4().expect("maps have four dimensions");
    let map = map.constant_pad_nd([0, 0, 0, width % 2, 0, height % 2]);
    let (height, width) = ((height + 1) / 2, (width + 1) / 2);
    map.view([-1, height, 2, width, 2, channels])
        .permute([0, 1, 3, 4, 2, 5])
        .reshape([-1, height, width, 4 * channels])
}

/// How a map is divided into windows.
struct Windows {
    height: i64,
    width: i64,
    /// Windows in each direction.
    rows: i64,
    columns: i64,
    shift: [i64; 2],
    /// `[windows, 1, w^2, w^2]`: what is added to the attention between positions that are not neighbors in the map. Absent:
    /// nothing is shifted.
    apart: Option<Tensor>,
}

impl Windows {
    fn of(map: &Tensor, is_shifted: bool) -> Windows {
        let (height, width) = (map.size()[1], map.size()[2]);
        let [rows, columns] = [height, width].map(|side| (side + WINDOW - 1) / WINDOW);
        let shift = [rows, columns].map(|count| match is_shifted && count > 1 {
            true => WINDOW / 2,
            false => 0,
        });
        let mut windows = Windows {
            height,
            width,
            rows,
            columns,
            shift,
            apart: None,
        };
        windows.apart = (shift != [0, 0]).then(|| windows.apart(map.device()));
        windows
    }

    /// Returns the same windows, whose tensor is never changed.
    fn share(&self) -> Windows {
        Windows {
            apart: self.apart.as_ref().map(Tensor::shallow_clone),
            ..*self
        }
    }

    /// Returns the map `[n, h, w, d]` as windows `[n, windows, w^2, d]`.
    fn divided(&self, map: &Tensor) -> Tensor {
        let beyond = [
            self.rows * WINDOW - self.height,
            self.columns * WINDOW - self.width,
        ];
        let map = match beyond {
            [0, 0] => map.shallow_clone(),
            [rows, columns] => map.constant_pad_nd([0, 0, 0, columns, 0, rows]),
        };
        let map = match self.shift {
            [0, 0] => map,
            [rows, columns] => map.roll([-rows, -columns], [1, 2]),
        };
        let channels = map.size()[3];
        map.view([-1, self.rows, WINDOW, self.columns, WINDOW, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, self.rows * self.columns, WINDOW * WINDOW, channels])
    }

    /// Returns windows `[n, windows, w^2, d]` as the map `[n, h, w, d]`.
    fn joined(&self, windows: &Tensor) -> Tensor {
        let channels = windows.size()[3];
        let map = windows
            .reshape([-1, self.rows, self.columns, WINDOW, WINDOW, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([-1, self.rows * WINDOW, self.columns * WINDOW, channels]);
        let map = match self.shift {
            [0, 0] => map,
            [rows, columns] => map.roll([rows, columns], [1, 2]),
        };
        map.narrow(1, 0, self.height).narrow(2, 0, self.width)
    }

    fn apart(&self, device: Device) -> Tensor {
        let part = |count: i64, shift: i64| {
            let side = count * WINDOW;
            let places = Tensor::arange(side, (Kind::Int64, device));
            let from = |place: i64| places.ge(place).to_kind(Kind::Int64);
            match shift {
                0 => places.zeros_like(),
                shift => from(side - WINDOW) + from(side - shift),
            }
        };
        let [of_rows, of_columns] = self.shift;
        let rows = part(self.rows, of_rows).unsqueeze(1) * 3;
        let parts = rows + part(self.columns, of_columns);
        let parts = parts
            .view([self.rows, WINDOW, self.columns, WINDOW])
            .permute([0, 2, 1, 3])
            .reshape([-1, 1, WINDOW * WINDOW]);
        let differ = parts.unsqueeze(3).not_equal_tensor(&parts.unsqueeze(2));
        differ.to_kind(Kind::Float) * APART
    }
}

/// Returns `[w^4, (2 w - 1)^2]`: a one at the distance of each pair of positions in a window.
fn distances(device: Device) -> Tensor {
    let places = Tensor::arange(WINDOW, (Kind::Int64, device));
    let apart = places.unsqueeze(1) - &places + (WINDOW - 1);
    let sides = 2 * WINDOW - 1;
    // [row, column, other row, other column].
    let rows = apart.view([WINDOW, 1, WINDOW, 1]) * sides;
    let index = rows + apart.view([1, WINDOW, 1, WINDOW]);
    index.view([-1]).one_hot(sides * sides)
}

impl Block {
    fn new(builder: &mut ParamBuilder, name: &str, width: i64, branches: [Branch; 2]) -> Block {
        let part = |part: &str| format!("{name}.{part}");
        let heads = width / HEAD_WIDTH;
        let distances = (2 * WINDOW - 1) * (2 * WINDOW - 1);
        Block {
            before_attention: LayerNorm::new(builder, &part("norm1"), width, EPSILON),
            by_distance: builder.token(
                part("attn.relative_position_bias_table"),
                &[distances, heads],
                Init::Normal(0.02),
            ),
            queries_keys_values: Linear::of_block(builder, &part("attn.qkv"), width, 3 * width),
            projection: Linear::of_block(builder, &part("attn.proj"), width, width),
            before_layers: LayerNorm::new(builder, &part("norm2"), width, EPSILON),
            layers: [
                Linear::of_block(builder, &part("mlp.fc1"), width, 4 * width),
                Linear::of_block(builder, &part("mlp.fc2"), 4 * width, width),
            ],
            branches,
            heads,
        }
    }

    fn forward(&self, context: &ForwardContext, map: &Tensor, windows: &Windows) -> Tensor {
        let normed = self.before_attention.forward(context, map);
        let attended = self.attention(context, &windows.divided(&normed), windows);
        let [of_attention, of_layers] = &self.branches;
        let map = map + of_attention.added(context.stochastic_depth, windows.joined(&attended));
        let [first, second] = &self.layers;
        let normed = self.before_layers.forward(context, &map);
        let hidden = first.forward(context, &normed).gelu("none");
        map + of_layers.added(context.stochastic_depth, second.forward(context, &hidden))
    }

    /// Returns what positions `[n, windows, w^2, d]` find in their windows.
    fn attention(&self, context: &ForwardContext, positions: &Tensor, windows: &Windows) -> Tensor {
        let (_, count, places, width) = positions.size4().expect("windows have four dimensions");
        let parts = self.queries_keys_values.forward(context, positions);
        let parts = parts
            .view([-1, count, places, 3, self.heads, HEAD_WIDTH])
            .permute([3, 0, 1, 4, 2, 5]);
        let [queries, keys, values] = layers::parts(&parts);
        let added = self.added(context);
        let added = match &windows.apart {
            Some(apart) => added + apart.to_kind(context.dtype),
            None => added,
        };
        // The fused kernel of the CPU takes no trained mask, and what libtorch falls back to computes in single precision.
        let queries = queries * (HEAD_WIDTH as f64).powf(-0.5);
        let scores = queries.matmul(&keys.transpose(-2, -1)) + added;
        let found = scores.softmax(-1, context.dtype).matmul(&values);
        let found = found.transpose(2, 3).reshape([-1, count, places, width]);
        self.projection.forward(context, &found)
    }

    /// Returns `[1, heads, w^2, w^2]`: what is added to the attention. It is a product of matrices because the gradient of
    /// an index adds up in no fixed order on a GPU.
    fn added(&self, context: &ForwardContext) -> Tensor {
        let by_distance = context.parameter(self.by_distance);
        let places = WINDOW * WINDOW;
        distances(by_distance.device())
            .to_kind(by_distance.kind())
            .matmul(&by_distance)
            .view([1, places, places, self.heads])
            .permute([0, 3, 1, 2])
    }
}

impl Trunk for Swin {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let patches = self.patches.forward(context, images);
        let map = self
            .patch_norm
            .forward(context, &patches.permute([0, 2, 3, 1]));
        let map = self
            .stages
            .iter()
            .fold(map, |map, stage| stage.forward(context, map));
        self.norm.forward(context, &map).permute([0, 3, 1, 2])
    }
}

macro_rules! build_trunk {
    ($($name:ident: $width:literal, $stages:expr;)*) => {$(
        impl BuildTrunk for $name {
            fn trunk(&self, builder: &mut ParamBuilder, _: TrunkInput) -> Box<dyn Trunk> {
                Box::new(Swin::new(builder, $width, $stages))
            }

            fn namings(&self) -> &'static [Naming] {
                NAMINGS
            }
        }
    )*};
}

build_trunk! {
    SwinT: 96, [2, 2, 6, 2];
    SwinB: 128, [2, 2, 18, 2];
}

const NAMINGS: &[Naming] = &[TIMM, AUTHORS, HUGGING_FACE, TORCHVISION];

/// What programs compute.
const COMPUTED: &[(&str, Unneeded)] = &[
    (".relative_position_index", Unneeded::Always),
    (".attn_mask", Unneeded::Always),
];

const TIMM: Naming = Naming {
    unneeded: COMPUTED,
    ..Naming::OWN
};

/// A stage ends with what timm begins the next one with.
const AUTHORS: Naming = Naming {
    starts: &[
        ("layers.1.downsample.", "layers.0.downsample."),
        ("layers.2.downsample.", "layers.1.downsample."),
        ("layers.3.downsample.", "layers.2.downsample."),
    ],
    ..TIMM
};

const HUGGING_FACE: Naming = Naming {
    starts: &[
        (
            "patch_embed.proj.",
            "embeddings.patch_embeddings.projection.",
        ),
        ("patch_embed.norm.", "embeddings.norm."),
        ("layers.1.downsample.", "encoder.layers.0.downsample."),
        ("layers.2.downsample.", "encoder.layers.1.downsample."),
        ("layers.3.downsample.", "encoder.layers.2.downsample."),
        ("layers.", "encoder.layers."),
        ("norm.", "layernorm."),
    ],
    parts: &[
        (
            ".attn.qkv.",
            Made::Joined(&[
                ".attention.self.query.",
                ".attention.self.key.",
                ".attention.self.value.",
            ]),
        ),
        (".attn.proj.", Made::Of(".attention.output.dense.")),
        (".attn.relative", Made::Of(".attention.self.relative")),
        (".mlp.fc1.", Made::Of(".intermediate.dense.")),
        (".mlp.fc2.", Made::Of(".output.dense.")),
        (".norm1.", Made::Of(".layernorm_before.")),
        (".norm2.", Made::Of(".layernorm_after.")),
    ],
    ..TIMM
};

const TORCHVISION: Naming = Naming {
    starts: &[
        ("patch_embed.proj.", "features.0.0."),
        ("patch_embed.norm.", "features.0.2."),
        ("layers.0.blocks.", "features.1."),
        ("layers.1.downsample.", "features.2."),
        ("layers.1.blocks.", "features.3."),
        ("layers.2.downsample.", "features.4."),
        ("layers.2.blocks.", "features.5."),
        ("layers.3.downsample.", "features.6."),
        ("layers.3.blocks.", "features.7."),
    ],
    parts: &[
        (".mlp.fc1.", Made::Of(".mlp.0.")),
        (".mlp.fc2.", Made::Of(".mlp.3.")),
    ],
    ..TIMM
};
