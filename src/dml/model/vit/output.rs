//! The features of a vision transformer, made of its last tokens.

use schema::VitFeatures;
use tch::{Kind, Tensor};

use super::{
    Features, HEAD_WIDTH, VitShape,
    block::{Layers, attended, mean},
};
use crate::{
    model::layers::{self, ForwardContext, LayerNorm, Linear, ParamBuilder, Parameter},
    parameters::Init,
};

/// What the features are made of.
#[derive(Debug)]
pub(super) enum Output {
    /// The class token, which is the first one.
    Class,
    /// The mean of the patches, which follow this number of other tokens.
    Mean(i64),
    /// Both, one after the other.
    ClassAndMean(i64),
    Attention(Box<AttentionPool>),
}

impl Output {
    pub(super) fn new(builder: &mut ParamBuilder, shape: &VitShape) -> Output {
        let first = 1 + shape.registers;
        match shape.features {
            Features::Tokens(VitFeatures::Class) => Output::Class,
            Features::Tokens(VitFeatures::Mean) => Output::Mean(first),
            Features::Tokens(VitFeatures::ClassAndMean) => Output::ClassAndMean(first),
            Features::Attention => Output::Attention(Box::new(AttentionPool::new(builder, shape))),
        }
    }

    /// Returns the features of tokens `[n, t, d]`, to which the norm has not been applied.
    pub(super) fn features(
        &self,
        context: &ForwardContext,
        tokens: &Tensor,
        norm: &LayerNorm,
    ) -> Tensor {
        let class = || norm.forward(context, &tokens.select(1, 0));
        let patches = |first: i64| {
            let count = tokens.size()[1] - first;
            mean(&norm.forward(context, &tokens.narrow(1, first, count)))
        };
        match self {
            Output::Class => class(),
            Output::Mean(first) => patches(*first),
            Output::ClassAndMean(first) => {
                Tensor::cat(&[class().to_kind(Kind::Float), patches(*first)], 1)
            }
            Output::Attention(pool) => pool.forward(context, &norm.forward(context, tokens)),
        }
    }
}

/// What a learned query finds in the tokens, and two layers.
#[derive(Debug)]
pub(super) struct AttentionPool {
    query: Parameter,
    queries: Linear,
    keys_values: Linear,
    projection: Linear,
    norm: LayerNorm,
    layers: Layers,
    heads: i64,
}

impl AttentionPool {
    fn new(builder: &mut ParamBuilder, shape: &VitShape) -> AttentionPool {
        builder.begin_head();
        let width = shape.block.width;
        let initial = Init::Normal(1.0 / (width as f64).sqrt());
        AttentionPool {
            query: builder.parameter("attn_pool.latent", &[1, 1, width], initial),
            queries: Linear::normal(builder, "attn_pool.q", width, width),
            keys_values: Linear::normal(builder, "attn_pool.kv", width, 2 * width),
            projection: Linear::normal(builder, "attn_pool.proj", width, width),
            norm: LayerNorm::new(builder, "attn_pool.norm", width, shape.block.epsilon),
            layers: Layers::new(builder, "attn_pool.mlp", width, shape.block.activation),
            heads: width / HEAD_WIDTH,
        }
    }

    fn forward(&self, context: &ForwardContext, tokens: &Tensor) -> Tensor {
        let (_, count, width) = tokens.size3().expect("tokens have three dimensions");
        let parts = self.keys_values.forward(context, tokens);
        let parts = parts
            .view([-1, count, 2, self.heads, HEAD_WIDTH])
            .permute([2, 0, 3, 1, 4]);
        let [keys, values] = layers::parts(&parts);
        let query = self
            .queries
            .forward(context, &context.parameter(self.query));
        // A trace must not fix the number of images, so the query is expanded like a tensor that has it.
        let query = query
            .view([1, self.heads, 1, HEAD_WIDTH])
            .expand_as(&keys.narrow(2, 0, 1));
        let found = attended(context, &query, &keys, &values).reshape([-1, width]);
        let found = self.projection.forward(context, &found);
        let added = self
            .layers
            .forward(context, &self.norm.forward(context, &found));
        found + added
    }
}
