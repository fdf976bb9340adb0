//! Networks: images in, embeddings out.
//!
//! A [`Backbone`](schema::Backbone) normalizes the bytes of images and turns them into features, a pooling makes one
//! vector of its last map, and an optional head turns features into embeddings, which are normalized to length one
//! unless that is switched off. The settings of all of these are [`schema::Model`]'s.
//!
//! Instead of one head there can be several, at the last map or at earlier ones: each gives a block of the embedding, see
//! [`crate::blocks`].
//!
//! All trainable parameters of a [`Network`] are views of one flat tensor, the trunk's before the head's. Frozen
//! parameters are views of a second one and running statistics of a third. An optimizer step, a checkpoint and a copy
//! of the best weights are therefore each about a few tensors. Initial parameters have the distributions of PyTorch or
//! of the backbone's own code, but come from [`crate::random`] and so are the same on every device; or they come from a
//! file, see [`weights`].

#[cfg(test)]
mod adapters_tests;
mod average;
mod backbone;
mod bn_inception;
mod config;
mod conv4;
mod convnext;
mod depth;
mod dropout;
mod efficientnet_lite0;
mod entry;
mod export;
#[cfg(test)]
mod golden;
mod googlenet;
mod head;
mod heads;
mod input;
mod inverted;
mod layers;
mod mobilenet;
mod pixels;
mod pooling;
mod residual;
mod resnet;
mod scripted;
mod squeezenet;
mod swin;
mod tensors;
mod torchscript;
#[cfg(test)]
mod trained_tests;
mod trunk;
mod vit;
pub mod weights;

use std::ops::Range;

use schema::{BatchNorm, Precision};
use tch::{Device, Kind, Tensor, no_grad};

pub use self::{
    average::WeightAverage,
    config::{ModelError, NetworkConfig},
    heads::Forward,
    input::Normalization,
    torchscript::{TorchScript, TorchScriptError},
};
use self::{
    depth::StochasticDepth,
    dropout::BatchPart,
    entry::Entry,
    head::HeadLayers,
    heads::{Heads, Maps},
    layers::{Adapter, Adapters, ForwardContext, LastingContext, ParamBuilder, channels_last},
    pooling::Pool,
    tensors::{Tensors, trained_length},
    trunk::{BuildTrunk, Taps, Trunk},
};
use crate::{
    blocks::Block,
    distance::normalize,
    links::HeadOutput,
    parameters::{Parameters, Segment},
    processor::has_bf16,
    state::{State, StateError},
};

fn dtype(precision: Precision) -> Kind {
    match precision {
        Precision::F32 => Kind::Float,
        Precision::Bf16 => Kind::BFloat16,
    }
}

/// True if the CPU has instructions for this precision. Without them it computes the same, slowly.
pub fn is_native_on_cpu(precision: Precision) -> bool {
    precision == Precision::F32 || has_bf16()
}

/// A part of a network that training may treat on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Images to features.
    Trunk,
    /// Features to embeddings.
    Head,
}

/// Images in, embeddings out.
#[derive(Debug)]
pub struct Network {
    config: NetworkConfig,
    normalization: Normalization,
    trunk: Box<dyn Trunk>,
    entry: Entry,
    head: Option<HeadLayers>,
    /// Those of a network with several; it has no `head`.
    heads: Heads,
    tensors: Tensors,
    adapters: Vec<Adapter>,
    /// Number of the trainable parameters of the trunk, which come first.
    trunk_parameters: i64,
    last_layer: u32,
    trunk_frozen: bool,
    seed: u64,
    /// Number of the training batch.
    batch: u64,
}

impl Network {
    /// Builds a network on `device` with initial weights drawn for `seed`.
    pub fn new(config: NetworkConfig, seed: u64, device: Device) -> Result<Network, ModelError> {
        Network::build(config, None, seed, device)
    }

    /// Builds a network with these parameters and running statistics in the trunk.
    pub fn pretrained(
        config: NetworkConfig,
        weights: &State,
        seed: u64,
        device: Device,
    ) -> Result<Network, ModelError> {
        Network::build(config, Some(weights), seed, device)
    }

