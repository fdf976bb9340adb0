//! Vision transformers (Dosovitskiy et al., ICLR 2021), with the names of timm. Their features are the class token behind
//! the last layer norm.
//!
//! | | patch | layer scale | registers |
//! | --- | --- | --- | --- |
//! | ViT, DINO, DeiT | 16 | no | none |
//! | DINOv2 (Oquab et al., TMLR 2024) | 14 | yes | none, or 4 (Darcet et al., ICLR 2024) |
//!
//! A layer scale multiplies what a block adds, channel by channel. Registers are tokens that take part in attention and are
//! then dropped. With them, neither they nor the class token have a position embedding.
//!
//! Position embeddings for another image size are resampled as timm does: bicubic, antialiased, the class token's
//! unchanged.

mod names;

use schema::{Dinov2B14, Dinov2L14, Dinov2S14, Registers, VitB16, VitS16};
use tch::{Kind, Tensor};

use super::{
    layers::{Conv, ForwardContext, LayerNorm, Linear, ParamBuilder, Parameter, Shape},
    trunk::{BuildTrunk, Trunk, TrunkInput},
    weights::naming::Naming,
};
use crate::parameters::Init;

const HEAD_WIDTH: i64 = 64;

const EPSILON: f64 = 1e-6;

/// The name of the position embeddings.
const POSITIONS: &str = "pos_embed";

/// What a layer scale begins with.
const SCALE: f32 = 1e-5;

/// How one transformer differs from others.
#[derive(Clone, Copy, Debug)]
struct VitShape {
    /// Pixels of a patch's side.
    patch: i64,
    width: i64,
    blocks: usize,
    has_scales: bool,
    registers: i64,
}

impl VitShape {
    fn plain(width: i64) -> VitShape {
        VitShape {
            patch: 16,
            width,
            blocks: 12,
            has_scales: false,
            registers: 0,
        }
    }

    fn dinov2(width: i64, blocks: usize, registers: Registers) -> VitShape {
        VitShape {
            patch: 14,
            width,
            blocks,
            has_scales: true,
            registers: registers.count(),
        }
    }
}

#[derive(Debug)]
struct Vit {
    patches: Conv,
    class: Parameter,
    /// Absent: the class token has a position embedding.
    registers: Option<Parameter>,
    positions: Parameter,
    blocks: Vec<Block>,
    norm: LayerNorm,
}

#[derive(Debug)]
struct Block {
    before_attention: LayerNorm,
    queries_keys_values: Linear,
    projection: Linear,
    before_layers: LayerNorm,
    layers: [Linear; 2],
    /// Of the attention and of the layers.
    scales: Option<[Parameter; 2]>,
    heads: i64,
}

impl Vit {
    /// Returns a transformer of this shape for images of this side.
    fn new(builder: &mut ParamBuilder, shape: VitShape, image_size: i64) -> Vit {
        let VitShape { patch, width, .. } = shape;
        let class = builder.parameter("cls_token", &[1, 1, width], Init::Normal(1e-6));
        let registers = (shape.registers > 0).then(|| {
            let size = [1, shape.registers, width];
            builder.parameter("reg_token", &size, Init::Normal(1e-6))
        });
        let side = image_size / patch;
        let count = side * side + i64::from(registers.is_none());
        let positions = builder.parameter(POSITIONS, &[1, count, width], Init::Normal(0.02));
        let patches = Shape::new(3, width, patch)
            .stride(patch)
            .padding(0)
            .biased();
        Vit {
            patches: Conv::new(builder, "patch_embed.proj", patches),
            class,
            registers,
            positions,
            blocks: (0..shape.blocks)
                .map(|number| Block::new(builder, &format!("blocks.{number}"), shape))
                .collect(),
            norm: LayerNorm::new(builder, "norm", width, EPSILON),
        }
    }
}

impl Block {
    fn new(builder: &mut ParamBuilder, name: &str, shape: VitShape) -> Block {
        let width = shape.width;
        let norm = |builder: &mut ParamBuilder, part: &str| {
            LayerNorm::new(builder, &format!("{name}.{part}"), width, EPSILON)
        };
        let linear = |builder: &mut ParamBuilder, part: &str, inputs, outputs| {
            let initial = [Init::Normal(0.02), Init::Constant(0.0)];
            Linear::with(builder, &format!("{name}.{part}"), inputs, outputs, initial)
        };
        Block {
            before_attention: norm(builder, "norm1"),
            queries_keys_values: linear(builder, "attn.qkv", width, 3 * width),
            projection: linear(builder, "attn.proj", width, width),
            before_layers: norm(builder, "norm2"),
            layers: [
                linear(builder, "mlp.fc1", width, 4 * width),
                linear(builder, "mlp.fc2", 4 * width, width),
            ],
            scales: shape.has_scales.then(|| {
                ["ls1", "ls2"].map(|part| {
                    let name = format!("{name}.{part}.gamma");
                    builder.parameter(name, &[width], Init::Constant(SCALE))
                })
            }),
            heads: width / HEAD_WIDTH,
        }
    }

