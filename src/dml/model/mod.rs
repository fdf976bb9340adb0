//! Networks: images in, embeddings of length one out.
//!
//! A [`Backbone`] turns images into features and an optional linear layer turns those into embeddings. All
//! trainable numbers of a [`Network`] lie in one flat tensor, of which its layers hold views, and so do all running
//! statistics: an optimiser step, a checkpoint and a copy of the best weights are each about one tensor.
//! Initial weights have PyTorch's default distributions, but come from [`crate::random`] and so
//! are the same on every device.

mod conv4;

use std::ops::Range;

use tch::{Device, Kind, Tensor, no_grad};

use crate::{
    distance::normalise,
    parameters::{Initial, Parameters, Slot},
    state::{State, StateError, copy, overwrite},
};

/// What a network is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Images to features.
    pub backbone: Backbone,
    /// Channels of an image.
    pub channels: i64,
    /// Pixels a side of an image.
    pub image_size: i64,
    /// Width of the embedding. Absent: the features are the embedding.
    pub embedding: Option<i64>,
}

/// Turns images into features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// Four blocks of convolution, batch norm, ReLU and pooling: 64 features.
    Conv4,
    /// The pixels themselves.
    Pixels,
}

/// A network that cannot be built.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Pooling would leave nothing of the image.
    #[error("images of {image_size} pixels a side are too small: this backbone needs at least {smallest}")]
    SmallImage {
        /// Pixels a side.
        image_size: i64,
        /// The least that works.
        smallest: i64,
    },
    /// An embedding without numbers, or an image without channels.
    #[error("channels and embedding width must be at least 1, not {found}")]
    Width {
        /// What was asked for.
        found: i64,
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
    parameters: Parameters,
    statistics: Parameters,
    /// How many of the trainable numbers are the trunk's; they come first.
    trunk: i64,
    trunk_is_held: bool,
}

impl Network {
    /// Builds a network on `device` with initial weights drawn for `seed`.
    pub fn new(config: NetworkConfig, seed: u64, device: Device) -> Result<Network, ModelError> {
        check(&config)?;
        let mut parameters = config.backbone.parameters(config.channels);
        let trunk = parameters.iter().map(Slot::len).sum();
        if let Some(width) = config.embedding {
            let features = config.features();
            parameters.push(Slot::new("embedding.weight", &[width, features], Initial::FanIn(features)));
            parameters.push(Slot::new("embedding.bias", &[width], Initial::FanIn(features)));
        }
        let statistics = config.backbone.statistics();
        Ok(Network {
            config,
            parameters: Parameters::new(parameters, seed, device).trainable(),
            statistics: Parameters::new(statistics, seed, device),
            trunk,
            trunk_is_held: false,
        })
    }

    /// Returns the embeddings `[n, width]`, each of length one, of images `[n, channels, size, size]` of bytes.
    /// With `train`, batch norm uses this batch's statistics and adds them to its running ones.
    pub fn forward(&self, images: &Tensor, train: bool) -> Tensor {
        let pixels = images.to_device(self.device()).to_kind(Kind::Float) / 255.0;
        let features = match self.trunk_is_held {
            true => no_grad(|| self.features(&pixels, train)),
            false => self.features(&pixels, train),
        };
        let embeddings = match self.config.embedding {
            Some(_) => {
                features.linear(self.parameters.get("embedding.weight"), Some(self.parameters.get("embedding.bias")))
            }
            None => features,
        };
        normalise(&embeddings)
    }

    fn features(&self, pixels: &Tensor, train: bool) -> Tensor {
        match self.config.backbone {
            Backbone::Conv4 => conv4::forward(pixels, &self.parameters, &self.statistics, train),
            Backbone::Pixels => pixels.flatten(1, -1),
        }
    }

    /// Returns which numbers of [`flat_parameters`](Self::flat_parameters) belong to which group: the trunk's first,
    /// then the head's, without gaps. A group without trainable numbers is left out.
    pub fn groups(&self) -> Vec<(Group, Range<i64>)> {
        let all = self.parameters.flat().numel() as i64;
        let groups = [(Group::Trunk, 0..self.trunk), (Group::Head, self.trunk..all)];
        groups.into_iter().filter(|(_, range)| !range.is_empty()).collect()
    }

    /// While the trunk is held, [`forward`](Self::forward) makes no graph for it, and its gradients are zero: the
    /// cheap way to train the head alone, as in a warm-up. Its batch norms still follow `train`.
    pub fn hold_trunk(&mut self, held: bool) {
        self.trunk_is_held = held;
    }