    fn build(
        config: NetworkConfig,
        weights: Option<&State>,
        seed: u64,
        device: Device,
    ) -> Result<Network, ModelError> {
        config.check()?;
        let mut builder = ParamBuilder {
            channels_last: config.model.backbone.part().prefers_channels_last(),
            lora: config.model.lora.clone(),
            ..ParamBuilder::default()
        };
        let mut trunk = config
            .model
            .backbone
            .trunk(&mut builder, config.trunk_input());
        if let Some(weights) = weights {
            weights::fill(&mut builder, &config.model.backbone, weights, &[])?;
        }
        let frozen = tensors::frozen(&builder, &config.model)?;
        let trunk_parameters = trained_length(&builder.parameters, &frozen);
        builder.begin_head();
        let heads = Heads::new(&mut builder, &config);
        let entry = Entry::Pool(single_pool(&mut builder, &config));
        let head = single_head(&mut builder, &config);
        let last_layer = builder.last_layer();
        let adapters = builder.adapters;
        let (parameters, statistics) = (builder.parameters, builder.statistics);
        let mut tensors = Tensors::drawn(parameters, statistics, frozen, seed, device);
        tensors.bind(trunk.as_mut());
        let input = config.model.backbone.part().input();
        Ok(Network {
            normalization: Normalization::new(input.as_ref(), device),
            config,
            trunk,
            entry,
            head,
            heads,
            tensors,
            adapters,
            trunk_parameters,
            last_layer,
            trunk_frozen: false,
            seed,
            batch: 0,
        })
    }

