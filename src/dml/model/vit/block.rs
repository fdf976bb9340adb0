//! The blocks of a vision transformer: attention, then two layers for each token by itself.

use tch::{Kind, Tensor};

use super::{HEAD_WIDTH, positions::Turned};
use crate::{
    model::{
        depth::Branch,
        layers::{self, ForwardContext, LayerNorm, Linear, ParamBuilder, Parameter},
    },
    parameters::Init,
};

/// What a layer scale begins with.
const SCALE: f32 = 1e-5;

/// How the blocks of one transformer differ from those of others.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockShape {
    /// The width of a token.
    pub(super) width: i64,
    /// Of the layer norms.
    pub(super) epsilon: f64,
    /// True if queries, keys and values have biases.
    pub(super) has_bias: bool,
    pub(super) activation: Activation,
    /// The names of the layer scales of the attention and of the layers.
    pub(super) scales: Option<[&'static str; 2]>,
}

/// What is between the two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Gelu,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// GELU in the form with tanh.
    TanhGelu,
    /// The first layer gives `[a, b]`, and the second one gets `a sigmoid(a) b` (Shazeer, 2020).
    SwiGlu,
}

impl Activation {
    /// Returns the width of what the second layer gets, for tokens of this width.
    fn hidden(self, width: i64) -> i64 {
        match self {
            Activation::Gelu | Activation::QuickGelu | Activation::TanhGelu => 4 * width,
            // As many numbers in three matrices as in two, rounded up to a multiple of eight.
            Activation::SwiGlu => (4 * width * 2 / 3 + 7) / 8 * 8,
        }
    }

    fn of(self, hidden: &Tensor) -> Tensor {
        match self {
            Activation::Gelu => hidden.gelu("none"),
            Activation::QuickGelu => hidden * (hidden * 1.702).sigmoid(),
            Activation::TanhGelu => hidden.gelu("tanh"),
            Activation::SwiGlu => {
                let halves = hidden.chunk(2, -1);
                halves[0].silu() * &halves[1]
            }
        }
    }
}

/// Two layers with an activation between them: `NAME.fc1` and `NAME.fc2`.
#[derive(Debug)]
pub(super) struct Layers {
    first: Linear,
    second: Linear,
    activation: Activation,
}

impl Layers {
    pub(super) fn new(
        builder: &mut ParamBuilder,
        name: &str,
        width: i64,
        activation: Activation,
    ) -> Layers {
        let hidden = activation.hidden(width);
        let outputs = match activation {
            Activation::SwiGlu => 2 * hidden,
            Activation::Gelu | Activation::QuickGelu | Activation::TanhGelu => hidden,
        };
        Layers {
            first: Linear::normal(builder, &format!("{name}.fc1"), width, outputs),
            second: Linear::normal(builder, &format!("{name}.fc2"), hidden, width),
            activation,
        }
    }

    /// Returns the layers with adapters, if the network has any.
    fn adapted(self, builder: &mut ParamBuilder, name: &str) -> Layers {
        Layers {
            first: self.first.adapted(builder, &format!("{name}.fc1")),
            second: self.second.adapted(builder, &format!("{name}.fc2")),
            ..self
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, tokens: &Tensor) -> Tensor {
        let hidden = self.activation.of(&self.first.forward(context, tokens));
        self.second.forward(context, &hidden)
    }
}

#[derive(Debug)]
pub(super) struct Block {
    before_attention: LayerNorm,
    queries_keys_values: Linear,
    projection: Linear,
    before_layers: LayerNorm,
    layers: Layers,
    /// Of the attention and of the layers.
    scales: Option<[Parameter; 2]>,
    /// The same.
    branches: [Branch; 2],
    heads: i64,
}

impl Block {
    pub(super) fn new(
        builder: &mut ParamBuilder,
        name: &str,
        shape: BlockShape,
        branches: [Branch; 2],
    ) -> Block {
        let width = shape.width;
        let norm = |builder: &mut ParamBuilder, part: &str| {
            LayerNorm::new(builder, &format!("{name}.{part}"), width, shape.epsilon)
        };
        let before_attention = norm(builder, "norm1");
        let [qkv, proj, mlp] =
            ["attn.qkv", "attn.proj", "mlp"].map(|part| format!("{name}.{part}"));
        let queries_keys_values = match shape.has_bias {
            true => Linear::normal(builder, &qkv, width, 3 * width),
            false => Linear::unbiased(builder, &qkv, width, 3 * width, Init::Normal(0.02)),
        };
        let layers = |builder: &mut ParamBuilder| {
            Layers::new(builder, &mlp, width, shape.activation).adapted(builder, &mlp)
        };
        Block {
            before_attention,
            queries_keys_values: queries_keys_values.adapted(builder, &qkv),
            projection: Linear::of_block(builder, &proj, width, width),
            before_layers: norm(builder, "norm2"),
            layers: layers(builder),
            scales: shape.scales.map(|parts| {
                parts.map(|part| {
                    builder.parameter(format!("{name}.{part}"), &[width], Init::Constant(SCALE))
                })
            }),
            branches,
            heads: width / HEAD_WIDTH,
        }
    }