    fn forward(&self, context: &ForwardContext, tokens: &Tensor) -> Tensor {
        let attended = self.attention(context, &self.before_attention.forward(context, tokens));
        let tokens = tokens + self.scaled(context, attended, 0);
        let [first, second] = &self.layers;
        let hidden = first
            .forward(context, &self.before_layers.forward(context, &tokens))
            .gelu("none");
        tokens + self.scaled(context, second.forward(context, &hidden), 1)
    }

    /// Returns what the attention (part 0) or the layers (part 1) add to the tokens.
    fn scaled(&self, context: &ForwardContext, added: Tensor, part: usize) -> Tensor {
        match self.scales {
            Some(scales) => added * context.parameter(scales[part]),
            None => added,
        }
    }

    fn attention(&self, context: &ForwardContext, tokens: &Tensor) -> Tensor {
        // A trace must not fix the number of images, so it is left open as -1.
        let (_, count, width) = tokens.size3().expect("tokens have three dimensions");
        let parts = self.queries_keys_values.forward(context, tokens);
        let parts = parts
            .view([-1, count, 3, self.heads, HEAD_WIDTH])
            .permute([2, 0, 3, 1, 4]);
        let [queries, keys, values] = [0, 1, 2].map(|part| parts.get(part));
        let attended = Tensor::scaled_dot_product_attention(
            &queries,
            &keys,
            &values,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        );
        self.projection.forward(
            context,
            &attended.transpose(1, 2).reshape([-1, count, width]),
        )
    }
}

impl Vit {
    /// Returns all tokens of images, the class token first.
    fn tokens(&self, context: &ForwardContext, patches: &Tensor) -> Tensor {
        let positions = context.parameter(self.positions);
        // A trace must not fix the number of images, so they are expanded like a tensor that has it.
        let of_each = |token: Tensor| {
            let like = patches
                .narrow(1, 0, 1)
                .expand([-1, token.size()[1], -1], false);
            token.expand_as(&like)
        };
        let class = of_each(context.parameter(self.class));
        match self.registers {
            None => Tensor::cat(&[class, patches.shallow_clone()], 1) + positions,
            Some(registers) => {
                let registers = of_each(context.parameter(registers));
                Tensor::cat(&[class, registers, patches + positions], 1)
            }
        }
    }
}

impl Trunk for Vit {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let patches = self
            .patches
            .forward(context, images)
            .flatten(2, 3)
            .transpose(1, 2);
        let tokens = self.tokens(context, &patches);
        let tokens = self
            .blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(context, &tokens));
        self.norm.forward(context, &tokens.select(1, 0))
    }
}

macro_rules! build_trunk {
    ($($name:ident: $shape:expr, $namings:expr;)*) => {$(
        impl BuildTrunk for $name {
            fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk> {
                let shape: fn(&$name) -> VitShape = $shape;
                Box::new(Vit::new(builder, shape(self), input.image_size))
            }

            fn adapted(&self, name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
                with_resampled_positions(name, tensor, shape)
            }

            fn resamples(&self, name: &str) -> bool {
                name == POSITIONS
            }

            fn namings(&self) -> &'static [Naming] {
                $namings
            }
        }
    )*};
}

build_trunk! {
    VitS16: |_| VitShape::plain(384), names::PLAIN;
    VitB16: |_| VitShape::plain(768), names::PLAIN;
    Dinov2S14: |vit| VitShape::dinov2(384, 12, vit.registers), names::DINOV2;
    Dinov2B14: |vit| VitShape::dinov2(768, 12, vit.registers), names::DINOV2;
    Dinov2L14: |vit| VitShape::dinov2(1024, 24, vit.registers), names::DINOV2;
}

fn with_resampled_positions(name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
    match (name, shape) {
        (POSITIONS, &[_, count, _]) => resampled(tensor, count),
        _ => tensor.shallow_clone(),
    }
}

/// Returns the side of a square of this many patches.
fn side_of(count: i64) -> Option<i64> {
    Some((count as f64).sqrt().round() as i64).filter(|side| side * side == count)
}

/// Returns position embeddings `[1, side^2, d]`, or `[1, 1 + side^2, d]` with that of the class token, resampled to
/// `count` positions. Returns them unchanged if they have that many, or if either number is no square.
pub(super) fn resampled(positions: &Tensor, count: i64) -> Tensor {
    let [1, had, width] = positions.size()[..] else {
        return positions.shallow_clone();
    };
    // Without the class token there are as many as patches, which are a square.
    let first = i64::from(side_of(count).is_none());
    let (Some(from), Some(to)) = (side_of(had - first), side_of(count - first)) else {
        return positions.shallow_clone();
    };
    if from == to {
        return positions.shallow_clone();
    }
    let class = positions.narrow(1, 0, first);
    let grid = positions
        .narrow(1, first, had - first)
        .to_kind(Kind::Float)
        .view([1, from, from, width])
        .permute([0, 3, 1, 2]);
    let grid = grid.internal_upsample_bicubic2d_aa([to, to], false, None, None);
    Tensor::cat(
        &[
            class,
            grid.permute([0, 2, 3, 1]).reshape([1, to * to, width]),
        ],
        1,
    )
}