    /// Returns the embeddings `[n, width]` of images `[n, channels, size, size]` of bytes, each of length one unless
    /// that was switched off. With `train`, batch norms use this batch's statistics and add them to their running ones,
    /// as far as they are not frozen.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        self.forward_heads(images, train).embeddings
    }

    /// Like [`forward`](Self::forward), with what a penalty on the heads of a network with several needs.
    pub fn forward_heads(&self, images: &Tensor, train: bool) -> Forward {
        match train {
            true => self.forward_part(images, 0),
            false => self.forward_in(&self.context(false), None, images),
        }
    }

    /// Like [`forward_heads`](Self::forward_heads) in training, with a part of a batch: its images from `first` on.
    pub(crate) fn forward_part(&self, images: &Tensor, first: i64) -> Forward {
        let part = BatchPart {
            seed: self.seed,
            batch: self.batch,
            first,
        };
        let context = ForwardContext {
            stochastic_depth: self.stochastic_depth(part),
            ..self.context(true)
        };
        let checkpointing = self.config.model.checkpointing;
        let lasting = checkpointing.then(|| LastingContext::of(&context));
        let context = ForwardContext {
            lasting: lasting.as_ref(),
            ..context
        };
        self.forward_in(&context, Some(&part), images)
    }

    /// Returns what the network makes of images; `part` says which of a batch they are in training.
    fn forward_in(
        &self,
        context: &ForwardContext,
        part: Option<&BatchPart>,
        images: &Tensor,
    ) -> Forward {
        let images = images.to_device(self.device());
        let maps = match self.trunk_frozen {
            true => no_grad(|| self.maps(context, &self.seen(&images))),
            false => self.maps(context, &self.seen(&images)),
        };
        self.embeddings(context, part, &maps)
    }

    /// Returns what a penalty on heads sees, given the features of [`forward_heads`](Self::forward_heads).
    pub fn head_outputs(&self, features: &[Tensor]) -> Vec<HeadOutput> {
        let context = self.context(true).in_single_precision();
        self.heads.outputs(&context, features)
    }

    /// Returns the maps that the heads pool, of the input of the first layer.
    fn maps(&self, context: &ForwardContext, seen: &Tensor) -> Maps {
        let mut taps = Taps::at(self.heads.taps());
        Maps {
            last: self.trunk.forward_tapped(context, seen, &mut taps),
            taps: taps.maps(),
        }
    }

    /// Returns the input of the first layer.
    fn seen(&self, images: &Tensor) -> Tensor {
        self.laid_out(self.normalization.of(images))
    }

    /// Returns the input in the fastest memory layout.
    fn laid_out(&self, seen: Tensor) -> Tensor {
        match self.config.model.backbone.part().prefers_channels_last() {
            true => channels_last(&seen),
            false => seen,
        }
    }

    fn context(&self, train: bool) -> ForwardContext<'_> {
        ForwardContext {
            parameters: &self.tensors.placed,
            statistics: self.tensors.statistics.views(),
            frozen: &self.tensors.frozen,
            batch_statistics: train && self.config.model.batch_norm == BatchNorm::Train,
            folds_norms: self.device() == Device::Cpu,
            mixes_precisions: self.device() == Device::Cpu,
            keeps_attention: train && self.device() == Device::Cpu,
            dtype: dtype(self.config.model.precision),
            adapters: match train {
                true => Adapters::Apart,
                false => Adapters::Merged,
            },
            stochastic_depth: None,
            lasting: None,
        }
    }

    /// Returns which images of a part of a batch skip blocks in training.
    fn stochastic_depth(&self, part: BatchPart) -> Option<StochasticDepth> {
        let rate = self.config.model.drop_path;
        (rate > 0.0).then_some(StochasticDepth { rate, part })
    }

    /// Returns the embeddings of what the trunk returns.
    fn embeddings(
        &self,
        context: &ForwardContext,
        part: Option<&BatchPart>,
        maps: &Maps,
    ) -> Forward {
        let context = &context.in_single_precision();
        if !self.heads.are_none() {
            let prepared = |map: &Tensor, entry: &Entry| self.prepared(context, map, entry);
            return self.heads.forward(context, part, maps, prepared);
        }
        let prepared = self.prepared(context, &maps.last, &self.entry);
        let embeddings = match &self.head {
            Some(head) => head.forward(context, &prepared),
            None => prepared,
        };
        Forward {
            embeddings: match self.config.model.normalize {
                true => normalize(&embeddings),
                false => embeddings,
            },
            features: Vec::new(),
        }
    }

    /// Returns the input of a head, perhaps normalized, of a map `[n, f, h, w]` or of features `[n, f]`.
    fn prepared(&self, context: &ForwardContext, map: &Tensor, entry: &Entry) -> Tensor {
        let features = entry.forward(context, map);
        if !self.config.model.layer_norm {
            return features;
        }
        let width = features.size()[1];
        features.layer_norm(width, None::<&Tensor>, None::<&Tensor>, 1e-5, true)
    }

    /// Returns the range of each group in [`flat_parameters`](Self::flat_parameters): the trunk's first, then the head's
    /// (which includes those of a trained pooling), without gaps. A group without trainable parameters is left out.
    pub fn groups(&self) -> Vec<(Group, Range<i64>)> {
        let all = self.tensors.trained.flat().numel() as i64;
        let groups = [
            (Group::Trunk, 0..self.trunk_parameters),
            (Group::Head, self.trunk_parameters..all),
        ];
        groups
            .into_iter()
            .filter(|(_, range)| !range.is_empty())
            .collect()
    }

    /// Begins the training batch of this number, on which random draws in the network depend.
    pub fn begin_batch(&mut self, batch: u64) {
        self.batch = batch;
    }

    /// Freezes or unfreezes the trunk. While it is frozen, [`forward`](Self::forward) records no graph for it and its
    /// gradients are zero, which makes training the head alone cheap. Its batch norms still follow `train`.
    pub fn set_trunk_frozen(&mut self, frozen: bool) {
        self.trunk_frozen = frozen;
    }

    /// Does some work and restores the running statistics afterwards.
    pub(crate) fn keeping_statistics<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.tensors.statistics.flat().copy();
        let result = work();
        no_grad(|| {
            self.tensors
                .statistics
                .flat()
                .shallow_clone()
                .copy_(&before)
        });
        result
    }

    /// Returns the dimensions of an embedding.
    pub fn width(&self) -> i64 {
        match self.config.model.embedding {
            Some(width) => width.into(),
            None => self.config.features(),
        }
    }

    /// Returns the blocks of an embedding, one for each head of several; none otherwise.
    pub fn blocks(&self) -> Vec<Block> {
        Block::all(&self.config.model)
    }

    /// Returns the device of the parameters.
    pub fn device(&self) -> Device {
        self.tensors.trained.flat().device()
    }

    /// Returns the trainable tensors with their names: views of the flat tensor.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.trained.named()
    }

    /// Returns the number of all parameters, frozen ones among them.
    pub fn parameter_count(&self) -> usize {
        self.tensors.parameter_count()
    }

    /// Returns the flat tensor `[p]` of all trainable parameters; empty if there are none. It shares its storage
    /// with the layers: changed in place, for instance by an optimizer, it changes the network.
    pub fn flat_parameters(&mut self) -> &mut Tensor {
        self.tensors.trained.flat_mut()
    }

    /// Returns the tensors that make up [`flat_parameters`](Self::flat_parameters), in their order.
    pub fn segments(&self) -> &[Segment] {
        self.tensors.trained.segments()
    }

    /// Returns the number of the last layer: that of the head, or of the trunk if there is none.
    pub fn last_layer(&self) -> u32 {
        self.last_layer
    }

    /// Returns the gradient `[p]` of a scalar `loss`, in the order of [`flat_parameters`](Self::flat_parameters).
    /// The graph is freed.
    pub fn gradient(&self, loss: &Tensor) -> Tensor {
        self.tensors.trained.gradient(loss)
    }

    /// Returns everything that is trained.
    pub(crate) fn trainable(&self) -> &Parameters {
        &self.tensors.trained
    }

    /// Returns what an average of weights is of: the flat tensors of trainable parameters and of running statistics.
    fn averaged(&self) -> [&Tensor; 2] {
        [self.tensors.trained.flat(), self.tensors.statistics.flat()]
    }

    /// Returns a copy of all weights and running statistics: `parameters`, `statistics` and, if something is frozen,
    /// `constants`, all flat.
    pub fn state(&self) -> State {
        self.tensors.state()
    }

    /// Continues from a copy made by [`state`](Self::state) of a network of the same make.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        self.tensors.restore(state)
    }
}

