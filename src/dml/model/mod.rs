//! Networks: images in, embeddings out.
//!
//! A [`Backbone`] turns images into features: it makes of their bytes what it wants to see ([`Input`]), and a
//! [`Pooling`] makes one vector of its last map. An optional [`Head`] turns features into embeddings, which have length
//! one unless that is switched off. All trainable numbers of a [`Network`] lie in one flat tensor, of which its layers
//! hold views, the trunk's before the head's; those that are frozen lie in a second one and all running statistics in
//! a third: an optimiser step, a checkpoint and a copy of the best weights are each about few tensors.
//! Initial numbers have the distributions of PyTorch or of the backbone's own code, but come from [`crate::random`] and
//! so are the same on every device; or they come from a file, see [`weights`].

mod backbone;
mod bn_inception;
mod conv4;
mod efficientnet_lite0;
#[cfg(test)]
mod golden;
mod googlenet;
mod head;
mod input;
mod inverted;
mod layers;
mod mobilenet;
mod pooling;
mod resnet;
mod squeezenet;
mod torchscript;
mod vit;
pub mod weights;

use std::{collections::BTreeSet, ops::Range};

use tch::{Device, Kind, Tensor, no_grad};

pub use self::{
    backbone::Backbone,
    bn_inception::BorderAverage,
    head::{Fan, Head},
    input::{Colours, Input},
    pooling::Pooling,
    resnet::{Depth, StrideOn},
    torchscript::TorchScript,
    vit::{VitInput, VitSize},
};
use self::{
    backbone::Trunk,
    head::Layers,
    layers::{Pass, Plan, channels_last},
    pooling::Pool,
    weights::Misfit,
};
use crate::{
    distance::normalize,
    parameters::{Parameters, Slot},
    processor::has_bf16,
    state::{State, StateError, copy, overwrite},
};

/// What a network is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Images to features.
    pub backbone: Backbone,
    /// Channels of an image: 1 or 3.
    pub channels: i64,
    /// Pixels a side of an image.
    pub image_size: i64,
    /// The last map to one vector. Absent: the mean, or as the backbone has it if it gives no map.
    pub pooling: Option<Pooling>,
    /// Whether each feature vector is then shifted and scaled to mean 0 and variance 1: a layer norm without numbers
    /// of its own.
    pub layer_norm: bool,
    /// Width of the embedding. Absent: the features are the embedding.
    pub embedding: Option<i64>,
    /// Features to embedding, if it has a width.
    pub head: Head,
    /// Whether embeddings are divided by their length.
    pub normalise: bool,
    /// What is constant in batch norms.
    pub batch_norm: BatchNorm,
    /// Layers of the trunk whose numbers are constants, their batch norms' statistics too: each name stands for all
    /// that begin with it and go on with `.` or `_`, or not at all.
    pub freeze: Vec<String>,
    /// In which numbers the trunk computes.
    pub precision: Precision,
}

/// In which numbers a trunk computes. The numbers that are trained, and features and all that is made of them, are in
/// single precision always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In single precision.
    #[default]
    Single,
    /// Its maps, and copies of its weights, are in bfloat16; norms are computed in single precision.
    Bf16,
}

impl Precision {
    fn kind(self) -> Kind {
        match self {
            Precision::Single => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }

    /// Whether the CPU has instructions for it; without them it computes the same, slowly.
    pub fn suits_the_cpu(self) -> bool {
        self == Precision::Single || has_bf16()
    }
}

/// What is constant in batch norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNorm {
    /// Nothing: in training they use the statistics of the batch, and gather them.
    #[default]
    Train,
    /// The statistics: they use their running ones in training too. Scale and shift are trained.
    FrozenStatistics,
    /// Everything.
    Frozen,
}

