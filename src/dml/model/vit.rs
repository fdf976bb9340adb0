//! Vision transformer (Dosovitskiy et al., ICLR 2021) with patches of 16 pixels, with the names of timm, DINO and DeiT.
//! Its features are the class token behind the last layer norm.
//!
//! Position embeddings for another image size are resampled as timm does: bicubic, antialiased, the class token's
//! unchanged.

use schema::{VitB16, VitS16};
use tch::{Kind, Tensor};

use super::{
    layers::{Conv, ForwardContext, LayerNorm, Linear, ParamBuilder, Parameter, Shape},
    trunk::{BuildTrunk, Trunk, TrunkInput},
};
use crate::parameters::Init;

const PATCH: i64 = 16;

const HEAD_WIDTH: i64 = 64;

const EPSILON: f64 = 1e-6;

const BLOCKS: usize = 12;

#[derive(Debug)]
struct Vit {
    patches: Conv,
    class: Parameter,
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
    heads: i64,
}

impl Vit {
    /// Returns a transformer of this width for images of this side.
    fn new(builder: &mut ParamBuilder, width: i64, image_size: i64) -> Vit {
        let side = image_size / PATCH;
        let class = builder.parameter("cls_token", &[1, 1, width], Init::Normal(1e-6));
        let positions = builder.parameter(
            "pos_embed",
            &[1, side * side + 1, width],
            Init::Normal(0.02),
        );
        let patches = Shape::new(3, width, PATCH)
            .stride(PATCH)
            .padding(0)
            .biased();
        Vit {
            patches: Conv::new(builder, "patch_embed.proj", patches),
            class,
            positions,
            blocks: (0..BLOCKS)
                .map(|number| Block::new(builder, &format!("blocks.{number}"), width))
                .collect(),
            norm: LayerNorm::new(builder, "norm", width, EPSILON),
        }
    }
}

impl Block {
    fn new(builder: &mut ParamBuilder, name: &str, width: i64) -> Block {
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
            heads: width / HEAD_WIDTH,
        }
    }

    fn forward(&self, context: &ForwardContext, tokens: &Tensor) -> Tensor {
        let tokens =
            tokens + self.attention(context, &self.before_attention.forward(context, tokens));
        let [first, second] = &self.layers;
        let hidden = first
            .forward(context, &self.before_layers.forward(context, &tokens))
            .gelu("none");
        tokens + second.forward(context, &hidden)
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

impl Trunk for Vit {
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let patches = self
            .patches
            .forward(context, images)
            .flatten(2, 3)
            .transpose(1, 2);
        let class = context
            .parameter(self.class)
            .expand_as(&patches.narrow(1, 0, 1));
        let tokens = Tensor::cat(&[class, patches], 1) + context.parameter(self.positions);
        let tokens = self
            .blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(context, &tokens));
        self.norm.forward(context, &tokens.select(1, 0))
    }
}

impl BuildTrunk for VitS16 {
    fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk> {
        Box::new(Vit::new(builder, 384, input.image_size))
    }

    fn adapted(&self, name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
        with_resampled_positions(name, tensor, shape)
    }
}

impl BuildTrunk for VitB16 {
    fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk> {
        Box::new(Vit::new(builder, 768, input.image_size))
    }

    fn adapted(&self, name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
        with_resampled_positions(name, tensor, shape)
    }
}

fn with_resampled_positions(name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
    match (name, shape) {
        ("pos_embed", &[_, count, _]) => resampled(tensor, count),
        _ => tensor.shallow_clone(),
    }
}

/// Returns position embeddings `[1, 1 + side^2, d]` resampled to `count` positions. Returns them unchanged if
/// they have that many, or if either number is no square.
pub(super) fn resampled(positions: &Tensor, count: i64) -> Tensor {
    let side =
        |count: i64| Some((count as f64).sqrt().round() as i64).filter(|side| side * side == count);
    let [1, had, width] = positions.size()[..] else {
        return positions.shallow_clone();
    };
    let (Some(from), Some(to)) = (side(had - 1), side(count - 1)) else {
        return positions.shallow_clone();
    };
    if from == to {
        return positions.shallow_clone();
    }
    let class = positions.narrow(1, 0, 1);
    let grid = positions
        .narrow(1, 1, had - 1)
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