    /// How many numbers an embedding has.
    pub fn width(&self) -> i64 {
        self.config.embedding.unwrap_or_else(|| self.config.features())
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

    /// Returns a copy of all weights and running statistics: `parameters` and `statistics`, both flat.
    pub fn state(&self) -> State {
        vec![copy("parameters", self.parameters.flat()), copy("statistics", self.statistics.flat())]
    }

    /// Continues from a copy made by [`state`](Self::state) of a network of the same make.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let targets = &mut [("parameters", self.parameters.flat_mut()), ("statistics", self.statistics.flat_mut())];
        overwrite(targets, state)
    }
}

impl NetworkConfig {
    /// How many features the backbone gives.
    fn features(&self) -> i64 {
        match self.backbone {
            Backbone::Conv4 => conv4::FEATURES,
            Backbone::Pixels => self.channels * self.image_size * self.image_size,
        }
    }
}

impl Backbone {
    fn parameters(self, channels: i64) -> Vec<Slot> {
        match self {
            Backbone::Conv4 => conv4::parameters(channels),
            Backbone::Pixels => Vec::new(),
        }
    }

    fn statistics(self) -> Vec<Slot> {
        match self {
            Backbone::Conv4 => conv4::statistics(),
            Backbone::Pixels => Vec::new(),
        }
    }

    fn smallest_image(self) -> i64 {
        match self {
            Backbone::Conv4 => conv4::SMALLEST_IMAGE,
            Backbone::Pixels => 1,
        }
    }
}

