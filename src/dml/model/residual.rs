//! What the residual blocks of trunks have in common: images skip them by chance, and inner values are computed again.
//!
//! With stochastic depth (Huang et al., ECCV 2016), an image skips a branch of a block with a probability that grows linearly
//! from 0 at the first block to that of the last one, and what the branch adds to the other images is divided by the
//! probability not to skip it. Reference: timm's `DropPath` and `calculate_drop_path_rates`. Draws are a function of the seed,
//! the batch, the branch and the place of the image in the batch. So a block that is computed again, and both passes of a
//! gradient in chunks, have the same.
//!
//! With checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016), only the input of a block is kept,
//! and the rest is computed again for its gradient. The gradient has the same bits.

use std::{ops::Range, sync::Arc};

use tch::{Device, Kind, Tensor};

use super::layers::{Adapters, ForwardContext, ParamBuilder};
use crate::{
    libtorch,
    random::{Draws, Purpose},
    upload::Parcel,
};

/// Which images skip which branches during one forward pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct StochasticDepth {
    /// The probability to skip a branch of the last block.
    pub(super) rate: f64,
    pub(super) seed: u64,
    /// Number of the training batch.
    pub(super) batch: u64,
    /// The place of the first image in the batch.
    pub(super) first: i64,
}

impl StochasticDepth {
    /// Returns the factors `[n]` of what a branch adds to each image.
    fn factors(&self, branch: &Branch, images: i64, device: Device) -> Tensor {
        let rate = self.rate * branch.depth;
        let mut draws = Draws::new(self.seed, Purpose::Depth, self.batch, branch.number);
        let draws = (0..self.first + images).map(|_| draws.uniform());
        let factor = |draw: f64| match draw < rate {
            true => 0.0,
            false => (1.0 / (1.0 - rate)) as f32,
        };
        let factors: Vec<f32> = draws.skip(self.first as usize).map(factor).collect();
        let [factors] = Parcel::packed([Tensor::from_slice(&factors)], device).sent();
        factors
    }
}

/// A branch of a residual block: what it gives is added to what came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// Among all branches of the trunk.
    number: u64,
    /// From 0 for the first block to 1 for the last.
    depth: f64,
}

impl Branch {
    /// Returns the branches of block `block` of `blocks`, which all have `N`.
    pub(super) fn of_block<const N: usize>(block: usize, blocks: usize) -> [Branch; N] {
        let depth = block as f64 / (blocks - 1).max(1) as f64;
        let first = (block * N) as u64;
        std::array::from_fn(|place| Branch {
            number: first + place as u64,
            depth,
        })
    }

    /// Returns what the branch adds, given what it has computed for images `[n, ..]`.
    pub(super) fn added(&self, context: &ForwardContext, computed: Tensor) -> Tensor {
        let Some(stochastic) = context.stochastic_depth.filter(|_| self.depth > 0.0) else {
            return computed;
        };
        let mut shape = vec![1; computed.dim()];
        shape[0] = computed.size()[0];
        let factors = stochastic.factors(self, shape[0], computed.device());
        computed * factors.to_kind(context.dtype).view(&*shape)
    }
}

/// A block whose inner values can be computed again.
#[derive(Debug)]
pub(super) struct Recomputable<B> {
    block: Arc<B>,
    /// The indices of its parameters.
    parameters: Range<usize>,
}

impl<B: 'static> Recomputable<B> {
    /// Returns the block that `make` builds.
    pub(super) fn new(
        builder: &mut ParamBuilder,
        make: impl FnOnce(&mut ParamBuilder) -> B,
    ) -> Recomputable<B> {
        let first = builder.parameters.len();
        let block = Arc::new(make(builder));
        Recomputable {
            block,
            parameters: first..builder.parameters.len(),
        }
    }

    /// Returns what `forward` makes of an input with the block.
    pub(super) fn forward(
        &self,
        context: &ForwardContext,
        input: &Tensor,
        forward: impl Fn(&B, &ForwardContext, &Tensor) -> Tensor + 'static,
    ) -> Tensor {
        let Some(lasting) = context.lasting else {
            return forward(&self.block, context, input);
        };
        let (block, lasting) = (Arc::clone(&self.block), Arc::clone(lasting));
        let parameters = &context.parameters[self.parameters.clone()];
        libtorch::recomputed(input, parameters, move |input| {
            forward(&block, &lasting.context(), input)
        })
    }
}

