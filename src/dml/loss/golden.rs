//! Values and gradients of every loss, compared with those of the reference programs.
//!
//! `testdata/KEY.json` holds the cases of the loss `KEY`: `{ embeddings, labels, cases }`. Each case
//! has `settings`, `value`, `gradient` with respect to the raw embeddings, perhaps a `miner`, and
//! perhaps `raw` if embeddings are not normalized; for a loss with parameters also `parameters` and
//! `parameter_gradients` by name. `testdata/batch.json` holds more cases of a few losses, with and
//! without miners. `make golden` writes the files.

use std::{fs, path::Path};

use serde_json::Value;
use tch::{Kind, Tensor};

use super::{
    build,
    tests::{INIT, named_miner, settings, value},
};
use crate::{
    distance::normalize,
    parameters::Parameters,
    testing::{assert_close, golden, labels, tensor},
};

/// Losses whose sigmoids need more than single precision.
const LOOSE: [&str; 1] = ["smooth_ap"];

#[test]
fn values_and_gradients_are_those_of_the_reference_for_every_loss() {
    let batch = golden(include_str!("testdata/batch.json"));
    let cases = batch["cases"].as_array().unwrap();
    for loss in schema::Loss::every() {
        let key = loss.key();
        let own = read(key);
        if let Some(golden) = &own {
            let cases = golden["cases"].as_array().unwrap();
            assert!(
                cases.len() >= 3,
                "{key}: the defaults and two other settings"
            );
            agrees(key, golden, cases.iter());
        }
        let further: Vec<&Value> = cases.iter().filter(|case| case["loss"] == key).collect();
        assert!(
            own.is_some() || !further.is_empty(),
            "`{key}` has no golden file: write testdata/{key}.json"
        );
        agrees(key, &batch, further.into_iter());
    }
}

#[test]
fn an_image_may_be_left_out_of_its_own_average_precision() {
    let golden = read("smooth_ap_others").unwrap();
    agrees(
        "smooth_ap",
        &golden,
        golden["cases"].as_array().unwrap().iter(),
    );
}

#[test]
fn both_rules_by_which_clusters_take_medoids_are_those_of_the_reference() {
    let golden = read("clustering_rules").unwrap();
    let cases = golden["cases"].as_array().unwrap();
    let differ = |pair: &&[Value]| pair[0]["value"] != pair[1]["value"];
    assert!(
        cases.chunks(2).filter(differ).count() >= 3,
        "the rules are told apart"
    );
    agrees("clustering", &golden, cases.iter());
}

fn read(name: &str) -> Option<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("loss/testdata");
    let text = fs::read_to_string(folder.join(format!("{name}.json"))).ok()?;
    Some(golden(&text))
}

fn agrees<'c>(key: &str, golden: &Value, cases: impl Iterator<Item = &'c Value>) {
    let single = if LOOSE.contains(&key) { 5e-5 } else { 1e-5 };
    for case in cases {
        agrees_in(Kind::Double, 1e-10, key, golden, case);
        agrees_in(Kind::Float, single, key, golden, case);
    }
}

fn agrees_in(kind: Kind, tolerance: f64, key: &str, golden: &Value, case: &Value) {
    let raw = tensor(&golden["embeddings"])
        .to_kind(kind)
        .set_requires_grad(true);
    let mut loss = build(&settings(key, &case["settings"]), &INIT).unwrap();
    if let Some(parameters) = loss.parameters_mut() {
        parameters.set_all(kind, |name| tensor(&case["parameters"][name]));
    }
    let miner = case.get("miner").and_then(named_miner);
    let embeddings = if case.get("raw").is_some() {
        raw.shallow_clone()
    } else {
        normalize(&raw)
    };
    let labels = labels(&golden["labels"]);
    let found = value(&*loss, miner.as_deref(), &embeddings, &labels).value;
    let what = format!(
        "{key} {} {:?} {kind:?}",
        case["settings"],
        case.get("miner")
    );
    assert_close(&found, &tensor(&case["value"]), tolerance, &what);
    let named: Vec<(&str, &Tensor)> = loss
        .parameters()
        .into_iter()
        .flat_map(Parameters::named)
        .collect();
    let inputs: Vec<&Tensor> = named.iter().map(|(_, own)| *own).chain([&raw]).collect();
    let gradients = Tensor::run_backward(&[&found], &inputs, false, false);
    for ((name, _), gradient) in named.iter().zip(&gradients) {
        let expected = tensor(&case["parameter_gradients"][name]);
        assert_close(gradient, &expected, tolerance, &format!("{name} of {what}"));
    }
    let expected = tensor(&case["gradient"]);
    assert_close(&gradients[named.len()], &expected, tolerance, &what);
}
