//! Tests of backbones against references that lie beside the project, where it has them.

use std::path::PathBuf;

use tch::{Device, Kind, Tensor};

use super::*;
use crate::testing::assert_close;

/// A file of the folder with references and weights; none, and a word about it, where that is absent.
fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if !path.exists() {
        println!("skipped: there is no `{}`", path.display());
    }
    path.exists().then_some(path)
}

fn arrays(path: &str) -> Option<State> {
    Some(Tensor::read_npz(shared(path)?).unwrap())
}

fn array<'a>(state: &'a State, name: &str) -> &'a Tensor {
    &state.iter().find(|(candidate, _)| candidate == name).unwrap().1
}

fn weights(path: &str) -> Option<State> {
    Some(Tensor::read_safetensors(shared(path)?).unwrap())
}

/// The pooled features of images that are already as the backbone's input makes them.
fn features(backbone: Backbone, weights: &State, images: &Tensor) -> Tensor {
    let config = NetworkConfig { normalise: false, ..NetworkConfig::new(backbone, 3, images.size()[3], None) };
    let network = Network::pretrained(config, weights, 0, Device::Cpu).unwrap();
    let pass = network.pass(false);
    no_grad(|| network.embeddings(&pass, network.trunk.forward(&pass, &images.to_kind(Kind::Float))))
}

#[test]
fn bn_inception_gives_the_features_of_its_reference_with_and_without_padding_in_averages() {
    let Some(golden) = arrays("golden/backbones/bn_inception_random_io.npz") else { return };
    let weights = weights("golden/backbones/bn_inception_random.safetensors").unwrap();
    for (border, name) in [(BorderAverage::WithPadding, "cip1"), (BorderAverage::WithoutPadding, "cip0")] {
        let features = features(Backbone::BnInception(border), &weights, array(&golden, "input"));
        assert_close(&features, array(&golden, &format!("feat1024_{name}")), 1e-4, name);
        let classes = features.linear(array(&weights, "last_linear.weight"), Some(array(&weights, "last_linear.bias")));
        assert_close(&classes.softmax(1, None), array(&golden, &format!("softmax_{name}")), 1e-4, name);
    }
}

#[test]
fn resnet_50_gives_the_features_of_its_reference_with_the_stride_in_either_place() {
    let Some(weights) = weights("weights/resnet50_v1_pruned.safetensors") else { return };
    for (stride_on, name) in [(StrideOn::Conv1x1, "1x1"), (StrideOn::Conv3x3, "3x3")] {
        let golden = arrays(&format!("golden/backbones/resnet50_stride{name}.npz")).unwrap();
        let features = features(Backbone::ResNet(Depth::D50, stride_on), &weights, array(&golden, "input"));
        assert_close(&features, array(&golden, "feat"), 1e-4, name);
        let classes = features.linear(array(&weights, "fc.weight"), Some(array(&weights, "fc.bias")));
        assert_close(&classes, array(&golden, "logits"), 1e-4, name);
    }
}

#[test]
fn efficientnet_lite0_gives_the_features_of_its_reference() {
    let Some(golden) = arrays("golden/backbones/efficientnet_lite0.npz") else { return };
    let weights = weights("weights/efficientnet_lite0.safetensors").unwrap();
    let features = features(Backbone::EfficientNetLite0, &weights, array(&golden, "input"));
    assert_close(&features, array(&golden, "feat"), 1e-4, "features");
    let classes = features.linear(array(&weights, "_fc.weight"), Some(array(&weights, "_fc.bias")));
    assert_close(&classes, array(&golden, "logits"), 1e-4, "classes");
}

#[test]
fn squeezenet_gives_the_features_of_its_reference() {
    let Some(golden) = arrays("golden/backbones/squeezenet1_1.npz") else { return };
    let weights = weights("weights/squeezenet1_1.safetensors").unwrap();
    let features = features(Backbone::SqueezeNet, &weights, array(&golden, "input"));
    assert_close(&features, array(&golden, "feat"), 1e-4, "features");
}
