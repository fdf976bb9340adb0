//! Vision transformers (Dosovitskiy et al., ICLR 2021), with the names of timm.
//!
//! | | patch | positions | norm before the blocks | biases absent from | activation | layer scale | registers | features |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | ViT, DINO, DeiT | 16 | learned | | | GELU | | | class token |
//! | DINOv2 (Oquab et al., TMLR 2024) | 14 | learned | | | GELU; g: SwiGLU | yes | none, or 4 | class token |
//! | DINOv3 (Siméoni et al., 2025) | 16 | rotary | | queries, keys, values | GELU | yes | 4 | class token |
//! | CLIP (Radford et al., ICML 2021) | 14, 16, 32 | learned | yes | patches | quick GELU, or GELU | | | class token |
//! | SigLIP (Zhai et al., ICCV 2023) | 16 | learned | | | GELU, tanh form | | | attention |
//!
//! A layer scale multiplies what a block adds, channel by channel. Registers (Darcet et al., ICLR 2024) are tokens that take
//! part in attention and are then dropped. With them, neither they nor the class token have a position embedding. The
//! features of SigLIP, which has no class token, are what a learned query finds in the patches; those of CLIP are the class
//! token before its projection to the space of texts. In the place of the class token, the features can be the mean of the
//! patches, or both.
//!
//! Position embeddings for another image size are resampled as timm does: bicubic, antialiased, the class token's
//! unchanged. Rotary ones are computed from the places of patches, which are from -1 to 1 in every image.

mod block;
mod names;
mod output;
mod positions;

use schema::{
    ClipActivation, ClipB16, ClipB32, ClipL14, Dinov2B14, Dinov2G14, Dinov2L14, Dinov2S14,
    Dinov3B16, Dinov3S16, Registers, SiglipB16, VitB16, VitFeatures, VitS16,
};
use tch::Tensor;

#[cfg(test)]
pub(super) use self::positions::resampled;
use self::{
    block::{Activation, Block, BlockShape},
    output::Output,
    positions::{Rotation, Turned},
};
use super::{
    layers::{Conv, ForwardContext, LayerNorm, ParamBuilder, Parameter, Shape},
    residual::{Recomputable, StageBlocks},
    trunk::{BuildTrunk, Trunk, TrunkInput},
    weights::naming::Naming,
};
use crate::parameters::Init;

/// The width of an attention head.
const HEAD_WIDTH: i64 = 64;

/// The name of the position embeddings.
const POSITIONS: &str = "pos_embed";

/// How one transformer differs from others.
#[derive(Clone, Copy, Debug)]
struct VitShape {
    /// Pixels of a patch's side.
    patch: i64,
    blocks: usize,
    positions: Positions,
    registers: i64,
    has_patch_bias: bool,
    /// True if there is a layer norm before the first block.
    begins_with_norm: bool,
    block: BlockShape,
    features: Features,
}

/// The position embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Positions {
    /// Learned, added to the tokens.
    Learned,
    /// Rotations of queries and keys.
    Rotary,
}

/// What the features are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Features {
    /// The class token and the patches.
    Tokens(VitFeatures),
    /// What a learned query finds in the patches. There is no class token.
    Attention,
}

impl VitShape {
    fn plain(width: i64, features: VitFeatures) -> VitShape {
        VitShape {
            patch: 16,
            blocks: 12,
            positions: Positions::Learned,
            registers: 0,
            has_patch_bias: true,
            begins_with_norm: false,
            block: BlockShape {
                width,
                epsilon: 1e-6,
                has_bias: true,
                activation: Activation::Gelu,
                scales: None,
            },
            features: Features::Tokens(features),
        }
    }

    fn dinov2(width: i64, blocks: usize, registers: Registers, features: VitFeatures) -> VitShape {
        let plain = VitShape::plain(width, features);
        VitShape {
            patch: 14,
            blocks,
            registers: registers.count(),
            block: BlockShape {
                scales: Some(["ls1.gamma", "ls2.gamma"]),
                ..plain.block
            },
            ..plain
        }
    }

    fn dinov2_giant(registers: Registers, features: VitFeatures) -> VitShape {
        let dinov2 = VitShape::dinov2(1536, 40, registers, features);
        VitShape {
            block: BlockShape {
                activation: Activation::SwiGlu,
                ..dinov2.block
            },
            ..dinov2
        }
    }