/// Builds the pooling of the one head; a network with several heads has one for each.
fn single_pool(builder: &mut ParamBuilder, config: &NetworkConfig) -> Pool {
    let pooling = match config.model.heads.is_empty() {
        true => config.model.pooling,
        false => None,
    };
    Pool::new(builder, "", pooling.unwrap_or(schema::Pooling::Avg))
}

/// Builds the layers of the one head; none if features are embeddings, or if there are several heads.
fn single_head(builder: &mut ParamBuilder, config: &NetworkConfig) -> Option<HeadLayers> {
    let width = match config.model.heads.is_empty() {
        true => config.model.embedding?,
        false => return None,
    };
    let head = config.model.head.as_ref();
    Some(HeadLayers::new(
        builder,
        "",
        head,
        config.features(),
        width.into(),
    ))
}

#[cfg(test)]
mod tests {
    use schema::Backbone;

    use super::*;
    use crate::testing::{is_finite, noise, rows};

    fn small() -> NetworkConfig {
        NetworkConfig::new(Backbone::Conv4, 1, 16, Some(3))
    }

    fn with_embedding(width: Option<u32>) -> NetworkConfig {
        NetworkConfig::new(Backbone::Conv4, 1, 16, width)
    }

    fn network(config: NetworkConfig, seed: u64) -> Network {
        Network::new(config, seed, Device::Cpu).unwrap()
    }

    /// Images of noise.
    fn images(config: &NetworkConfig, count: i64) -> Tensor {
        let shape = [count, config.channels, config.image_size, config.image_size];
        ((noise(1, 1, shape.iter().product()) + 1.0) * 127.5)
            .to_kind(Kind::Uint8)
            .view(shape)
    }