fn check(config: &NetworkConfig) -> Result<(), ModelError> {
    let (image_size, smallest) = (config.image_size, config.backbone.smallest_image());
    if image_size < smallest {
        return Err(ModelError::SmallImage { image_size, smallest });
    }
    match config.embedding.into_iter().chain([config.channels]).find(|&width| width < 1) {
        Some(found) => Err(ModelError::Width { found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{is_finite, noise, rows};

    const SMALL: NetworkConfig =
        NetworkConfig { backbone: Backbone::Conv4, channels: 1, image_size: 16, embedding: Some(3) };

    fn network(config: NetworkConfig, seed: u64) -> Network {
        Network::new(config, seed, Device::Cpu).unwrap()
    }

    /// Images of noise.
    fn images(config: &NetworkConfig, count: i64) -> Tensor {
        let shape = [count, config.channels, config.image_size, config.image_size];
        ((noise(1, 1, shape.iter().product()) + 1.0) * 127.5).to_kind(Kind::Uint8).view(shape)
    }

    fn parameter(network: &Network, wanted: &str) -> Tensor {
        network.parameters().find(|(name, _)| *name == wanted).unwrap().1.detach()
    }

    #[test]
    fn the_same_seed_gives_the_same_network_and_another_seed_another() {
        let [one, same, other] = [1, 1, 2].map(|seed| network(SMALL, seed).state().remove(0).1);
        assert!(one == same);
        assert!(one != other);
    }

    #[test]
    fn initial_weights_are_distributed_as_pytorch_distributes_them() {
        let network = network(SMALL, 4);
        for (name, inputs) in [("block1.convolution", 9.0), ("block3.convolution", 576.0), ("embedding.weight", 64.0)] {
            let bound = 1.0 / f64::sqrt(inputs);
            let weights = parameter(&network, name).to_kind(Kind::Double);
            let largest = weights.abs().max().double_value(&[]);
            assert!(largest <= bound * (1.0 + 1e-6) && largest > bound * 0.95, "{name}");
            let deviation = weights.square().mean(None::<Kind>).sqrt().double_value(&[]);
            assert!((deviation / (bound / f64::sqrt(3.0)) - 1.0).abs() < 0.1, "{name}");
        }
        assert!(parameter(&network, "block2.scale").eq(1.0).all().int64_value(&[]) != 0);
        assert!(parameter(&network, "block2.shift").eq(0.0).all().int64_value(&[]) != 0);
        assert!(parameter(&network, "embedding.bias").abs().max().double_value(&[]) > 0.0);
    }

    #[test]
    fn the_first_initial_weights_never_change() {
        // If this fails, runs with the same name no longer have the same result.
        let flat = network(SMALL, 1).state().remove(0).1;
        let found = [0, 1, 576 + 128, -1].map(|index| flat.get(index).double_value(&[]) as f32);
        assert_eq!(found, [-0.31503186, -0.18480363, -0.019111026, -0.11026034]);
    }

    #[test]
    fn a_change_of_the_flat_tensor_changes_the_network() {
        let mut network = network(SMALL, 1);
        let images = images(&SMALL, 4);
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
        assert_eq!(of(SMALL), [(Group::Trunk, 0..trunk), (Group::Head, trunk..trunk + 65 * 3)]);
        assert_eq!(of(NetworkConfig { embedding: None, ..SMALL }), [(Group::Trunk, 0..trunk)]);
        assert_eq!(of(NetworkConfig { backbone: Backbone::Pixels, embedding: None, ..SMALL }), []);
    }

    #[test]
    fn a_held_trunk_has_no_gradient_and_leaves_that_of_the_head_as_it_is() {
        let mut network = network(SMALL, 1);
        let images = images(&SMALL, 4);
        let gradient = |network: &Network| network.gradient(&network.forward(&images, true).get(0).sum(None::<Kind>));
        let free = gradient(&network);
        network.hold_trunk(true);
        let held = gradient(&network);
        let [(_, trunk), (_, head)] = network.groups().try_into().unwrap();
        let part = |of: &Tensor, range: &Range<i64>| of.narrow(0, range.start, range.end - range.start);
        assert!(part(&held, &trunk).abs().max().double_value(&[]) == 0.0);
        assert!(part(&held, &head) == part(&free, &head));
        assert!(part(&free, &trunk).abs().max().double_value(&[]) > 0.0);
    }

    #[test]
    fn training_gathers_statistics_and_evaluation_does_not() {
        let network = network(SMALL, 1);
        let statistics = || network.state().remove(1).1;
        let start = statistics();
        let _ = network.forward(&images(&SMALL, 4), false);
        assert!(statistics() == start);
        let _ = network.forward(&images(&SMALL, 4), true);
        assert!(statistics() != start);
    }

    #[test]
    fn a_restored_network_is_the_original() {
        let original = network(SMALL, 1);
        let _ = original.forward(&images(&SMALL, 4), true);
        let state = original.state();
        let mut other = network(SMALL, 2);
        other.restore(&state).unwrap();
        assert!(other.forward(&images(&SMALL, 3), false) == original.forward(&images(&SMALL, 3), false));
        let _ = original.forward(&images(&SMALL, 4), true);
        assert!(state[1].1 != original.state()[1].1, "the state is a copy");
    }

    #[test]
    fn a_state_of_another_network_is_refused() {
        let mut wide = network(NetworkConfig { embedding: Some(4), ..SMALL }, 1);
        assert!(matches!(wide.restore(&network(SMALL, 1).state()), Err(StateError::Shape { .. })));
    }

    #[test]
    fn pixels_are_their_own_embedding_of_length_one() {
        let config = NetworkConfig { backbone: Backbone::Pixels, channels: 1, image_size: 2, embedding: None };
        let mut network = network(config, 1);
        let images = Tensor::from_slice(&[0u8, 30, 40, 0, 0, 0, 0, 0]).view([2, 1, 2, 2]);
        let embeddings = rows(&network.forward(&images, true));
        assert!(
            embeddings[0].iter().zip([0.0, 0.6, 0.8, 0.0]).all(|(found, expected)| (found - expected).abs() < 1e-6)
        );
        assert_eq!(embeddings[1], [0.0; 4]);
        assert_eq!((network.width(), network.flat_parameters().numel()), (4, 0));
        assert_eq!(network.gradient(&Tensor::from(0f32)).size(), [0]);
        network.restore(&network.state()).unwrap();
    }

    #[test]
    fn a_black_image_and_a_batch_of_one_are_no_trouble() {
        let network = network(SMALL, 1);
        let black = Tensor::zeros([1, 1, 16, 16], (Kind::Uint8, Device::Cpu));
        let embeddings = network.forward(&black, true);
        assert!(is_finite(&embeddings));
        assert!(is_finite(&network.gradient(&embeddings.sum(None::<Kind>))));
        assert!(is_finite(&network.state()[1].1));
    }

    #[test]
    fn networks_that_cannot_be_are_refused() {
        let refused = |config| Network::new(config, 0, Device::Cpu).unwrap_err();
        let error = refused(NetworkConfig { image_size: 15, ..SMALL });
        assert_eq!(error, ModelError::SmallImage { image_size: 15, smallest: 16 });
        assert_eq!(refused(NetworkConfig { embedding: Some(0), ..SMALL }), ModelError::Width { found: 0 });
        assert_eq!(refused(NetworkConfig { channels: 0, ..SMALL }), ModelError::Width { found: 0 });
    }
}