    fn dinov3(width: i64, features: VitFeatures) -> VitShape {
        let plain = VitShape::plain(width, features);
        VitShape {
            positions: Positions::Rotary,
            registers: 4,
            block: BlockShape {
                epsilon: 1e-5,
                has_bias: false,
                scales: Some(["gamma_1", "gamma_2"]),
                ..plain.block
            },
            ..plain
        }
    }

    fn clip(
        patch: i64,
        width: i64,
        blocks: usize,
        activation: ClipActivation,
        features: VitFeatures,
    ) -> VitShape {
        let plain = VitShape::plain(width, features);
        VitShape {
            patch,
            blocks,
            has_patch_bias: false,
            begins_with_norm: true,
            block: BlockShape {
                epsilon: 1e-5,
                activation: match activation {
                    ClipActivation::QuickGelu => Activation::QuickGelu,
                    ClipActivation::Gelu => Activation::Gelu,
                },
                ..plain.block
            },
            ..plain
        }
    }

    fn siglip(width: i64) -> VitShape {
        let plain = VitShape::plain(width, VitFeatures::Class);
        VitShape {
            features: Features::Attention,
            block: BlockShape {
                activation: Activation::TanhGelu,
                ..plain.block
            },
            ..plain
        }
    }

    fn has_class_token(&self) -> bool {
        match self.features {
            Features::Tokens(_) => true,
            Features::Attention => false,
        }
    }

    /// Returns the number of learned positions of this many patches.
    fn learned_positions(&self, patches: i64) -> Option<i64> {
        let has_class = self.has_class_token() && self.registers == 0;
        (self.positions == Positions::Learned).then_some(patches + i64::from(has_class))
    }
}

#[derive(Debug)]
struct Vit {
    patches: Conv,
    class: Option<Parameter>,
    /// Absent: the class token, if there is one, has a position embedding.
    registers: Option<Parameter>,
    positions: Option<Parameter>,
    rotation: Option<Rotation>,
    first_norm: Option<LayerNorm>,
    blocks: Vec<Recomputable<Block>>,
    norm: LayerNorm,
    output: Output,
}

impl Vit {
    /// Returns a transformer of this shape for images of this side.
    fn new(builder: &mut ParamBuilder, shape: VitShape, image_size: i64) -> Vit {
        let BlockShape { width, epsilon, .. } = shape.block;
        let token = |builder: &mut ParamBuilder, name: &str, count: i64| {
            builder.token(name, &[1, count, width], Init::Normal(1e-6))
        };
        let class = shape
            .has_class_token()
            .then(|| token(builder, "cls_token", 1));
        let registers = (shape.registers > 0).then(|| token(builder, "reg_token", shape.registers));
        let side = image_size / shape.patch;
        let positions = shape
            .learned_positions(side * side)
            .map(|count| builder.token(POSITIONS, &[1, count, width], Init::Normal(0.02)));
        let patches = Shape::new(3, width, shape.patch)
            .stride(shape.patch)
            .padding(0);
        let patches = match shape.has_patch_bias {
            true => patches.biased(),
            false => patches,
        };
        let patches = Conv::new(builder, "patch_embed.proj", patches);
        let first_norm = shape
            .begins_with_norm
            .then(|| LayerNorm::new(builder, "norm_pre", width, epsilon));
        builder.begin_layer();
        let [blocks] = StageBlocks::of_stages([shape.blocks]);
        Vit {
            patches,
            class,
            registers,
            positions,
            rotation: (shape.positions == Positions::Rotary).then_some(Rotation { side }),
            first_norm,
            blocks: blocks.build(builder, "blocks", |builder, name, branches| {
                Block::new(builder, name, shape.block, branches)
            }),
            norm: LayerNorm::new(builder, "norm", width, epsilon),
            output: Output::new(builder, &shape),
        }
    }