    #[test]
    fn an_embedding_hardly_depends_on_the_images_beside_it() {
        let small = ["conv4", "squeezenet"];
        let backbones = Backbone::every().into_iter();
        for backbone in backbones.filter(|backbone| small.contains(&backbone.key())) {
            let (key, side) = (backbone.key(), backbone.part().least_image());
            let config = NetworkConfig::new(backbone, 3, side.into(), Some(8));
            let network = network(config.clone(), 1);
            let images = images(&config, 11);
            let chunks = |size| {
                let parts = images.split(size, 0);
                let parts = parts
                    .iter()
                    .map(|part| no_grad(|| network.forward(part, false)));
                Tensor::cat(&parts.collect::<Vec<_>>(), 0)
            };
            for size in [1, 4] {
                let difference = (chunks(size) - chunks(11)).abs().max();
                assert!(
                    difference.double_value(&[]) < 1e-5,
                    "{key}, {size} at a time"
                );
                assert!(chunks(size).equal(&chunks(size)), "{key}, {size} at a time");
            }
        }
    }

    fn parameter(network: &Network, wanted: &str) -> Tensor {
        network
            .parameters()
            .find(|(name, _)| *name == wanted)
            .unwrap()
            .1
            .detach()
    }

    #[test]
    fn the_same_seed_gives_the_same_network_and_another_seed_another() {
        let [one, same, other] = [1, 1, 2].map(|seed| network(small(), seed).state().remove(0).1);
        assert!(one == same);
        assert!(one != other);
    }

    #[test]
    fn initial_weights_are_distributed_as_pytorch_distributes_them() {
        let network = network(small(), 4);
        for (name, inputs) in [
            ("block1.conv.weight", 9.0),
            ("block3.conv.weight", 576.0),
            ("embedding.weight", 64.0),
        ] {
            let bound = 1.0 / f64::sqrt(inputs);
            let weights = parameter(&network, name).to_kind(Kind::Double);
            let largest = weights.abs().max().double_value(&[]);
            assert!(
                largest <= bound * (1.0 + 1e-6) && largest > bound * 0.95,
                "{name}"
            );
            let deviation = weights.square().mean(None::<Kind>).sqrt().double_value(&[]);
            assert!(
                (deviation / (bound / f64::sqrt(3.0)) - 1.0).abs() < 0.1,
                "{name}"
            );
        }
        assert!(
            parameter(&network, "block2.bn.weight")
                .eq(1.0)
                .all()
                .int64_value(&[])
                != 0
        );
        assert!(
            parameter(&network, "block2.bn.bias")
                .eq(0.0)
                .all()
                .int64_value(&[])
                != 0
        );
        assert!(
            parameter(&network, "embedding.bias")
                .abs()
                .max()
                .double_value(&[])
                > 0.0
        );
    }

    #[test]
    fn the_first_initial_weights_never_change() {
        // If this fails, runs with the same name no longer have the same result.
        let flat = network(small(), 1).state().remove(0).1;
        let found = [0, 1, 576 + 128, -1].map(|index| flat.get(index).double_value(&[]) as f32);
        assert_eq!(found, [-0.31503186, -0.18480363, -0.019111026, -0.11026034]);
    }

    #[test]
    fn a_change_of_the_flat_tensor_changes_the_network() {
        let mut network = network(small(), 1);
        let images = images(&small(), 4);
        let before = network.forward(&images, false);
        let gradient = network.gradient(&network.forward(&images, false).sum(None::<Kind>));
        assert_eq!(gradient.size(), network.flat_parameters().size());
        *network.flat_parameters() -= gradient;
        assert!(network.forward(&images, false) != before);
    }

    #[test]
    fn the_groups_are_the_trunk_and_then_the_head() {
        let of = |config| network(config, 1).groups();
        let trunk = 64 * 9 + 3 * 64 * 576 + 8 * 64;
        assert_eq!(
            of(small()),
            [
                (Group::Trunk, 0..trunk),
                (Group::Head, trunk..trunk + 65 * 3)
            ]
        );
        assert_eq!(of(with_embedding(None)), [(Group::Trunk, 0..trunk)]);
        assert_eq!(of(NetworkConfig::new(Backbone::Pixels, 1, 16, None)), []);
    }

