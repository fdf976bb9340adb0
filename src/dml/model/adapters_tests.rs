//! Low-rank adapters beside peft's, by `scripts/golden_adapters.py`.

use schema::Backbone;
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor, no_grad};

use super::{
    Network, NetworkConfig,
    golden::{filled, forward, parts_of, pattern, patterned, shortened, summary},
};
use crate::testing::{assert_close, golden, tensor};

/// A network with the weights and adapters of a case.
fn network(golden: &Value, case: &Value) -> Network {
    let (name, size) = (
        case["name"].as_str().unwrap(),
        case["size"].as_i64().unwrap(),
    );
    let backbone: Backbone = serde_json::from_value(json!({ name: {} })).unwrap();
    let weights = patterned(&backbone, size);
    let mut config = NetworkConfig::new(backbone, 3, size, None);
    config.model.normalize = false;
    config.model.lora = Some(schema::Lora {
        rank: golden["rank"].as_u64().unwrap() as u32,
        alpha: golden["alpha"].as_f64().unwrap(),
    });
    let mut network = Network::pretrained(config, &weights, 0, Device::Cpu).unwrap();
    let mut names: Vec<&str> = network.parameters().map(|(name, _)| name).collect();
    assert_eq!(names.len() as u64, case["adapters"].as_u64().unwrap());
    names.sort_unstable();
    let place = |name: &str| names.binary_search(&name).unwrap() as i64;
    let adapters = network.parameters();
    let adapters =
        adapters.map(|(name, adapter)| filled(name, &adapter.size(), place(name)).view([-1]));
    let adapters = Tensor::cat(&adapters.collect::<Vec<_>>(), 0);
    no_grad(|| network.flat_parameters().copy_(&adapters));
    network
}

#[test]
fn features_gradients_and_merged_weights_are_those_of_peft() {
    let golden = golden(include_str!("testdata/adapters.json"));
    let count = golden["images"].as_i64().unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let (name, size) = (
            case["name"].as_str().unwrap(),
            case["size"].as_i64().unwrap(),
        );
        let network = network(&golden, case);
        let images = pattern(count * 3 * size * size, 1).view([count, 3, size, size]);
        let images = network.laid_out(images.to_kind(Kind::Float));
        let features = forward(&network, &images, true);
        let expected = tensor(&case["features"]);
        assert_close(&shortened(&features), &expected, 1e-4, name);
        let merged = no_grad(|| forward(&network, &images, false));
        assert_close(
            &shortened(&merged),
            &expected,
            1e-4,
            &format!("{name}, merged"),
        );
        let weighted = &features * pattern(features.numel() as i64, 3).view_as(&features);
        let gradients = parts_of(&network, &network.gradient(&weighted.sum(None)));
        for (adapter, expected) in case["gradients"].as_object().unwrap() {
            let what = format!("gradient of {name} {adapter}");
            assert_close(
                &summary(&gradients[adapter]),
                &tensor(expected),
                1e-3,
                &what,
            );
        }
        let tensors = network.named_tensors();
        for (weight, expected) in case["merged"].as_object().unwrap() {
            let (_, found) = tensors.iter().find(|(name, _)| name == weight).unwrap();
            assert_close(
                &summary(found),
                &tensor(expected),
                1e-5,
                &format!("{name} {weight}"),
            );
        }
    }
}