    /// Returns all tokens of images, the class token and registers first.
    fn tokens(&self, context: &ForwardContext, patches: &Tensor) -> Tensor {
        // A trace must not fix the number of images, so they are expanded like a tensor that has it.
        let of_each = |token: Parameter| {
            let token = context.parameter(token);
            let like = patches
                .narrow(1, 0, 1)
                .expand([-1, token.size()[1], -1], false);
            token.expand_as(&like)
        };
        let with_positions = |tokens: Tensor| match self.positions {
            Some(positions) => tokens + context.parameter(positions),
            None => tokens,
        };
        let joined = |tokens: &[Option<Tensor>]| {
            let tokens: Vec<&Tensor> = tokens.iter().flatten().collect();
            Tensor::cat(&tokens, 1)
        };
        let patches = patches.shallow_clone();
        let class = self.class.map(of_each);
        match self.registers.map(of_each) {
            None => with_positions(joined(&[class, Some(patches)])),
            registers => joined(&[class, registers, Some(with_positions(patches))]),
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
        let tokens = match &self.first_norm {
            Some(norm) => norm.forward(context, &tokens),
            None => tokens,
        };
        let turned = self
            .rotation
            .map(|rotation| rotation.at_patches(tokens.device()));
        let tokens = self.blocks.iter().fold(tokens, |tokens, block| {
            let turned = turned.as_ref().map(Turned::share);
            block.forward(context, &tokens, move |block, context, tokens| {
                block.forward(context, tokens, turned.as_ref())
            })
        });
        self.output.features(context, &tokens, &self.norm)
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
                match (name, shape) {
                    (POSITIONS, &[_, count, _]) => positions::resampled(tensor, count),
                    _ => tensor.shallow_clone(),
                }
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
    VitS16: |vit| VitShape::plain(384, vit.features), names::PLAIN;
    VitB16: |vit| VitShape::plain(768, vit.features), names::PLAIN;
    Dinov2S14: |vit| VitShape::dinov2(384, 12, vit.registers, vit.features), names::DINOV2;
    Dinov2B14: |vit| VitShape::dinov2(768, 12, vit.registers, vit.features), names::DINOV2;
    Dinov2L14: |vit| VitShape::dinov2(1024, 24, vit.registers, vit.features), names::DINOV2;
    Dinov2G14: |vit| VitShape::dinov2_giant(vit.registers, vit.features), names::DINOV2_GIANT;
    Dinov3S16: |vit| VitShape::dinov3(384, vit.features), names::DINOV3;
    Dinov3B16: |vit| VitShape::dinov3(768, vit.features), names::DINOV3;
    ClipB32: |vit| VitShape::clip(32, 768, 12, vit.activation, vit.features), names::CLIP;
    ClipB16: |vit| VitShape::clip(16, 768, 12, vit.activation, vit.features), names::CLIP;
    ClipL14: |vit| VitShape::clip(14, 1024, 24, vit.activation, vit.features), names::CLIP;
    SiglipB16: |_| VitShape::siglip(768), names::SIGLIP;
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::{
        model::{
            golden::{filled, pattern, shortened},
            layers::Adapters,
        },
        testing::{assert_close, golden, tensor},
    };

    /// The giant itself has more than a billion parameters.
    #[test]
    fn a_small_giant_has_the_features_of_timm() {
        let golden = golden(include_str!("../testdata/dinov2_giant.json"));
        let case = &golden["cases"][0];
        let giant = VitShape::dinov2_giant(Registers::None, VitFeatures::Class);
        let small = VitShape {
            blocks: 2,
            block: BlockShape {
                width: 128,
                ..giant.block
            },
            ..giant
        };
        let size = case["size"].as_i64().unwrap();
        let mut builder = ParamBuilder::default();
        let vit = Vit::new(&mut builder, small, size);
        let mut names: Vec<&str> = builder.parameters.iter().map(|slot| slot.name()).collect();
        names.sort_unstable();
        let place = |name: &str| names.iter().position(|of| *of == name).unwrap() as i64;
        let slots = builder.parameters.iter();
        let parameters: Vec<Tensor> = slots
            .map(|slot| filled(slot.name(), slot.shape(), place(slot.name())))
            .collect();
        let context = ForwardContext {
            parameters: &parameters,
            statistics: &[],
            frozen: &[],
            batch_statistics: false,
            folds_norms: false,
            mixes_precisions: false,
            keeps_attention: false,
            dtype: Kind::Float,
            adapters: Adapters::Ignored,
            stochastic_depth: None,
            lasting: None,
        };
        let images = pattern(4 * 3 * size * size, 1).view([4, 3, size, size]);
        let features = vit.forward(&context, &images.to_kind(Kind::Float));
        assert_close(
            &shortened(&features),
            &tensor(&case["features"]),
            1e-4,
            "giant",
        );
    }
}
