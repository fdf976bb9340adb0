//! Vision transformer (Dosovitskiy et al., ICLR 2021) with patches of 16 pixels, with the names of timm, DINO and DeiT.
//! Its features are the class token behind the last layer norm.
//!
//! The input differs between published weights of one architecture: those of DINO and DeiT want ImageNet's mean and
//! deviation, timm's "augreg" ones pixels from -1 to 1. Position embeddings for another image size are resampled as
//! timm does: bicubic, antialiased, the class token's left as it is.

use tch::{Kind, Tensor};

use super::{
    backbone::Trunk,
    input::Input,
    layers::{Conv, LayerNorm, Linear, Parameter, Pass, Plan, Shape},
};
use crate::parameters::Initial;

const PATCH: i64 = 16;

const HEAD_WIDTH: i64 = 64;

const EPSILON: f64 = 1e-6;

const BLOCKS: usize = 12;

/// How wide it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VitSize {
    /// 384 features, 6 heads.
    Small,
    /// 768 features, 12 heads.
    Base,
}

/// What the weights were trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VitInput {
    /// ImageNet's mean and deviation: DINO, DeiT.
    #[default]
    ImageNet,
    /// Pixels from -1 to 1: timm's "augreg".
    Symmetric,
}

impl VitSize {
    pub(super) fn features(self) -> i64 {
        match self {
            VitSize::Small => 384,
            VitSize::Base => 768,
        }
    }
}

impl VitInput {
    pub(super) fn input(self) -> Input {
        match self {
            VitInput::ImageNet => Input::imagenet(PATCH),
            VitInput::Symmetric => Input {
                mean: [0.5; 3],
                deviation: [0.5; 3],
                ..Input::imagenet(PATCH)
            },
        }
    }
}

/// Whether patches cover images of so many pixels a side.
pub(super) fn fits(image_size: i64) -> bool {
    image_size % PATCH == 0
}

#[derive(Debug)]
pub(super) struct Vit {
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
    pub(super) fn new(plan: &mut Plan, size: VitSize, image_size: i64) -> Vit {
        let (width, side) = (size.features(), image_size / PATCH);
        let class = plan.parameter("cls_token", &[1, 1, width], Initial::Normal(1e-6));
        let positions = plan.parameter(
            "pos_embed",
            &[1, side * side + 1, width],
            Initial::Normal(0.02),
        );
        let patches = Shape::new(3, width, PATCH)
            .stride(PATCH)
            .padding(0)
            .biased();
        Vit {
            patches: Conv::new(plan, "patch_embed.proj", patches),
            class,
            positions,
            blocks: (0..BLOCKS)
                .map(|number| Block::new(plan, &format!("blocks.{number}"), width))
                .collect(),
            norm: LayerNorm::new(plan, "norm", width, EPSILON),
        }
    }
}

impl Block {
    fn new(plan: &mut Plan, name: &str, width: i64) -> Block {
        let norm = |plan: &mut Plan, part: &str| {
            LayerNorm::new(plan, &format!("{name}.{part}"), width, EPSILON)
        };
        let linear = |plan: &mut Plan, part: &str, inputs, outputs| {
            let initial = [Initial::Normal(0.02), Initial::Constant(0.0)];
            Linear::with(plan, &format!("{name}.{part}"), inputs, outputs, initial)
        };
        Block {
            before_attention: norm(plan, "norm1"),
            queries_keys_values: linear(plan, "attn.qkv", width, 3 * width),
            projection: linear(plan, "attn.proj", width, width),
            before_layers: norm(plan, "norm2"),
            layers: [
                linear(plan, "mlp.fc1", width, 4 * width),
                linear(plan, "mlp.fc2", 4 * width, width),
            ],
            heads: width / HEAD_WIDTH,
        }
    }

    fn forward(&self, pass: &Pass, tokens: &Tensor) -> Tensor {
        let tokens = tokens + self.attention(pass, &self.before_attention.forward(pass, tokens));
        let [first, second] = &self.layers;
        let hidden = first
            .forward(pass, &self.before_layers.forward(pass, &tokens))
            .gelu("none");
        tokens + second.forward(pass, &hidden)
    }

    fn attention(&self, pass: &Pass, tokens: &Tensor) -> Tensor {
        let (n, count, width) = tokens.size3().expect("tokens have three dimensions");
        let parts = self.queries_keys_values.forward(pass, tokens);
        let parts = parts
            .view([n, count, 3, self.heads, HEAD_WIDTH])
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
        self.projection
            .forward(pass, &attended.transpose(1, 2).reshape([n, count, width]))
    }
}

impl Trunk for Vit {
    fn forward(&self, pass: &Pass, images: &Tensor) -> Tensor {
        let patches = self
            .patches
            .forward(pass, images)
            .flatten(2, 3)
            .transpose(1, 2);
        let (n, _, width) = patches.size3().expect("patches have three dimensions");
        let class = pass.parameter(self.class).expand([n, 1, width], false);
        let tokens = Tensor::cat(&[class, patches], 1) + pass.parameter(self.positions);
        let tokens = self
            .blocks
            .iter()
            .fold(tokens, |tokens, block| block.forward(pass, &tokens));
        self.norm.forward(pass, &tokens.select(1, 0))
    }
}

/// Returns position embeddings `[1, 1 + side^2, d]` resampled to `count` places; themselves if that is what they have
/// or if either is no square.
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
