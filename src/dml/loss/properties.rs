//! What holds for every loss without parameters of its own.

use schema::Distance;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::{
    Loss, LossInput, build,
    tests::{self, INIT, named_miner},
};
use crate::{
    distance::normalize,
    memory::CrossBatchMemory,
    objective::{ConfiguredLoss, Objective},
    random::{Draws, Purpose},
    testing::{self, assert_close, golden, gradient, is_finite, noise, tensor},
    tuples::References,
};

const MINERS: [&str; 3] = ["none", "semi_hard", "multi_similarity"];

/// No miner, and every miner by name.
fn every_miner() -> Vec<String> {
    let all = schema::Miner::every().into_iter();
    let keys = all.map(|miner| miner.key().to_owned());
    std::iter::once("none".to_owned()).chain(keys).collect()
}

/// Every loss without parameters, with its default settings and some with extreme ones, by name.
fn every_loss() -> Vec<(String, Box<dyn Loss>)> {
    let defaults = schema::Loss::every()
        .into_iter()
        .map(|loss| (loss.key().to_owned(), loss));
    let extremes = EXTREMES.iter().map(|(key, word, settings)| {
        let settings: Value = serde_json::from_str(settings).unwrap();
        let loss = tests::settings(key, &settings);
        (format!("{key}, {word}"), loss)
    });
    defaults
        .chain(extremes)
        .filter(|(_, loss)| !loss.has_parameters())
        .map(|(name, loss)| (name, build(&loss, &INIT).unwrap()))
        .collect()
}

