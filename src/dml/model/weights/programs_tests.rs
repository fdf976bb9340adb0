//! Files with the names of other programs, by `scripts/golden_names.py`: the backbone is recognized, and its features are
//! those of the program.

use std::{fs::File, io::Write, path::Path};

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

/// The names and shapes of a network that is too large for its numbers.
fn outline(case: &Value) -> Vec<(String, Vec<i64>)> {
    let of_run = |run: &Value| {
        let (pattern, shape) = (run[0].as_str().unwrap().to_owned(), integers(&run[3]));
        let numbers = run[1].as_u64().unwrap()..=run[2].as_u64().unwrap();
        numbers.map(move |number| (pattern.replace('#', &number.to_string()), shape.clone()))
    };
    let runs = case["tensors"].as_array().unwrap().iter();
    runs.flat_map(of_run).collect()
}

/// Writes a file of tensors with these names and shapes, in half precision. Nothing is on the disk where their numbers
/// would be.
fn write_outline(tensors: &[(String, Vec<i64>)], path: &Path) {
    let mut end = 0;
    let mut header = serde_json::Map::new();
    for (name, shape) in tensors {
        let first = end;
        end += 2 * shape.iter().product::<i64>();
        let entry = json!({ "dtype": "F16", "shape": shape, "data_offsets": [first, end] });
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(&header).unwrap();
    let length = 8 + header.len() as u64 + end as u64;
    file.set_len(length).unwrap();
}

#[test]
fn larger_networks_with_the_names_of_other_programs_are_recognized() {
    let golden = golden(include_str!("testdata/outlines.json"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        write_outline(&outline(case), &file);
        let every = Backbone::pretrainable().flat_map(|backbone| backbone.forms());
        let backbone: Backbone = serde_json::from_value(json!({ name: case["settings"] })).unwrap();
        let found = recognized(&file, every).unwrap();
        assert!(
            found == [backbone],
            "{name} of {}: {found:?}",
            case["program"]
        );
    }
}
