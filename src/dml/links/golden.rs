//! Losses of linked heads and penalties on them, compared with references written as loops.
//!
//! `testdata/heads.json` holds features, the last layers of three heads, and cases: a value, and its gradients with
//! respect to all of these. `make golden` writes it.

use schema::{Boost, Cascade, Diversity};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::{DiversityLoss, HeadOutput, Links};
use crate::{
    blocks::Block,
    distance::normalize,
    loss::tests::named_loss,
    objective::{ConfiguredLoss, Objective},
    testing::{assert_close, golden, labels, tensor},
};

fn heads() -> Value {
    golden(include_str!("testdata/heads.json"))
}

fn list(value: &Value) -> Vec<Tensor> {
    value.as_array().unwrap().iter().map(tensor).collect()
}

fn leaves(value: &Value) -> Vec<Tensor> {
    let leaf = |tensor: Tensor| tensor.set_requires_grad(true);
    list(value).into_iter().map(leaf).collect()
}

/// Blocks with unequal factors, which losses undo.
fn blocks(weights: &[Tensor]) -> Vec<Block> {
    let mut start = 0;
    let block = |(head, matrix): (usize, &Tensor)| {
        let width = matrix.size()[0];
        start += width;
        Block {
            head,
            start: start - width,
            width,
            factor: 0.2 + 0.3 * head as f64,
        }
    };
    weights.iter().enumerate().map(block).collect()
}

fn boost(case: &Value) -> Option<Boost> {
    let mut settings = case["boost"].as_object()?.clone();
    let rule = settings.remove("rule").unwrap();
    let text = match settings.is_empty() {
        true => rule,
        false => json!({ rule.as_str().unwrap(): settings }),
    };
    Some(serde_json::from_value(text).unwrap())
}

fn cascade(case: &Value) -> Option<Cascade> {
    serde_json::from_value(case["cascade"].clone()).unwrap()
}

/// Returns the loss of a case on each head, with its links but for a penalty.
pub(crate) fn linked(case: &Value, blocks: &[Block]) -> Objective {
    let loss = |block: &Block| ConfiguredLoss {
        block: Some(*block),
        ..ConfiguredLoss::of(named_loss(case))
    };
    Objective {
        links: Links {
            boost: boost(case),
            cascade: cascade(case),
            diversity: None,
        },
        ..Objective::sum(blocks.iter().map(loss).collect())
    }
}

#[test]
fn losses_of_linked_heads_are_those_of_the_loops() {
    let golden = heads();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4 * (3 + 3 + 1 + 1));
    for case in cases {
        let features = tensor(&golden["features"]).set_requires_grad(true);
        let weights = leaves(&golden["weights"]);
        let biases = list(&golden["biases"]);
        let blocks = blocks(&weights);
        let parts = blocks.iter().map(|block| {
            let (weights, bias) = (&weights[block.head], &biases[block.head]);
            normalize(&features.linear(weights, Some(bias))) * block.factor
        });
        let embeddings = Tensor::cat(&parts.collect::<Vec<_>>(), 1);
        let found = linked(case, &blocks)
            .step(&embeddings, &labels(&golden["labels"]), 0)
            .value;
        let what = format!("{} {} {}", case["loss"], case["boost"], case["cascade"]);
        assert_close(&found, &tensor(&case["value"]), 1e-10, &what);
        let inputs: Vec<&Tensor> = [&features].into_iter().chain(&weights).collect();
        let gradients = Tensor::run_backward(&[found], &inputs, false, false);
        assert_close(&gradients[0], &tensor(&case["of_features"]), 1e-10, &what);
        for (gradient, expected) in gradients[1..].iter().zip(list(&case["of_weights"])) {
            assert_close(gradient, &expected, 1e-10, &what);
        }
    }
}

#[test]
fn penalties_on_heads_are_those_of_the_loops() {
    let golden = heads();
    let cases = golden["penalties"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let features = tensor(&golden["features"]).set_requires_grad(true);
        let weights = leaves(&golden["weights"]);
        let widths: Vec<i64> = weights.iter().map(|matrix| matrix.size()[0]).collect();
        let key = case["diversity"].as_str().unwrap();
        let settings: Diversity = serde_json::from_value(json!({ key: case["settings"] })).unwrap();
        let mut loss = DiversityLoss::new(&settings, &widths, 1, tch::Device::Cpu);
        let given = list(&golden["predictors"]);
        if let Some(predictors) = loss.parameters_mut() {
            let mut layers = given.into_iter();
            predictors.set_all(Kind::Double, |_| layers.next().unwrap());
        }
        let output = |weights: &Tensor| HeadOutput {
            projected: features.detach().linear(weights, None::<Tensor>),
            weights: weights.shallow_clone(),
        };
        let found = loss.cost(&weights.iter().map(output).collect::<Vec<_>>());
        let what = format!("{key} {}", case["settings"]);
        assert_close(&found, &tensor(&case["value"]), 1e-10, &what);
        let mut inputs: Vec<&Tensor> = weights.iter().collect();
        inputs.extend(
            loss.parameters()
                .iter()
                .flat_map(|predictors| predictors.views()),
        );
        let gradients = Tensor::run_backward(&[found], &inputs, false, false);
        let of_predictors = case.get("of_predictors").map(list).unwrap_or_default();
        let expected = list(&case["of_weights"]).into_iter().chain(of_predictors);
        let mut compared = 0;
        for (gradient, expected) in gradients.iter().zip(expected) {
            assert_close(gradient, &expected, 1e-10, &what);
            compared += 1;
        }
        assert_eq!(compared, inputs.len());
    }
}