/// A network that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Pooling would leave nothing of the image.
    #[error(
        "images of {image_size} pixels a side are too small: this backbone needs at least {smallest}"
    )]
    SmallImage {
        /// Pixels a side.
        image_size: i64,
        /// The least that works.
        smallest: i64,
    },
    /// The layers do not fit images of this size.
    #[error("images of {image_size} pixels a side do not pass through this backbone: {why}")]
    ImageSize {
        /// Pixels a side.
        image_size: i64,
        /// What is in the way.
        why: &'static str,
    },
    /// An embedding without numbers, or an image without channels.
    #[error("channels and widths must be at least 1, not {found}")]
    Width {
        /// What was asked for.
        found: i64,
    },
    /// Neither grey nor coloured.
    #[error("this backbone takes images of 1 or 3 channels, not {found}")]
    Channels {
        /// Of an image.
        found: i64,
    },
    /// Nothing to pool.
    #[error("this backbone gives no map, there is nothing to pool")]
    NoMap,
    /// A name that no layer has.
    #[error("there is no layer `{name}` to freeze; this backbone has {}", .known.join(", "))]
    NoSuchLayer {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Weights of another network.
    #[error(transparent)]
    Weights(#[from] Misfit),
    /// A TorchScript module that is none, or no trunk.
    #[error("the TorchScript module cannot be used: {why}")]
    TorchScript {
        /// What is in the way.
        why: String,
    },
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
    input: Input,
    trunk: Box<dyn Trunk>,
    pool: Pool,
    head: Option<Layers>,
    parameters: Parameters,
    constants: Parameters,
    statistics: Parameters,
    /// All parameters, in the order of the plan, and which of them are constants.
    placed: Vec<Tensor>,
    frozen: Vec<bool>,
    /// How many of the trainable numbers are the trunk's; they come first.
    trunk_numbers: i64,
    trunk_frozen: bool,
}

impl Network {
    /// Builds a network on `device` with initial weights drawn for `seed`.
    pub fn new(config: NetworkConfig, seed: u64, device: Device) -> Result<Network, ModelError> {
        Network::build(config, None, seed, device)
    }

    /// The same with these weights, parameters and running statistics, in the trunk.
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
        check(&config)?;
        let mut plan = Plan {
            channels_last: config.backbone.likes_channels_last(),
            ..Plan::default()
        };
        let input = config.backbone.input();
        let mut trunk = config.backbone.trunk(
            &mut plan,
            input.channels(config.channels),
            config.image_size,
        );
        if let Some(weights) = weights {
            weights::fill(&mut plan, &config.backbone, weights)?;
        }
        let mut frozen = frozen(&plan, &config)?;
        let trainable = plan
            .parameters
            .iter()
            .zip(&frozen)
            .filter(|(_, frozen)| !**frozen);
        let trunk_numbers = trainable.map(|(slot, _)| slot.len()).sum();
        let pool = Pool::new(&mut plan, config.pooling.unwrap_or_default());
        let head = config
            .embedding
            .map(|width| Layers::new(&mut plan, &config.head, config.features(), width));
        frozen.resize(plan.parameters.len(), false);
        let numbered = (0..).zip(plan.parameters).zip(&frozen);
        let (constants, parameters): (Vec<_>, Vec<_>) = numbered.partition(|(_, frozen)| **frozen);
        let slots =
            |slots: Vec<((u64, Slot), &bool)>| slots.into_iter().map(|(slot, _)| slot).collect();
        let mut parameters = Parameters::new(slots(parameters), seed, device).trainable();
        let mut constants = Parameters::new(slots(constants), seed, device);
        let statistics = Parameters::new((0..).zip(plan.statistics).collect(), seed, device);
        let mut of_part = [0, 0];
        for (tensor, &frozen) in trunk
            .adopt(&placed(&frozen, &parameters, &constants))
            .into_iter()
            .zip(&frozen)
        {
            let part = if frozen {
                &mut constants
            } else {
                &mut parameters
            };
            part.replace(of_part[usize::from(frozen)], tensor);
            of_part[usize::from(frozen)] += 1;
        }
        let placed = placed(&frozen, &parameters, &constants);
        Ok(Network {
            config,
            input,
            trunk,
            pool,
            head,
            parameters,
            constants,
            statistics,
            placed,
            frozen,
            trunk_numbers,
            trunk_frozen: false,
        })
    }

    /// Returns the embeddings `[n, width]` of images `[n, channels, size, size]` of bytes, each of length one unless
    /// that was switched off. With `train`, batch norms use this batch's statistics and add them to their running ones,
    /// as far as they are not frozen.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let images = images.to_device(self.device());
        let pass = self.pass(train);
        let features = match self.trunk_frozen {
            true => no_grad(|| self.trunk.forward(&pass, &self.seen(&images))),
            false => self.trunk.forward(&pass, &self.seen(&images)),
        };
        self.embeddings(&pass, features)
    }

    /// What the first layer sees.
    fn seen(&self, images: &Tensor) -> Tensor {
        self.laid_out(self.input.normalise(images))
    }

    /// The same in the layout that is fastest.
    fn laid_out(&self, seen: Tensor) -> Tensor {
        match self.device() == Device::Cpu && self.config.backbone.likes_channels_last() {
            true => channels_last(&seen),
            false => seen,
        }
    }

    fn pass(&self, train: bool) -> Pass<'_> {
        Pass {
            parameters: &self.placed,
            statistics: self.statistics.views(),
            frozen: &self.frozen,
            batch_statistics: train && self.config.batch_norm == BatchNorm::Train,
            numbers: self.config.precision.kind(),
        }
    }

    /// From what the trunk gives.
    fn embeddings(&self, pass: &Pass, features: Tensor) -> Tensor {
        let (pass, features) = (
            &Pass {
                numbers: Kind::Float,
                ..*pass
            },
            features.to_kind(Kind::Float),
        );
        let pooled = if features.dim() == 4 {
            self.pool.forward(pass, &features)
        } else {
            features
        };
        let normed = match self.config.layer_norm {
            true => pooled.layer_norm(
                self.config.features(),
                None::<&Tensor>,
                None::<&Tensor>,
                1e-5,
                true,
            ),
            false => pooled,
        };
        let embeddings = match &self.head {
            Some(head) => head.forward(pass, &normed),
            None => normed,
        };
        if self.config.normalise {
            normalize(&embeddings)
        } else {
            embeddings
        }
    }

    /// Returns which numbers of [`flat_parameters`](Self::flat_parameters) belong to which group: the trunk's first,
    /// then the head's (those of a trained pooling among them), without gaps. A group without trainable numbers is left
    /// out.
    pub fn groups(&self) -> Vec<(Group, Range<i64>)> {
        let all = self.parameters.flat().numel() as i64;
        let groups = [
            (Group::Trunk, 0..self.trunk_numbers),
            (Group::Head, self.trunk_numbers..all),
        ];
        groups
            .into_iter()
            .filter(|(_, range)| !range.is_empty())
            .collect()
    }

    /// Freezes or unfreezes the trunk. While it is frozen, [`forward`](Self::forward) records no graph for it and its
    /// gradients are zero, which makes training the head alone cheap. Its batch norms still follow `train`.
    pub fn set_trunk_frozen(&mut self, frozen: bool) {
        self.trunk_frozen = frozen;
    }

    /// Does something and puts running statistics back to what they were before.
    pub(crate) fn keeping_statistics<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.statistics.flat().copy();
        let result = work();
        no_grad(|| self.statistics.flat().shallow_clone().copy_(&before));
        result
    }

    /// How many numbers an embedding has.
    pub fn width(&self) -> i64 {
        self.config
            .embedding
            .unwrap_or_else(|| self.config.features())
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.parameters.flat().device()
    }

    /// Returns the trainable tensors with their names: views of the flat tensor.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.named()
    }

    /// Returns the flat tensor `[p]` of all trainable numbers; empty if there are none. It shares its storage with
    /// the layers: changed in place, for instance by an optimiser, it changes the network.
    pub fn flat_parameters(&mut self) -> &mut Tensor {
        self.parameters.flat_mut()
    }

    /// Returns the gradient `[p]` of a scalar `loss`, in the order of [`flat_parameters`](Self::flat_parameters).
    /// The graph is freed.
    pub fn gradient(&self, loss: &Tensor) -> Tensor {
        self.parameters.gradient(loss)
    }

    /// What is trained.
    pub(crate) fn trainable(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns a copy of all weights and running statistics: `parameters`, `statistics` and, if something is frozen,
    /// `constants`, all flat.
    pub fn state(&self) -> State {
        let parts = [
            ("parameters", &self.parameters),
            ("statistics", &self.statistics),
            ("constants", &self.constants),
        ];
        let kept = parts
            .into_iter()
            .filter(|(name, part)| *name != "constants" || part.flat().numel() > 0);
        kept.map(|(name, part)| copy(name, part.flat())).collect()
    }

    /// Continues from a copy made by [`state`](Self::state) of a network of the same make.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let mut targets = vec![
            ("parameters", self.parameters.flat_mut()),
            ("statistics", self.statistics.flat_mut()),
        ];
        if self.constants.flat().numel() > 0 {
            targets.push(("constants", self.constants.flat_mut()));
        }
        overwrite(&mut targets, state)
    }
}