    pub(super) fn forward(
        &self,
        context: &ForwardContext,
        tokens: &Tensor,
        turned: Option<&Turned>,
    ) -> Tensor {
        let normed = self.before_attention.forward(context, tokens);
        let attended = self.attention(context, &normed, turned);
        let tokens = tokens + self.added(context, attended, 0);
        let normed = self.before_layers.forward(context, &tokens);
        let added = self.layers.forward(context, &normed);
        tokens + self.added(context, added, 1)
    }

    /// Returns what the attention (part 0) or the layers (part 1) add to the tokens.
    fn added(&self, context: &ForwardContext, computed: Tensor, part: usize) -> Tensor {
        let scaled = match self.scales {
            Some(scales) => computed * context.parameter(scales[part]),
            None => computed,
        };
        self.branches[part].added(context.stochastic_depth, scaled)
    }

    fn attention(
        &self,
        context: &ForwardContext,
        tokens: &Tensor,
        turned: Option<&Turned>,
    ) -> Tensor {
        // A trace must not fix the number of images, so it is left open as -1.
        let (_, count, width) = tokens.size3().expect("tokens have three dimensions");
        let parts = self.queries_keys_values.forward(context, tokens);
        let parts = parts
            .view([-1, count, 3, self.heads, HEAD_WIDTH])
            .permute([2, 0, 3, 1, 4]);
        let [queries, keys, values] = layers::parts(&parts);
        let [queries, keys] = match turned {
            Some(turned) => [queries, keys].map(|part| turned.of(&part)),
            None => [queries, keys],
        };
        let attended = attended(context, &queries, &keys, &values);
        self.projection.forward(
            context,
            &attended.transpose(1, 2).reshape([-1, count, width]),
        )
    }
}

/// The most tokens whose attention is kept: with 785, the fused kernel is faster, and the weights take ten times the memory.
const FEW: i64 = 400;

/// Returns what each of the queries `[n, h, q, d]` finds in the keys and values of tokens `[n, h, t, d]`.
pub(super) fn attended(
    context: &ForwardContext,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Tensor {
    let (_, _, tokens, width) = keys.size4().expect("keys have four dimensions");
    if context.keeps_attention && keys.kind() == Kind::BFloat16 && tokens <= FEW {
        let queries = queries * (width as f64).powf(-0.5);
        let scores = queries.matmul(&keys.transpose(-2, -1));
        return scores.softmax(-1, context.dtype).matmul(values);
    }
    let mask = None::<&Tensor>;
    Tensor::scaled_dot_product_attention(queries, keys, values, mask, 0.0, false, None, false)
}

/// Returns the mean of tokens `[n, t, d]` in single precision.
pub(super) fn mean(tokens: &Tensor) -> Tensor {
    tokens.mean_dim([1i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::model::layers::Adapters;

    fn context(keeps_attention: bool) -> ForwardContext<'static> {
        ForwardContext {
            parameters: &[],
            statistics: &[],
            frozen: &[],
            batch_statistics: false,
            folds_norms: false,
            mixes_precisions: false,
            keeps_attention,
            dtype: Kind::BFloat16,
            adapters: Adapters::Apart,
            stochastic_depth: None,
            lasting: None,
        }
    }

    /// Returns what queries find and the gradients of queries, keys and values, in double precision.
    fn found(context: &ForwardContext, parts: &[Tensor], kind: Kind) -> Vec<Tensor> {
        let parts: Vec<Tensor> = parts
            .iter()
            .map(|part| part.to_kind(kind).set_requires_grad(true))
            .collect();
        let found = attended(context, &parts[0], &parts[1], &parts[2]);
        let weights = Tensor::arange(found.numel() as i64, (Kind::Double, Device::Cpu)).cos();
        let value = (&found * weights.view_as(&found).to_kind(kind)).sum(Kind::Float);
        let gradients = Tensor::run_backward(&[value], &parts, false, false);
        let all = [found].into_iter().chain(gradients);
        all.map(|tensor| tensor.detach().to_kind(Kind::Double))
            .collect()
    }

    #[test]
    fn attention_that_is_kept_is_as_exact_as_half_precision_allows() {
        for tokens in [5, 50, FEW, FEW + 1] {
            let parts: Vec<Tensor> = (0..3)
                .map(|part| {
                    let numbers = Tensor::arange(2 * 3 * tokens * 64, (Kind::Double, Device::Cpu));
                    let sines = (numbers * (1.7 + f64::from(part))).sin();
                    // As good as random.
                    (sines * 4e4)
                        .frac()
                        .view([2, 3, tokens, 64])
                        .to_kind(Kind::BFloat16)
                })
                .collect();
            let exact = found(&context(false), &parts, Kind::Double);
            let kept = found(&context(true), &parts, Kind::BFloat16);
            let fused = found(&context(false), &parts, Kind::BFloat16);
            for ((exact, kept), fused) in exact.iter().zip(&kept).zip(&fused) {
                let error = ((kept - exact).norm() / exact.norm()).double_value(&[]);
                assert!(error < 0.02, "{tokens} tokens: {error}");
                assert_eq!(kept == fused, tokens > FEW, "{tokens} tokens");
            }
        }
    }
}
