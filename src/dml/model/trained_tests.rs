//! Every kind of trunk in training: three steps in bfloat16, and the same bits for one that continues after the second.

use std::collections::BTreeMap;

use schema::{Backbone, Card, Precision};
use tch::{Device, Kind, Tensor};

use super::{
    Network, NetworkConfig,
    golden::{bytes, patterned},
};
use crate::{optim::FlatOptimizer, state::State};

/// Thousands of parameters of the largest networks that are trained here. Larger ones have the layers of smaller ones.
const MOST_PARAMETERS: u32 = 30_000;

/// Returns the small backbones, and the smallest of each paper all of whose backbones are large.
fn trained() -> impl Iterator<Item = Backbone> {
    let with_layers = |backbone: &Backbone| !backbone.part().layers().is_empty();
    let every: Vec<Backbone> = Backbone::every().into_iter().filter(with_layers).collect();
    let mut smallest = BTreeMap::new();
    for backbone in &every {
        let of_paper = smallest.entry(source(backbone)).or_insert(u32::MAX);
        *of_paper = parameters(backbone).min(*of_paper);
    }
    let is_trained = move |backbone: &Backbone| {
        parameters(backbone) <= MOST_PARAMETERS.max(smallest[source(backbone)])
    };
    every.into_iter().filter(is_trained)
}

/// Returns the thousands of its parameters.
fn parameters(backbone: &Backbone) -> u32 {
    backbone.part().footprint().parameters
}

/// Returns the paper that a backbone is from.
fn source(backbone: &Backbone) -> &'static str {
    let is_of = |card: &&Card| card.name == backbone.key();
    Backbone::CARDS.iter().find(is_of).unwrap().source
}

/// Returns the side of the smallest images that pass through.
fn side(backbone: &Backbone) -> i64 {
    let part = backbone.part();
    let mut sides = part.least_image()..=part.native_image();
    let side = sides.find(|&side| part.obstacle(side).is_none());
    side.unwrap().into()
}

struct Training {
    network: Network,
    optimizer: FlatOptimizer,
    images: Tensor,
}

impl Training {
    fn new(backbone: &Backbone, weights: &State) -> Training {
        let side = side(backbone);
        let mut config = NetworkConfig::new(backbone.clone(), 3, side, Some(4));
        config.model.precision = Precision::Bf16;
        let mut network = Network::pretrained(config, weights, 1, Device::Cpu).unwrap();
        let adam = schema::Optimizer::Adam(schema::Adam {
            lr: 1e-4,
            ..schema::Adam::default()
        });
        Training {
            optimizer: FlatOptimizer::new(&adam, network.flat_parameters()),
            network,
            images: bytes(4, side),
        }
    }

    /// Trains embeddings to point in the direction of their second number. Returns its mean before the step.
    fn step(&mut self, number: u64) -> f64 {
        self.network.begin_batch(number);
        let reached = self.network.forward(&self.images, true);
        let reached = reached.select(1, 1).mean(Kind::Float);
        let gradient = self.network.gradient(&-&reached);
        self.optimizer
            .step(self.network.flat_parameters(), &gradient, 1.0);
        reached.double_value(&[])
    }
}

#[test]
fn every_trunk_learns_in_bfloat16_and_continues_from_a_copy_with_the_same_bits() {
    for backbone in trained() {
        let name = backbone.key();
        let weights = patterned(&backbone, side(&backbone));
        let mut training = Training::new(&backbone, &weights);
        let first = training.step(0);
        training.step(1);
        let copies = (training.network.state(), training.optimizer.state());
        let last = training.step(2);
        assert!(last > first, "{name}: from {first} to {last}");

        let mut continued = Training::new(&backbone, &weights);
        continued.network.restore(&copies.0).unwrap();
        assert!(
            continued.network.state() != training.network.state(),
            "{name}"
        );
        continued.optimizer.restore(&copies.1).unwrap();
        assert_eq!(continued.step(2), last, "{name}");
        assert!(
            continued.network.state() == training.network.state(),
            "{name}"
        );
    }
}