impl NetworkConfig {
    /// A backbone with its own pooling, a linear head if the embedding has a width, and nothing frozen; embeddings
    /// have length one.
    pub fn new(
        backbone: Backbone,
        channels: i64,
        image_size: i64,
        embedding: Option<i64>,
    ) -> NetworkConfig {
        NetworkConfig {
            backbone,
            channels,
            image_size,
            pooling: None,
            layer_norm: false,
            embedding,
            head: Head::Linear,
            normalise: true,
            batch_norm: BatchNorm::Train,
            freeze: Vec::new(),
            precision: Precision::Single,
        }
    }

    /// How many features the backbone gives.
    fn features(&self) -> i64 {
        self.backbone.features(self.channels, self.image_size)
    }
}

fn check(config: &NetworkConfig) -> Result<(), ModelError> {
    let (image_size, channels, input) =
        (config.image_size, config.channels, config.backbone.input());
    if image_size < input.least {
        return Err(ModelError::SmallImage {
            image_size,
            smallest: input.least,
        });
    }
    if let Some(why) = config.backbone.obstacle(image_size) {
        return Err(ModelError::ImageSize { image_size, why });
    }
    if config.pooling.is_some() && !config.backbone.gives_a_map() {
        return Err(ModelError::NoMap);
    }
    if matches!(config.backbone, Backbone::TorchScript(_)) {
        torchscript::check(config)?;
    }
    let hidden = match &config.head {
        Head::Mlp(hidden) => hidden.as_slice(),
        Head::Linear | Head::Kaiming(_) => &[],
    };
    if let Some(&found) = config
        .embedding
        .iter()
        .chain([&channels])
        .chain(hidden)
        .find(|&&width| width < 1)
    {
        return Err(ModelError::Width { found });
    }
    match input.colours {
        Colours::Rgb | Colours::Bgr if channels != 1 && channels != 3 => {
            Err(ModelError::Channels { found: channels })
        }
        Colours::AsGiven | Colours::Rgb | Colours::Bgr => Ok(()),
    }
}

