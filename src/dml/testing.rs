//! Helpers of tests: golden values, written by `scripts/golden_*.py`, comparisons of tensors, and folders with files.

use std::{collections::BTreeMap, fs};

use schema::Script;
use serde_json::Value;
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

use crate::{
    random::{Draws, Purpose},
    script::Scripts,
};

/// Reads a golden file.
pub(crate) fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns nested lists of numbers as a tensor.
pub(crate) fn tensor(value: &Value) -> Tensor {
    let Value::Array(items) = value else {
        return Tensor::from(value.as_f64().unwrap());
    };
    Tensor::stack(&items.iter().map(tensor).collect::<Vec<_>>(), 0)
}

/// Returns a list of integers.
pub(crate) fn integers(value: &Value) -> Vec<i64> {
    serde_json::from_value(value.clone()).unwrap()
}

/// Returns a list of integers as a tensor.
pub(crate) fn labels(value: &Value) -> Tensor {
    Tensor::from_slice(&integers(value))
}

/// Returns `[n, d]` values, uniform between -1 and 1, in `f64`.
pub(crate) fn noise(seed: u64, n: i64, d: i64) -> Tensor {
    let mut draws = Draws::new(seed, Purpose::Weights, 0, 0);
    let numbers: Vec<f64> = (0..n * d).map(|_| draws.between(-1.0, 1.0)).collect();
    Tensor::from_slice(&numbers).view([n, d])
}

/// Returns the values of a matrix.
pub(crate) fn rows(matrix: &Tensor) -> Vec<Vec<f64>> {
    Vec::<Vec<f64>>::try_from(matrix.to_kind(Kind::Double)).unwrap()
}

/// Returns the gradient of `value` with respect to `input`.
pub(crate) fn gradient(value: &Tensor, input: &Tensor) -> Tensor {
    Tensor::run_backward(&[value], &[input], false, false).remove(0)
}

pub(crate) fn is_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) != 0
}

/// Returns the largest difference, relative to the largest expected value.
pub(crate) fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let found = found.detach().to(Device::Cpu).to_kind(Kind::Double);
    let expected = expected.to_kind(Kind::Double);
    let scale = expected.abs().max().double_value(&[]);
    (found - expected).abs().max().double_value(&[]) / if scale == 0.0 { 1.0 } else { scale }
}

/// Asserts that [`difference`] is within `tolerance`.
pub(crate) fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    let difference = difference(found, expected);
    assert!(
        difference <= tolerance,
        "{what}: differs by {difference:e}\nfound {found}\nexpected {expected}"
    );
}

/// Returns a module that `scripts/golden_scripts.py` wrote, with its default settings, and its file.
pub(crate) fn script(name: &str) -> (Script, Scripts) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/scripts");
    let content = fs::read(format!("{folder}/{name}.pt")).unwrap();
    let mut scripts = Scripts::default();
    let script = Script {
        file: scripts.add(content),
        settings: BTreeMap::new(),
    };
    (script, scripts)
}

/// Returns a folder with these files, given by their paths and contents.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}