/// Extreme settings: key, a word for them, and the settings.
const EXTREMES: [(&str, &str, &str); 9] = [
    ("contrastive", "squared", r#"{ "power": 2.0 }"#),
    ("triplet", "swapped", r#"{ "swap": true, "smooth": true }"#),
    ("nca", "sharp", r#"{ "scale": 1e4 }"#),
    ("nca_dm", "few", r#"{ "k": 2 }"#),
    (
        "multi_similarity",
        "extreme",
        r#"{ "alpha": 0.001, "beta": 200.0 }"#,
    ),
    ("nt_xent", "cold", r#"{ "temperature": 1e-5 }"#),
    ("sup_con", "cold", r#"{ "temperature": 1e-5 }"#),
    ("angular", "wide", r#"{ "alpha": 89.0 }"#),
    ("smooth_ap", "others", r#"{ "itself": false }"#),
];

fn cost(
    loss: &dyn Loss,
    miner: &str,
    embeddings: &Tensor,
    labels: &Tensor,
    references: &References,
) -> Tensor {
    let mut draws = Draws::new(0, Purpose::Mining, 0, 0);
    let miner = named_miner(&Value::from(miner));
    let chosen = miner.map(|miner| miner.mine(embeddings, labels, references, None, &mut draws));
    let batch = LossInput {
        chosen: chosen.as_ref(),
        ..LossInput::with(embeddings, labels, references, loss)
    };
    batch.cost(loss, loss.reduction()).value
}

fn in_batch(loss: &dyn Loss, miner: &str, embeddings: &Tensor, labels: &Tensor) -> Tensor {
    cost(
        loss,
        miner,
        embeddings,
        labels,
        &References::batch(embeddings, labels),
    )
}

fn labels() -> Tensor {
    Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 0, 1, 3, 3, 0, 4])
}

fn order() -> Tensor {
    Tensor::from_slice(&[7i64, 2, 11, 0, 5, 9, 4, 1, 10, 3, 8, 6])
}

#[test]
fn the_order_of_the_batch_does_not_matter() {
    let embeddings = normalize(&noise(1, 12, 4));
    // The pair that an N-pair loss takes from a class is its first.
    for (name, loss) in every_loss().iter().filter(|(name, _)| name != "n_pair") {
        for miner in MINERS {
            let expected = in_batch(&**loss, miner, &embeddings, &labels());
            let [embeddings, labels] =
                [&embeddings, &labels()].map(|all| all.index_select(0, &order()));
            let found = in_batch(&**loss, miner, &embeddings, &labels);
            assert_close(&found, &expected, 1e-9, &format!("{name}, {miner}"));
        }
    }
}

#[test]
fn the_names_of_classes_do_not_matter() {
    let embeddings = normalize(&noise(1, 12, 4));
    let renamed = Tensor::from_slice(&[900i64, -3, 17, 4, 1 << 40]).index_select(0, &labels());
    for ((name, loss), miner) in every_loss()
        .iter()
        .flat_map(|loss| MINERS.map(|miner| (loss, miner)))
    {
        let expected = in_batch(&**loss, miner, &embeddings, &labels());
        // The N-pair loss takes classes in another order.
        assert_close(
            &in_batch(&**loss, miner, &embeddings, &renamed),
            &expected,
            1e-9,
            &format!("{name}, {miner}"),
        );
    }
}

#[test]
fn a_memory_that_holds_just_the_batch_costs_the_same_in_any_order() {
    let embeddings = normalize(&noise(1, 12, 4));
    let references = References::memory(
        embeddings.index_select(0, &order()),
        labels().index_select(0, &order()),
        order().argsort_stable(true, 0, false),
    );
    let all = every_loss();
    // An N-pair loss takes the first pair of a class; a histogram loss can tell only in a batch which pairs differ in
    // their order alone.
    let others = ["n_pair", "histogram"];
    let comparing = all.iter().filter(|(name, loss)| {
        loss.facts().references.is_images() && !others.contains(&name.as_str())
    });
    for (name, loss) in comparing {
        for miner in ["none", "semi_hard"] {
            // Without pairs, an anchor's weight is how often it was chosen; positives of a memory do not count.
            if miner != "none"
                && [
                    "nca",
                    "nca, sharp",
                    "fast_ap",
                    "smooth_ap",
                    "smooth_ap, others",
                ]
                .contains(&name.as_str())
            {
                continue;
            }
            let expected = in_batch(&**loss, miner, &embeddings, &labels());
            let found = cost(&**loss, miner, &embeddings, &labels(), &references);
            assert_close(&found, &expected, 1e-9, &format!("{name}, {miner}"));
        }
    }
}

#[test]
fn values_and_gradients_against_other_references_are_those_of_the_reference() {
    let golden = golden(include_str!("testdata/references.json"));
    let own = Tensor::full([10], -1, (Kind::Int64, Device::Cpu));
    let references = References::memory(
        normalize(&tensor(&golden["references"])),
        testing::labels(&golden["reference_labels"]),
        own,
    );
    for case in golden["cases"].as_array().unwrap() {
        let raw = tensor(&golden["embeddings"]).set_requires_grad(true);
        let (name, miner) = (
            case["loss"].as_str().unwrap(),
            case["miner"].as_str().unwrap(),
        );
        let loss = every_loss()
            .into_iter()
            .find(|(other, _)| other == name)
            .unwrap()
            .1;
        let labels = testing::labels(&golden["labels"]);
        let found = cost(&*loss, miner, &normalize(&raw), &labels, &references);
        assert_close(
            &found,
            &tensor(&case["value"]),
            1e-10,
            &format!("{name}, {miner}"),
        );
        assert_close(
            &gradient(&found, &raw),
            &tensor(&case["gradient"]),
            1e-10,
            &format!("{name}, {miner}"),
        );
    }
}

#[test]
fn gradients_are_those_of_small_differences() {
    let (raw, step) = (noise(7, 12, 3), 1e-6);
    // Some weights and margins are functions of the embeddings through which no gradient is meant to flow.
    let constant_parts = ["circle", "hierarchical_triplet"];
    let too_sharp = |name: &str| {
        ["cold", "sharp", "wide"]
            .iter()
            .any(|word| name.ends_with(word))
    };
    for (name, loss) in every_loss()
        .iter()
        .filter(|(name, _)| !constant_parts.contains(&name.as_str()) && !too_sharp(name))
    {
        let value = |raw: &Tensor| in_batch(&**loss, "none", &normalize(raw), &labels());
        let leaf = raw.copy().set_requires_grad(true);
        let found = gradient(&value(&leaf), &leaf);
        let differences: Vec<f64> = (0..36i64)
            .map(|index| {
                let change = Tensor::zeros([36], (Kind::Double, Device::Cpu)).index_fill(
                    0,
                    &Tensor::from(index),
                    step,
                );
                let change = change.view([12, 3]);
                (value(&(&raw + &change)) - value(&(&raw - &change))).double_value(&[])
                    / (2.0 * step)
            })
            .collect();
        assert_close(
            &found,
            &Tensor::from_slice(&differences).view([12, 3]),
            1e-5,
            name,
        );
    }
}

#[test]
fn batches_that_break_things_have_finite_costs_and_gradients() {
    let zero_row = Tensor::cat(
        &[
            noise(3, 7, 4),
            Tensor::zeros([1, 4], (Kind::Double, Device::Cpu)),
        ],
        0,
    );
    let batches: [(&str, Tensor, &[i64]); 10] = [
        ("one class only", noise(1, 6, 4), &[5; 6]),
        ("every class once", noise(2, 6, 4), &[0, 1, 2, 3, 4, 5]),
        ("a zero vector", zero_row, &[0, 0, 1, 1, 2, 2, 3, 3]),
        (
            "duplicates",
            noise(4, 4, 4).repeat([2, 1]),
            &[0, 1, 2, 3, 0, 1, 2, 3],
        ),
        (
            "duplicates across classes",
            noise(4, 4, 4).repeat([2, 1]),
            &[0, 0, 1, 1, 2, 2, 3, 3],
        ),
        (
            "all the same",
            noise(5, 1, 4).repeat([6, 1]),
            &[0, 0, 1, 1, 2, 2],
        ),
        ("a batch of one", noise(6, 1, 4), &[3]),
        ("tiny", noise(7, 6, 4) * 1e-20, &[0, 0, 1, 1, 2, 2]),
        ("huge", noise(8, 6, 4) * 1e20, &[0, 0, 1, 1, 2, 2]),
        (
            "odd labels",
            noise(9, 6, 4),
            &[1 << 40, -7, 3, 1 << 40, -7, 3],
        ),
    ];
    let miners = every_miner();
    for ((name, raw, labels), miner) in batches
        .iter()
        .flat_map(|batch| miners.iter().map(move |miner| (batch, miner)))
    {
        for (loss_name, loss) in every_loss() {
            let configured = ConfiguredLoss {
                miner: named_miner(&Value::from(miner.as_str())),
                ..ConfiguredLoss::of(loss)
            };
            let memory = Some(CrossBatchMemory::new(
                schema::Xbm::default(),
                10,
                4,
                Device::Cpu,
            ));
            let mut objective = Objective {
                memory,
                ..Objective::of(configured)
            };
            for step in 0..2 {
                let raw = raw.to_kind(Kind::Float).set_requires_grad(true);
                let found = objective.step(&normalize(&raw), &Tensor::from_slice(labels), step);
                let gradient = gradient(&found.value, &raw);
                assert!(
                    is_finite(&found.value) && is_finite(&gradient),
                    "{loss_name}, {miner}: {name}"
                );
                assert!(
                    !found.is_empty() || gradient.abs().max().double_value(&[]) == 0.0,
                    "{loss_name}, {miner}: {name}"
                );
            }
        }
    }
}

#[test]
fn embeddings_of_a_network_in_bfloat16_cost_nearly_what_they_are_worth() {
    let (raw, labels) = (
        noise(1, 24, 16),
        Tensor::from_slice(&[0i64, 1, 2, 3]).repeat([6]),
    );
    let rounded = raw.to_kind(Kind::BFloat16);
    let too_sharp = |name: &str| {
        ["cold", "sharp", "wide", "extreme"]
            .iter()
            .any(|word| name.ends_with(word))
    };
    for (name, loss) in every_loss() {
        let cost = |raw: &Tensor| {
            let raw = raw.to_kind(Kind::Float).set_requires_grad(true);
            let found = in_batch(&*loss, "none", &normalize(&raw), &labels);
            assert!(
                is_finite(&found) && is_finite(&gradient(&found, &raw)),
                "{name}"
            );
            found.detach().double_value(&[])
        };
        let (found, exact) = (cost(&rounded), cost(&raw));
        assert!(
            too_sharp(&name) || (found - exact).abs() < 0.02 * (1.0 + exact.abs()),
            "{name}: {found}, {exact}"
        );
    }
}

#[test]
fn two_large_classes_have_finite_costs_and_gradients() {
    let labels = Tensor::from_slice(&[[0i64; 64], [1; 64]].concat());
    for (name, loss) in every_loss() {
        let raw = noise(1, 128, 4)
            .to_kind(Kind::Float)
            .set_requires_grad(true);
        let found = in_batch(&*loss, "none", &normalize(&raw), &labels);
        assert!(
            is_finite(&found) && is_finite(&gradient(&found, &raw)),
            "{name}"
        );
    }
}

#[test]
fn every_distance_has_a_finite_cost_and_gradient() {
    let distances = [
        Distance::Euclidean,
        Distance::Cosine,
        Distance::SquaredEuclidean,
        Distance::SignalToNoise,
        Distance::DotProduct,
        Distance::Lp(1.0),
        Distance::Hyperbolic(schema::Hyperbolic::default()),
    ];
    for ((name, loss), distance) in every_loss()
        .iter()
        .flat_map(|loss| distances.map(|distance| (loss, distance)))
    {
        let raw = noise(1, 12, 4).to_kind(Kind::Float).set_requires_grad(true);
        let (embeddings, labels) = (&normalize(&raw), &labels());
        let references = &References::batch(embeddings, labels);
        let found = LossInput {
            distance,
            ..LossInput::with(embeddings, labels, references, &**loss)
        }
        .cost(&**loss, loss.reduction());
        assert!(
            is_finite(&found.value) && is_finite(&gradient(&found.value, &raw)),
            "{name}, {distance:?}"
        );
    }
}

#[test]
fn embeddings_that_are_not_numbers_make_no_zero_loss() {
    let embeddings = Tensor::full([12, 3], f64::NAN, (Kind::Double, Device::Cpu));
    for ((name, loss), miner) in every_loss()
        .iter()
        .flat_map(|loss| MINERS.map(|miner| (loss, miner)))
    {
        assert!(
            in_batch(&**loss, miner, &embeddings, &labels())
                .double_value(&[])
                .is_nan(),
            "{name}, {miner}"
        );
    }
}