/// Which parameters of a trunk are constants.
fn frozen(plan: &Plan, config: &NetworkConfig) -> Result<Vec<bool>, ModelError> {
    let mut frozen = vec![false; plan.parameters.len()];
    if config.batch_norm == BatchNorm::Frozen {
        plan.norms.iter().for_each(|&place| frozen[place] = true);
    }
    for name in &config.freeze {
        let belongs = |slot: &Slot| {
            slot.name()
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
        };
        let places: Vec<usize> = (0..frozen.len())
            .filter(|&place| belongs(&plan.parameters[place]))
            .collect();
        if places.is_empty() {
            let first = |slot: &Slot| slot.name().split('.').next().unwrap_or_default().to_owned();
            let known: BTreeSet<String> = plan.parameters.iter().map(first).collect();
            return Err(ModelError::NoSuchLayer {
                name: name.clone(),
                known: known.into_iter().collect(),
            });
        }
        places.into_iter().for_each(|place| frozen[place] = true);
    }
    Ok(frozen)
}

/// All parameters in the order of the plan.
fn placed(frozen: &[bool], parameters: &Parameters, constants: &Parameters) -> Vec<Tensor> {
    let (mut parameters, mut constants) = (parameters.views().iter(), constants.views().iter());
    let next = |&frozen: &bool| {
        if frozen {
            constants.next()
        } else {
            parameters.next()
        }
    };
    frozen
        .iter()
        .filter_map(next)
        .map(Tensor::shallow_clone)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{is_finite, noise, rows};

    fn small() -> NetworkConfig {
        NetworkConfig::new(Backbone::Conv4, 1, 16, Some(3))
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
        assert_eq!(
            of(NetworkConfig {
                embedding: None,
                ..small()
            }),
            [(Group::Trunk, 0..trunk)]
        );
        assert_eq!(
            of(NetworkConfig {
                backbone: Backbone::Pixels,
                embedding: None,
                ..small()
            }),
            []
        );
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
        let mut wide = network(
            NetworkConfig {
                embedding: Some(4),
                ..small()
            },
            1,
        );
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
            refused(NetworkConfig {
                embedding: Some(0),
                ..small()
            }),
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
