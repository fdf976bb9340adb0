//! Trainings of twenty steps of a network with three heads, compared with modules of PyTorch in double precision.
//!
//! `testdata/three_heads.json` holds for each training the losses of all steps and, of each parameter, how far it has moved and
//! its first numbers' moves. The losses of heads, their links and the penalty on them are written as loops there. `make golden`
//! writes it.

use schema::{Auxiliary, Backbone, Diversity, EmbeddingHead, Sgd};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use crate::{
    links::{DiversityLoss, golden::linked},
    model::{Network, NetworkConfig},
    objective::Objective,
    optim::FlatOptimizer,
    testing::{golden, tensor},
};

const LABELS: [i64; 9] = [0, 1, 2, 0, 1, 2, 0, 3, 3];
const WIDTHS: [u32; 3] = [2, 3, 4];

/// How far numbers in single precision may be from those in double precision: losses, relative to their size, and weights.
const TOLERANCE: [f64; 2] = [1e-5, 1e-6];

/// Initial values of the parameter of this number: the formulas of the same names in `scripts/golden_heads.py`.
fn patterned(index: i64, name: &str, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let inputs = count as f64 / shape[0] as f64;
    let bound = if shape.len() == 1 {
        0.2
    } else {
        inputs.powf(-0.5)
    };
    let number = |place| ((place * 7919 + index * 104_729) % 2003 - 1001) as f64 / 1001.0 * bound;
    let numbers: Vec<f64> = (0..count).map(number).collect();
    Tensor::from_slice(&numbers).view(shape) + f64::from(name.ends_with("bn.weight"))
}

/// A conv4 with heads at the first map, with auxiliary layers, at the third and at the last one.
fn network() -> Network {
    let mut config = NetworkConfig::new(Backbone::Conv4, 1, 16, Some(WIDTHS.iter().sum()));
    config.model.heads = WIDTHS.map(EmbeddingHead::of_width).to_vec();
    config.model.heads[0].tap = Some("block1".to_owned());
    config.model.heads[0].auxiliary = Some(Auxiliary { channels: 3 });
    config.model.heads[1].tap = Some("block3".to_owned());
    let mut network = Network::new(config, 0, Device::Cpu).unwrap();
    let start = (0..).zip(network.parameters());
    let start = start.map(|(index, (name, value))| patterned(index, name, &value.size()));
    let mut state = network.state();
    state[0].1 = flat(start);
    network.restore(&state).unwrap();
    network
}

fn flat(tensors: impl Iterator<Item = Tensor>) -> Tensor {
    let flat = tensors.map(|tensor| tensor.to_kind(Kind::Float).reshape([-1]));
    Tensor::cat(&flat.collect::<Vec<_>>(), 0)
}

fn images() -> Tensor {
    let bytes: Vec<u8> = (0..9 * 16 * 16)
        .map(|place| ((place * 31 + place / 97) % 256) as u8)
        .collect();
    Tensor::from_slice(&bytes).view([9, 1, 16, 16])
}

fn diversity(case: &Value) -> Option<DiversityLoss> {
    let given = case["diversity"].as_object()?;
    let key = given["key"].as_str().unwrap();
    let settings: Diversity = serde_json::from_value(json!({ key: given["settings"] })).unwrap();
    let mut loss = DiversityLoss::new(&settings, &WIDTHS.map(i64::from), 1, Device::Cpu);
    if let Some(predictors) = loss.parameters_mut() {
        let shapes: Vec<Vec<i64>> = predictors.views().iter().map(Tensor::size).collect();
        let mut layers = (50..).zip(shapes);
        predictors.set_all(Kind::Float, |_| {
            let (index, shape) = layers.next().unwrap();
            patterned(index, "", &shape)
        });
    }
    Some(loss)
}

/// Trains for twenty steps and returns their losses.
fn trained(network: &mut Network, objective: &mut Objective, rate: f64) -> Vec<f64> {
    let settings = Sgd {
        lr: rate,
        momentum: 0.9,
        ..Sgd::default()
    };
    let optimizer = |of: &Tensor| FlatOptimizer::new(&settings.clone().into(), of);
    let mut of_network = optimizer(network.flat_parameters());
    let own = objective.flat_parameters().into_iter();
    let mut of_links: Vec<FlatOptimizer> = own.map(|own| optimizer(own)).collect();
    let mut losses = Vec::new();
    for step in 0..20 {
        let forward = network.forward_heads(&images(), true);
        let labels = Tensor::from_slice(&LABELS);
        let mut loss = objective.step(&forward.embeddings, &labels, step).value;
        if let Some(penalty) = objective.penalty(|| network.head_outputs(&forward.features)) {
            loss += penalty;
        }
        losses.push(loss.double_value(&[]));
        let (gradient, own) = objective.gradients(network, &loss);
        of_network.step(network.flat_parameters(), &gradient, 1.0);
        let all = objective.flat_parameters().into_iter().zip(&own);
        for ((parameters, gradient), optimizer) in all.zip(&mut of_links) {
            optimizer.step(parameters, gradient, 1.0);
        }
    }
    losses
}

fn assert_near(found: f64, expected: f64, tolerance: f64, what: &str) {
    let is_near = (found - expected).abs() < tolerance;
    assert!(is_near, "{what}: {found} {expected}");
}

#[test]
fn three_heads_are_trained_step_by_step_as_modules_of_pytorch_are() {
    let golden = golden(include_str!("testdata/three_heads.json"));
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    let [of_losses, of_weights] = TOLERANCE;
    for case in cases {
        let mut network = network();
        let mut objective = linked(case, &network.blocks());
        objective.links.diversity = diversity(case);
        let what = format!("{} {} {}", case["loss"], case["boost"], case["diversity"]);
        let losses = trained(&mut network, &mut objective, case["rate"].as_f64().unwrap());
        let expected = case["losses"].as_array().unwrap();
        assert_eq!(losses.len(), expected.len());
        for (found, expected) in losses.iter().zip(expected) {
            let expected = expected.as_f64().unwrap();
            assert_near(*found, expected, of_losses * expected.abs(), &what);
        }
        for (index, (name, value)) in (0..).zip(network.parameters()) {
            let start = patterned(index, name, &value.size());
            let change = value.detach().to_kind(Kind::Double) - start;
            let norm = case["norms"][name].as_f64().unwrap();
            let what = format!("{what} {name}");
            assert_near(change.norm().double_value(&[]), norm, of_weights, &what);
            let firsts = change.reshape([-1]);
            let expected = Vec::<f64>::try_from(tensor(&case["firsts"][name])).unwrap();
            for (place, expected) in (0..).zip(expected) {
                let found = firsts.double_value(&[place]);
                assert_near(found, expected, of_weights, &what);
            }
        }
    }
}