/// A context that lasts until the gradient is computed.
#[derive(Debug)]
pub(super) struct LastingContext {
    parameters: Vec<Tensor>,
    statistics: Vec<Tensor>,
    frozen: Vec<bool>,
    batch_statistics: bool,
    folds_norms: bool,
    dtype: Kind,
    adapters: Adapters,
    stochastic_depth: Option<StochasticDepth>,
}

impl LastingContext {
    /// Returns a context with the same tensors.
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "the thread that computes gradients on a GPU may drop it"
    )]
    pub(super) fn of(context: &ForwardContext) -> Arc<LastingContext> {
        let shared = |tensors: &[Tensor]| tensors.iter().map(Tensor::shallow_clone).collect();
        Arc::new(LastingContext {
            parameters: shared(context.parameters),
            statistics: shared(context.statistics),
            frozen: context.frozen.to_vec(),
            batch_statistics: context.batch_statistics,
            folds_norms: context.folds_norms,
            dtype: context.dtype,
            adapters: context.adapters,
            stochastic_depth: context.stochastic_depth,
        })
    }

    fn context(&self) -> ForwardContext<'_> {
        ForwardContext {
            parameters: &self.parameters,
            statistics: &self.statistics,
            frozen: &self.frozen,
            batch_statistics: self.batch_statistics,
            folds_norms: self.folds_norms,
            dtype: self.dtype,
            adapters: self.adapters,
            stochastic_depth: self.stochastic_depth,
            lasting: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::{Backbone, ConvnextT, Dinov3S16, SwinT, VitS16};
    use serde_json::Value;

    use super::*;
    use crate::{
        gradient_cache::Embedded,
        libtorch::most_bytes,
        model::{Network, NetworkConfig},
        objective::{ConfiguredLoss, Objective},
        testing::{assert_close, golden, noise},
    };

    fn backbones() -> [(Backbone, i64); 4] {
        [
            (Backbone::VitS16(VitS16::default()), 32),
            (Backbone::Dinov3S16(Dinov3S16::default()), 32),
            (Backbone::ConvnextT(ConvnextT::default()), 32),
            (Backbone::SwinT(SwinT::default()), 56),
        ]
    }

    fn config(backbone: Backbone, side: i64) -> NetworkConfig {
        NetworkConfig::new(backbone, 3, side, Some(4))
    }

    fn network(config: &NetworkConfig) -> Network {
        Network::new(config.clone(), 1, Device::Cpu).unwrap()
    }

    fn images(count: i64, side: i64) -> Tensor {
        ((noise(1, count, 3 * side * side) + 1.0) * 127.5)
            .to_kind(Kind::Uint8)
            .view([count, 3, side, side])
    }

    fn triplets() -> Objective {
        let settings = schema::Triplet {
            margin: 1.0,
            ..Default::default()
        };
        Objective::of(ConfiguredLoss::of(Box::new(settings)))
    }

    /// The loss of a batch and its gradient with respect to the network.
    fn pass(network: &Network, images: &Tensor, chunk: Option<i64>) -> (Tensor, Tensor) {
        let labels: Vec<i64> = (0..images.size()[0]).map(|image| image / 2).collect();
        let mut objective = triplets();
        let embedded = Embedded::new(network, images, chunk);
        let labels = Tensor::from_slice(&labels);
        let loss = objective.step(embedded.embeddings(), &labels, 0).value;
        let (gradient, _) = embedded.gradients(network, &objective, &loss);
        (loss.detach(), gradient)
    }

    #[test]
    fn the_rates_of_blocks_are_those_of_timm() {
        let golden = golden(include_str!("testdata/drop_path.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let expected: Vec<f64> = serde_json::from_value(case["rates"].clone()).unwrap();
            for (block, expected) in expected.iter().enumerate() {
                let [branch, other] = Branch::of_block(block, case_blocks(case));
                assert!((case["rate"].as_f64().unwrap() * branch.depth - expected).abs() < 1e-7);
                assert!(branch.depth == other.depth && branch.number + 1 == other.number);
            }
        }
    }

    fn case_blocks(case: &Value) -> usize {
        case["rates"].as_array().unwrap().len()
    }

    #[test]
    fn an_image_skips_a_branch_as_often_as_it_should_and_the_mean_stays() {
        let [branch] = Branch::of_block(2, 3);
        let stochastic = |batch, first| StochasticDepth {
            rate: 0.3,
            seed: 7,
            batch,
            first,
        };
        let factors = stochastic(0, 0).factors(&branch, 20_000, Device::Cpu);
        let skipped = factors.eq(0.0).to_kind(Kind::Double).mean(None::<Kind>);
        assert!((skipped.double_value(&[]) - 0.3).abs() < 0.01);
        let mean = factors.to_kind(Kind::Double).mean(None::<Kind>);
        assert!((mean.double_value(&[]) - 1.0).abs() < 0.02);
        assert!(stochastic(1, 0).factors(&branch, 20_000, Device::Cpu) != factors);
        let part = stochastic(0, 500).factors(&branch, 100, Device::Cpu);
        assert!(part == factors.narrow(0, 500, 100));
    }

    #[test]
    fn skipping_changes_training_with_the_batch_and_never_evaluation() {
        for (backbone, side) in backbones() {
            let name = backbone.key();
            let plain = network(&config(backbone.clone(), side));
            let mut skipping = config(backbone, side);
            skipping.model.drop_path = 0.5;
            let mut network = network(&skipping);
            let images = images(6, side);
            let mut embedded = |batch| {
                network.begin_batch(batch);
                network.forward(&images, true)
            };
            let [first, second, again] = [3, 4, 3].map(&mut embedded);
            assert!(first == again && first != second, "{name}");
            assert!(first != plain.forward(&images, true), "{name}");
            let evaluated = network.forward(&images, false);
            assert!(evaluated == plain.forward(&images, false), "{name}");
        }
    }

    #[test]
    fn chunks_skip_what_the_whole_batch_skips() {
        let mut config = config(Backbone::VitS16(VitS16::default()), 32);
        config.model.drop_path = 0.5;
        let network = network(&config);
        let images = images(6, 32);
        let (loss, gradient) = pass(&network, &images, None);
        let (chunked_loss, chunked) = pass(&network, &images, Some(4));
        assert_close(&chunked_loss, &loss, 1e-5, "loss");
        assert_close(&chunked, &gradient, 1e-4, "gradient");
    }

    #[test]
    fn computing_blocks_again_gives_the_same_bits_in_a_fraction_of_the_memory() {
        for (backbone, side) in backbones() {
            let name = backbone.key();
            let mut config = config(backbone, side);
            config.model.drop_path = 0.2;
            let images = images(8, side);
            let whole = network(&config);
            config.model.checkpointing = true;
            let saving = network(&config);
            for chunk in [None, Some(3)] {
                assert!(
                    pass(&whole, &images, chunk) == pass(&saving, &images, chunk),
                    "{name}"
                );
            }
            let [kept, saved] =
                [&whole, &saving].map(|network| most_bytes(|| network.forward(&images, true)).1);
            assert!(saved < kept / 2, "{name}: {saved} of {kept} bytes");
        }
    }

    #[test]
    fn adapters_are_computed_again_too() {
        let mut config = config(Backbone::VitS16(VitS16::default()), 32);
        config.model.lora = Some(schema::Lora::default());
        let images = images(4, 32);
        let whole = pass(&network(&config), &images, None);
        config.model.checkpointing = true;
        assert!(pass(&network(&config), &images, None) == whole);
    }

    #[test]
    fn frozen_layers_and_half_precision_are_computed_again_too() {
        let mut config = config(Backbone::VitS16(VitS16::default()), 32);
        config.model.freeze = vec![
            "patch_embed".into(),
            "blocks.0".into(),
            "blocks.5.attn".into(),
        ];
        config.model.precision = schema::Precision::Bf16;
        let images = images(4, 32);
        let whole = pass(&network(&config), &images, None);
        config.model.checkpointing = true;
        assert!(pass(&network(&config), &images, None) == whole);
    }
}