    #[test]
    fn a_frozen_trunk_has_no_gradient_and_leaves_that_of_the_head_unchanged() {
        let mut network = network(small(), 1);
        let images = images(&small(), 4);
        let gradient = |network: &Network| {
            network.gradient(&network.forward(&images, true).get(0).sum(None::<Kind>))
        };
        let free = gradient(&network);
        network.set_trunk_frozen(true);
        let held = gradient(&network);
        let [(_, trunk), (_, head)] = network.groups().try_into().unwrap();
        let part =
            |of: &Tensor, range: &Range<i64>| of.narrow(0, range.start, range.end - range.start);
        assert!(part(&held, &trunk).abs().max().double_value(&[]) == 0.0);
        assert!(part(&held, &head) == part(&free, &head));
        assert!(part(&free, &trunk).abs().max().double_value(&[]) > 0.0);
    }

    #[test]
    fn training_gathers_statistics_and_evaluation_does_not() {
        let network = network(small(), 1);
        let statistics = || network.state().remove(1).1;
        let start = statistics();
        let _ = network.forward(&images(&small(), 4), false);
        assert!(statistics() == start);
        let _ = network.forward(&images(&small(), 4), true);
        assert!(statistics() != start);
    }

    #[test]
    fn a_restored_network_is_the_original() {
        let original = network(small(), 1);
        let _ = original.forward(&images(&small(), 4), true);
        let state = original.state();
        let mut other = network(small(), 2);
        other.restore(&state).unwrap();
        assert!(
            other.forward(&images(&small(), 3), false)
                == original.forward(&images(&small(), 3), false)
        );
        let _ = original.forward(&images(&small(), 4), true);
        assert!(state[1].1 != original.state()[1].1, "the state is a copy");
    }

    #[test]
    fn a_state_of_another_network_is_refused() {
        let mut wide = network(with_embedding(Some(4)), 1);
        assert!(matches!(
            wide.restore(&network(small(), 1).state()),
            Err(StateError::Shape { .. })
        ));
    }

    #[test]
    fn pixels_are_their_own_embedding_of_length_one() {
        let config = NetworkConfig::new(Backbone::Pixels, 1, 2, None);
        let mut network = network(config, 1);
        let images = Tensor::from_slice(&[0u8, 30, 40, 0, 0, 0, 0, 0]).view([2, 1, 2, 2]);
        let embeddings = rows(&network.forward(&images, true));
        assert!(
            embeddings[0]
                .iter()
                .zip([0.0, 0.6, 0.8, 0.0])
                .all(|(found, expected)| (found - expected).abs() < 1e-6)
        );
        assert_eq!(embeddings[1], [0.0; 4]);
        assert_eq!((network.width(), network.flat_parameters().numel()), (4, 0));
        assert_eq!(network.gradient(&Tensor::from(0f32)).size(), [0]);
        network.restore(&network.state()).unwrap();
    }

    #[test]
    fn a_black_image_and_a_batch_of_one_are_no_trouble() {
        let network = network(small(), 1);
        let black = Tensor::zeros([1, 1, 16, 16], (Kind::Uint8, Device::Cpu));
        let embeddings = network.forward(&black, true);
        assert!(is_finite(&embeddings));
        assert!(is_finite(&network.gradient(&embeddings.sum(None::<Kind>))));
        assert!(is_finite(&network.state()[1].1));
    }

    #[test]
    fn networks_that_cannot_be_are_refused() {
        let refused = |config| Network::new(config, 0, Device::Cpu).unwrap_err();
        let error = refused(NetworkConfig {
            image_size: 15,
            ..small()
        });
        assert_eq!(
            error,
            ModelError::SmallImage {
                image_size: 15,
                smallest: 16
            }
        );
        assert_eq!(
            refused(with_embedding(Some(0))),
            ModelError::Width { found: 0 }
        );
        assert_eq!(
            refused(NetworkConfig {
                channels: 0,
                ..small()
            }),
            ModelError::Width { found: 0 }
        );
    }
}
