//! Residual blocks of trunks: in stages, and computed again for their gradient.
//!
//! With checkpointing (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016), only the input of a block is kept,
//! and the rest is computed again for its gradient. The gradient has the same bits.

use std::{ops::Range, sync::Arc};

use tch::Tensor;

use super::{
    depth::Branch,
    layers::{ForwardContext, ParamBuilder},
};
use crate::libtorch;

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

/// The blocks of one stage.
#[derive(Clone, Debug)]
pub(super) struct StageBlocks {
    /// Their numbers among the blocks of all stages.
    numbers: Range<usize>,
    /// The number of blocks of all stages.
    all: usize,
}

impl StageBlocks {
    /// Returns those of stages with these numbers of blocks.
    pub(super) fn of_stages<const S: usize>(counts: [usize; S]) -> [StageBlocks; S] {
        let all = counts.iter().sum();
        let mut next = 0;
        counts.map(|count| {
            let numbers = next..next + count;
            next = numbers.end;
            StageBlocks { numbers, all }
        })
    }

    /// Returns the blocks that `make` builds, given the builder, the name of a block, `NAME.0` for the first, and its
    /// branches. Each begins a layer, which the first shares with what the stage has before it.
    pub(super) fn build<B: 'static, const N: usize>(
        self,
        builder: &mut ParamBuilder,
        name: &str,
        make: impl Fn(&mut ParamBuilder, &str, [Branch; N]) -> B,
    ) -> Vec<Recomputable<B>> {
        let block = |(place, number): (usize, usize)| {
            if place > 0 {
                builder.begin_layer();
            }
            let branches = Branch::of_block(number, self.all);
            let name = format!("{name}.{place}");
            Recomputable::new(builder, |builder| make(builder, &name, branches))
        };
        self.numbers.enumerate().map(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use schema::{Backbone, ConvnextT, Dinov3S16, SwinT, VitS16};
    use tch::{Device, Kind};

    use super::*;
    use crate::{
        gradient_cache::Embedded,
        libtorch::most_bytes,
        model::{Network, NetworkConfig},
        objective::{ConfiguredLoss, Objective},
        testing::{assert_close, noise},
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
            config.model.heads = [1, 3].map(schema::EmbeddingHead::of_width).to_vec();
            config.model.heads[1].dropout = 0.4;
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
        for (backbone, side) in backbones() {
            let name = backbone.key();
            let mut config = config(backbone, side);
            config.model.lora = Some(schema::Lora::default());
            let images = images(4, side);
            let whole = pass(&network(&config), &images, None);
            config.model.checkpointing = true;
            assert!(pass(&network(&config), &images, None) == whole, "{name}");
        }
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
