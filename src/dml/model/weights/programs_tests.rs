//! Files with the names of other programs, by `scripts/golden_names.py`: the backbone is recognized, and its features are
//! those of the program.

use schema::{Backbone, Dinov3S16};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::{check, read, recognized};
use crate::{
    model::golden::{features, filled, pattern, shortened},
    state::State,
    testing::{assert_close, golden, integers, tensor},
};

/// The tensors of a program, in half the precision, with what it wraps them in.
fn tensors(case: &Value) -> State {
    let zeros: Vec<&str> = case["zeros"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    let named = case["tensors"].as_object().unwrap().iter();
    let tensor = |(index, (name, shape)): (i64, (&String, &Value))| {
        let numbers = filled(name, &integers(shape), index);
        let numbers = if zeros.contains(&name.as_str()) {
            numbers.zeros_like()
        } else {
            numbers
        };
        (format!("state_dict.{name}"), numbers)
    };
    // Sorted by name, as in the script.
    (0..).zip(named).map(tensor).collect()
}

#[test]
fn weights_with_the_names_of_other_programs_are_recognized_and_give_their_features() {
    let golden = golden(include_str!("testdata/programs.json"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let what = format!("{name} of {}", case["program"]);
        Tensor::write_safetensors(&tensors(case), &file).unwrap();
        let every = Backbone::pretrainable().flat_map(|backbone| backbone.forms());
        let backbone: Backbone = serde_json::from_value(json!({ name: case["settings"] })).unwrap();
        let found = recognized(&file, every).unwrap();
        assert!(
            found == std::slice::from_ref(&backbone),
            "{what}: {found:?}"
        );
        let read = read(&file, &backbone, None).unwrap();
        check(&backbone, &read.tensors, &read.others)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!read.is_verbatim);
        let size = case["size"].as_i64().unwrap();
        let images = pattern(4 * 3 * size * size, 1).view([4, 3, size, size]);
        let found = features(backbone, &read.tensors, &images.to_kind(Kind::Float));
        assert_close(&shortened(&found), &tensor(&case["features"]), 1e-4, &what);
    }
}

#[test]
fn a_bias_that_should_be_zero_and_is_not_is_no_part_of_a_backbone() {
    let golden = golden(include_str!("testdata/programs.json"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    let cases = golden["cases"].as_array().unwrap().iter();
    for case in cases.filter(|case| case["name"] == "dinov3_s16") {
        let mut tensors = tensors(case);
        let zero = case["zeros"][0].as_str().unwrap();
        let wrapped = format!("state_dict.{zero}");
        let (_, bias) = tensors
            .iter_mut()
            .find(|(name, _)| *name == wrapped)
            .unwrap();
        *bias = bias.ones_like();
        Tensor::write_safetensors(&tensors, &file).unwrap();
        let backbone = Backbone::Dinov3S16(Dinov3S16::default());
        let read = read(&file, &backbone, None).unwrap();
        let mismatch = check(&backbone, &read.tensors, &read.others).unwrap_err();
        assert_eq!(mismatch.surplus, [zero]);
    }
}
