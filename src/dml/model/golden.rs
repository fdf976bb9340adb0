//! Tests of backbones: against references that lie beside the project, where it has them, and against torchvision and
//! timm; and of what is frozen and loaded.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use schema::{Backbone, BnInception, Resnet50, StrideOn};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::{trunk::TrunkInput, *};
use crate::{
    parameters::ParamSpec,
    state::State,
    testing::{assert_close, tensor},
};

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
    &state
        .iter()
        .find(|(candidate, _)| candidate == name)
        .unwrap()
        .1
}

fn weights(path: &str) -> Option<State> {
    Some(Tensor::read_safetensors(shared(path)?).unwrap())
}

/// The pooled features of images that are already as the backbone's input makes them.
pub(super) fn features(backbone: Backbone, weights: &State, images: &Tensor) -> Tensor {
    let mut config = NetworkConfig::new(backbone, 3, images.size()[3], None);
    config.model.normalize = false;
    let network = Network::pretrained(config, weights, 0, Device::Cpu).unwrap();
    let context = network.context(false);
    let seen = network.laid_out(images.to_kind(Kind::Float));
    no_grad(|| {
        network
            .embeddings(&context, None, &network.maps(&context, &seen))
            .embeddings
    })
}

#[test]
fn bn_inception_gives_the_features_of_its_reference_with_and_without_padding_in_averages() {
    let Some(golden) = arrays("golden/backbones/bn_inception_random_io.npz") else {
        return;
    };
    let weights = weights("golden/backbones/bn_inception_random.safetensors").unwrap();
    for (count_padding, name) in [(true, "cip1"), (false, "cip0")] {
        let backbone = Backbone::BnInception(BnInception {
            count_padding,
            ..BnInception::default()
        });
        let features = features(backbone, &weights, array(&golden, "input"));
        assert_close(
            &features,
            array(&golden, &format!("feat1024_{name}")),
            1e-4,
            name,
        );
        let classes = features.linear(
            array(&weights, "last_linear.weight"),
            Some(array(&weights, "last_linear.bias")),
        );
        assert_close(
            &classes.softmax(1, None),
            array(&golden, &format!("softmax_{name}")),
            1e-4,
            name,
        );
    }
}

#[test]
fn resnet_50_gives_the_features_of_its_reference_with_the_stride_in_either_place() {
    let Some(weights) = weights("weights/resnet50_v1_pruned.safetensors") else {
        return;
    };
    for (stride_on, name) in [(StrideOn::Conv1x1, "1x1"), (StrideOn::Conv3x3, "3x3")] {
        let golden = arrays(&format!("golden/backbones/resnet50_stride{name}.npz")).unwrap();
        let backbone = Backbone::Resnet50(Resnet50 {
            stride_on,
            ..Resnet50::default()
        });
        let features = features(backbone, &weights, array(&golden, "input"));
        assert_close(&features, array(&golden, "feat"), 1e-4, name);
        let classes = features.linear(
            array(&weights, "fc.weight"),
            Some(array(&weights, "fc.bias")),
        );
        assert_close(&classes, array(&golden, "logits"), 1e-4, name);
    }
}

#[test]
fn efficientnet_lite0_gives_the_features_of_its_reference() {
    let Some(golden) = arrays("golden/backbones/efficientnet_lite0.npz") else {
        return;
    };
    let weights = weights("weights/efficientnet_lite0.safetensors").unwrap();
    let features = features(
        named("efficientnet_lite0"),
        &weights,
        array(&golden, "input"),
    );
    assert_close(&features, array(&golden, "feat"), 1e-4, "features");
    let classes = features.linear(
        array(&weights, "_fc.weight"),
        Some(array(&weights, "_fc.bias")),
    );
    assert_close(&classes, array(&golden, "logits"), 1e-4, "classes");
}

#[test]
fn squeezenet_gives_the_features_of_its_reference() {
    let Some(golden) = arrays("golden/backbones/squeezenet1_1.npz") else {
        return;
    };
    let weights = weights("weights/squeezenet1_1.safetensors").unwrap();
    let features = features(named("squeezenet"), &weights, array(&golden, "input"));
    assert_close(&features, array(&golden, "feat"), 1e-4, "features");
}

/// The formula of the same name in `scripts/golden_backbones.py`, whose numbers repeat.
pub(super) fn pattern(count: i64, index: i64) -> Tensor {
    let numbers: Vec<f64> = (0..2003)
        .map(|place| ((place * 7919 + index * 104_729) % 2003 - 1001) as f64 / 1001.0)
        .collect();
    let repeated = Tensor::from_slice(&numbers).repeat([count / 2003 + 1]);
    repeated.narrow(0, 0, count)
}

/// Weights for all tensors of a backbone, by the formula of `fill` in `scripts/golden_backbones.py`.
pub(super) fn patterned(backbone: &Backbone, size: i64) -> State {
    let mut builder = ParamBuilder::default();
    let input = TrunkInput {
        channels: 3,
        image_size: size,
        module: None,
    };
    let _ = backbone.trunk(&mut builder, input);
    let mut slots: Vec<&ParamSpec> = builder
        .parameters
        .iter()
        .chain(&builder.statistics)
        .collect();
    slots.sort_by_key(|slot| slot.name());
    let numbers = |(index, slot): (i64, &ParamSpec)| {
        let (name, shape) = (slot.name(), slot.shape());
        (name.to_owned(), filled(name, shape, index))
    };
    (0..).zip(slots).map(numbers).collect()
}

/// The numbers of a tensor at this place among the sorted names.
pub(super) fn filled(name: &str, shape: &[i64], index: i64) -> Tensor {
    let count: i64 = shape.iter().product();
    let numbers = pattern(count, index).view(shape);
    let numbers = if name.ends_with("running_var") {
        numbers * 0.5 + 1.0
    } else if shape.len() > 1 {
        numbers * (3.0 / (count / shape[0]) as f64).sqrt()
    } else if name.ends_with(".weight") {
        numbers * 0.2 + 0.6
    } else {
        numbers * 0.1
    };
    numbers.to_kind(Kind::Float)
}

fn named(key: &str) -> Backbone {
    let mut every = Backbone::every().into_iter();
    every.find(|backbone| backbone.key() == key).unwrap()
}

/// Every 17th number.
pub(super) fn shortened(tensor: &Tensor) -> Tensor {
    tensor.flatten(0, -1).slice(0, 0, None, 17)
}

/// The features of images that are already as the backbone's input makes them, in the layout that they have.
pub(super) fn forward(network: &Network, images: &Tensor, train: bool) -> Tensor {
    let context = network.context(train);
    network
        .embeddings(&context, None, &network.maps(&context, images))
        .embeddings
}

/// The parts of a flat gradient, by the names of parameters, with the numbers of kernels in the order of PyTorch.
pub(super) fn parts_of(network: &Network, gradient: &Tensor) -> BTreeMap<String, Tensor> {
    let mut first = 0;
    let part = |(name, like): (&str, &Tensor)| {
        let count = like.numel() as i64;
        let part = gradient.narrow(0, first, count);
        first += count;
        // The numbers of a kernel may lie with their channels side by side.
        let part = match like.is_contiguous() {
            true => part,
            false => part
                .view_as(&like.permute([0, 2, 3, 1]))
                .permute([0, 3, 1, 2])
                .reshape([-1]),
        };
        (name.to_owned(), part)
    };
    network.parameters().map(part).collect()
}

/// The length of a tensor, and its first three numbers.
pub(super) fn summary(tensor: &Tensor) -> Tensor {
    let numbers = tensor.to_kind(Kind::Double).reshape([-1]);
    Tensor::cat(&[numbers.norm().view([1]), numbers.narrow(0, 0, 3)], 0)
}

/// Values of torchvision or timm: features and gradients of four images, with weights by the formula of `fill`.
struct Case<'a> {
    backbone: Backbone,
    weights: State,
    size: i64,
    golden: &'a Value,
}

impl Case<'_> {
    /// Returns the cases of these golden values whose backbone is one of those that are meant.
    fn of(golden: &Value, is_meant: fn(&Backbone) -> bool) -> impl Iterator<Item = Case<'_>> {
        let read = |case: &Value| {
            let name = case["name"].as_str().unwrap();
            serde_json::from_value(json!({ name: case["settings"] })).unwrap()
        };
        let cases = golden["cases"].as_array().unwrap().iter();
        let cases = cases.map(move |case| (read(case), case));
        let meant = cases.filter(move |(backbone, _)| is_meant(backbone));
        meant.map(|(backbone, golden)| {
            let size = golden["size"].as_i64().unwrap();
            Case {
                weights: patterned(&backbone, size),
                backbone,
                size,
                golden,
            }
        })
    }

    fn network(&self, precision: Precision) -> Network {
        let mut config = NetworkConfig::new(self.backbone.clone(), 3, self.size, None);
        config.model.normalize = false;
        config.model.precision = precision;
        Network::pretrained(config, &self.weights, 0, Device::Cpu).unwrap()
    }

    fn images(&self) -> Tensor {
        pattern(4 * 3 * self.size * self.size, 1)
            .view([4, 3, self.size, self.size])
            .to_kind(Kind::Float)
    }
}

#[test]
fn features_and_gradients_are_those_of_torchvision_and_timm() {
    let golden = crate::testing::golden(include_str!("testdata/backbones.json"));
    for case in Case::of(&golden, |_| true) {
        let name = case.backbone.key();
        assert_eq!(
            case.weights.len() as u64,
            case.golden["tensors"].as_u64().unwrap(),
            "{name}"
        );
        let (network, images) = (case.network(Precision::F32), case.images());
        let features = forward(&network, &network.laid_out(images.shallow_clone()), false);
        assert_close(
            &shortened(&features),
            &tensor(&case.golden["features"]),
            1e-4,
            name,
        );
        let gradient = network.gradient(
            &(&features * pattern(features.numel() as i64, 3).view_as(&features)).sum(None),
        );
        let parts = parts_of(&network, &gradient);
        for (parameter, expected) in case.golden["gradients"].as_object().unwrap() {
            assert_close(
                &summary(&parts[parameter]),
                &tensor(expected),
                1e-3,
                &format!("gradient of {name} {parameter}"),
            );
        }
        if !case.golden["train"].is_null() {
            // With four numbers in a channel, batch norms magnify rounding a thousand times: sums in the same order.
            let features = no_grad(|| forward(&network, &images, true));
            assert_close(
                &shortened(&features),
                &tensor(&case.golden["train"]),
                2e-3,
                &format!("{name} in training"),
            );
        }
    }
}

/// Thousands of parameters of the largest networks that tests compute in bfloat16. Larger ones have the layers of smaller ones.
const MOST_PARAMETERS: u32 = 100_000;

/// The least cosine of features in bfloat16 with those of the reference in single precision.
const LEAST_COSINE: f64 = 0.9999;

/// Backbones that stay below it with these weights, and what they reach: tokens are rounded between blocks, too. Under
/// PyTorch's autocast, which does not round those, timm reaches 0.99989.
const BELOW: [(&str, f64); 1] = [("dinov3_b16", 0.999)];

#[test]
fn features_in_bfloat16_have_nearly_the_direction_of_those_of_torchvision_and_timm() {
    let golden = crate::testing::golden(include_str!("testdata/backbones.json"));
    let is_small = |backbone: &Backbone| backbone.part().footprint().parameters <= MOST_PARAMETERS;
    for case in Case::of(&golden, is_small) {
        let name = case.backbone.key();
        let network = case.network(Precision::Bf16);
        let images = network.laid_out(case.images());
        let features = shortened(&no_grad(|| forward(&network, &images, false)));
        let expected = tensor(&case.golden["features"]).to_kind(Kind::Float);
        let cosine = features.dot(&expected) / (features.norm() * expected.norm());
        let cosine = cosine.double_value(&[]);
        let below = BELOW.iter().find(|(below, _)| *below == name);
        let least = below.map_or(LEAST_COSINE, |(_, least)| *least);
        assert!(cosine >= least, "{name}: {cosine}");
    }
}

/// What a backbone has instead of values of torchvision or timm.
enum Instead {
    /// A test against a file of the folder with references and weights.
    Reference(fn()),
    /// Values that the tests of its own file read.
    Values(&'static str),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

const INSTEAD: [(&str, Instead); 6] = [
    (
        "conv4",
        Instead::Values(include_str!("testdata/conv4.json")),
    ),
    ("pixels", Instead::Nothing("it has no layers")),
    (
        "dinov2_g14",
        Instead::Values(include_str!("testdata/dinov2_giant.json")),
    ),
    (
        "bn_inception",
        Instead::Reference(
            bn_inception_gives_the_features_of_its_reference_with_and_without_padding_in_averages,
        ),
    ),
    (
        "efficientnet_lite0",
        Instead::Reference(efficientnet_lite0_gives_the_features_of_its_reference),
    ),
    (
        "torchscript",
        Instead::Nothing("its layers are in the user's file"),
    ),
];

#[test]
fn every_backbone_has_golden_values_or_a_reason_for_their_absence() {
    let golden = crate::testing::golden(include_str!("testdata/backbones.json"));
    let cases = golden["cases"].as_array().unwrap();
    for backbone in Backbone::every() {
        let key = backbone.key();
        if cases.iter().any(|case| case["name"] == key) {
            continue;
        }
        let instead = INSTEAD.iter().find(|(candidate, _)| *candidate == key);
        let (_, instead) = instead.unwrap_or_else(|| {
            panic!("`{key}` has no golden values: add it to scripts/golden_backbones.py")
        });
        match instead {
            Instead::Reference(test) => test(),
            Instead::Values(text) => {
                let values = crate::testing::golden(text);
                assert!(!values["cases"].as_array().unwrap().is_empty(), "{key}");
            }
            Instead::Nothing(reason) => assert!(!reason.is_empty(), "{key}"),
        }
    }
}

#[test]
fn position_embeddings_are_resampled_as_timm_does() {
    let golden = crate::testing::golden(include_str!("testdata/backbones.json"));
    let positions = |name: &str| tensor(&golden["positions"][name]).to_kind(Kind::Float);
    for (name, count) in [("smaller", 10), ("larger", 37)] {
        assert_close(
            &vit::resampled(&positions("had"), count),
            &positions(name),
            1e-5,
            name,
        );
    }
    assert!(vit::resampled(&positions("had"), 17) == positions("had"));
}

#[test]
fn in_bfloat16_a_trunk_computes_nearly_the_same_and_its_own_numbers_stay_single() {
    let backbones = [
        "resnet18",
        "mobilenet_v2",
        "vit_s16",
        "dinov3_s16",
        "clip_b32",
        "siglip_b16",
        "convnext_t",
        "swin_t",
    ];
    for name in backbones {
        let weights = patterned(&named(name), 32);
        let network = |precision| {
            let mut config = NetworkConfig::new(named(name), 3, 32, Some(4));
            config.model.precision = precision;
            config.model.batch_norm = BatchNorm::FrozenStatistics;
            Network::pretrained(config, &weights, 0, Device::Cpu).unwrap()
        };
        let (single, rounded) = (network(Precision::F32), network(Precision::Bf16));
        let of = |network: &Network| {
            let embeddings = network.forward(&bytes(6, 32), true);
            let gradient =
                network.gradient(&(&embeddings * pattern(24, 4).view([6, 4])).sum(Kind::Float));
            (embeddings.detach(), gradient)
        };
        let ((expected, wanted), (found, gradient)) = (of(&single), of(&rounded));
        assert!(
            [&found, &gradient, &rounded.state()[0].1]
                .iter()
                .all(|tensor| tensor.kind() == Kind::Float),
            "{name}"
        );
        assert!(found != expected, "{name}");
        let similarity = (&found * &expected)
            .sum_dim_intlist(1, false, Kind::Float)
            .min()
            .double_value(&[]);
        assert!(similarity > 0.99, "{name}: {similarity}");
        let cosine = gradient.dot(&wanted) / (gradient.norm() * wanted.norm());
        assert!(cosine.double_value(&[]) > 0.9, "{name}: {cosine:?}");
    }
}

/// A small network with everything that batch norms can be, and weights that are not those of a start.
fn small(batch_norm: BatchNorm, freeze: &[&str]) -> Network {
    let backbone = named("resnet18");
    let weights = patterned(&backbone, 32);
    let mut config = NetworkConfig::new(backbone, 3, 32, Some(4));
    config.model.batch_norm = batch_norm;
    config.model.freeze = freeze.iter().map(|&name| name.to_owned()).collect();
    Network::pretrained(config, &weights, 0, Device::Cpu).unwrap()
}

pub(super) fn bytes(count: i64, size: i64) -> Tensor {
    ((pattern(count * 3 * size * size, 2) + 1.0) * 127.5)
        .to_kind(Kind::Uint8)
        .view([count, 3, size, size])
}

#[test]
fn a_norm_folded_into_its_convolution_has_the_value_and_the_gradients_of_the_two_of_them() {
    use layers::{Adapters, ConvNorm, Shape};
    let mut builder = ParamBuilder::default();
    let layer = ConvNorm::new(
        &mut builder,
        "conv",
        "norm",
        Shape::new(3, 5, 3).stride(2).biased(),
    );
    let leaf = |slot: &ParamSpec, index| (pattern(slot.len(), index) + 1.5).view(slot.shape());
    let parameters: Vec<Tensor> = (0..)
        .zip(&builder.parameters)
        .map(|(index, slot)| leaf(slot, index).set_requires_grad(true))
        .collect();
    let statistics: Vec<Tensor> = (7..)
        .zip(&builder.statistics)
        .map(|(index, slot)| leaf(slot, index))
        .collect();
    let map = pattern(2 * 3 * 8 * 8, 9).view([2, 3, 8, 8]);
    let frozen = [false; 4];
    let context = ForwardContext {
        folds_norms: true,
        mixes_precisions: false,
        keeps_attention: false,
        parameters: &parameters,
        statistics: &statistics,
        frozen: &frozen,
        batch_statistics: false,
        dtype: Kind::Double,
        adapters: Adapters::Ignored,
        stochastic_depth: None,
        lasting: None,
    };
    let folded = layer.forward(&context, &map);
    let [weight, bias, scale, shift] = &parameters[..] else {
        panic!("four parameters")
    };
    let convolved = map.conv2d(weight, Some(bias), 2, 1, 1, 1);
    let unfolded = convolved.batch_norm(
        Some(scale),
        Some(shift),
        Some(&statistics[0]),
        Some(&statistics[1]),
        false,
        0.1,
        1e-5,
        false,
    );
    assert_close(&folded, &unfolded, 1e-12, "value");
    let gradients = |value: &Tensor| {
        let weights = pattern(value.numel() as i64, 4).view_as(value);
        Tensor::run_backward(&[(value * weights).sum(None)], &parameters, false, false)
    };
    for (found, expected) in gradients(&folded).iter().zip(gradients(&unfolded)) {
        assert_close(found, &expected, 1e-11, "gradient");
    }
}

#[test]
fn frozen_norms_give_the_same_in_training_and_keep_their_statistics() {
    for batch_norm in [BatchNorm::FrozenStatistics, BatchNorm::Frozen] {
        let network = small(batch_norm, &[]);
        let before = network.state().remove(1).1;
        let trained = network.forward(&bytes(3, 32), true);
        assert!(trained == network.forward(&bytes(3, 32), false));
        assert!(network.state().remove(1).1 == before);
    }
}

#[test]
fn what_is_frozen_is_no_part_of_the_trainable_numbers_and_of_the_gradient() {
    let names = |network: &Network| {
        network
            .parameters()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    let count = |mut network: Network| network.flat_parameters().numel();
    let norms = 4800 * 2;
    assert_eq!(
        count(small(BatchNorm::Train, &[])) - count(small(BatchNorm::Frozen, &[])),
        norms
    );
    let network = small(BatchNorm::Train, &["conv1", "bn1", "layer1"]);
    assert!(
        names(&network)
            .iter()
            .all(|name| name.starts_with("layer2") || !name.starts_with("layer1"))
    );
    assert_eq!(names(&network)[0], "layer2.0.conv1.weight");
    let gradient = network.gradient(&network.forward(&bytes(3, 32), true).get(0).sum(None));
    assert_eq!(
        gradient.size(),
        small(BatchNorm::Train, &["conv1", "bn1", "layer1"])
            .flat_parameters()
            .size()
    );
    let whole = small(BatchNorm::Train, &[]);
    let state = network.state();
    assert_eq!(state.len(), 3);
    let mut again = small(BatchNorm::Train, &["conv1", "bn1", "layer1"]);
    again.restore(&state).unwrap();
    assert!(again.forward(&bytes(2, 32), false) == network.forward(&bytes(2, 32), false));
    assert_eq!(whole.state().len(), 2);
}

#[test]
fn a_layer_that_is_not_there_cannot_be_frozen() {
    let mut config = NetworkConfig::new(named("resnet18"), 3, 32, None);
    config.model.freeze = vec!["layer".to_owned()];
    let error = Network::new(config, 0, Device::Cpu).unwrap_err();
    let known = ["bn1", "conv1", "layer1", "layer2", "layer3", "layer4"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(
        error,
        ModelError::NoSuchLayer {
            name: "layer".to_owned(),
            known
        }
    );
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let backbone = named("resnet18");
    let refused = |change: &dyn Fn(&mut State)| {
        let mut weights = patterned(&backbone, 32);
        change(&mut weights);
        weights::check(&backbone, &weights, &[]).unwrap_err()
    };
    let place = |weights: &State, name: &str| {
        weights
            .iter()
            .position(|(candidate, _)| candidate == name)
            .unwrap()
    };
    let missing =
        refused(&|weights| drop(weights.remove(place(weights, "layer1.0.bn2.running_var"))));
    assert_eq!(missing.missing, ["layer1.0.bn2.running_var"]);
    assert_eq!(
        missing.to_string(),
        "the weights do not fit; missing: `layer1.0.bn2.running_var`"
    );
    let surplus = refused(&|weights| weights.push(("layer9.weight".to_owned(), pattern(1, 0))));
    assert_eq!(surplus.surplus, ["layer9.weight"]);
    let shape = refused(&|weights| {
        let place = place(weights, "bn1.weight");
        weights[place].1 = weights[place].1.view([1, 64]);
    });
    assert_eq!(
        shape.shapes,
        [("bn1.weight".to_owned(), vec![1, 64], vec![64])]
    );
    let half = refused(&|weights| {
        let place = place(weights, "bn1.weight");
        weights[place].1 = weights[place].1.to_kind(Kind::Half);
    });
    assert_eq!(half.precisions, ["bn1.weight"]);
}

#[test]
fn weights_that_are_no_numbers_of_a_network_are_refused_by_name() {
    let backbone = named("resnet18");
    let refused = |name: &str, number: f64| {
        let mut weights = patterned(&backbone, 32);
        let (_, tensor) = weights.iter_mut().find(|(of, _)| of == name).unwrap();
        let _ = tensor.view(-1).get(1).fill_(number);
        weights::check(&backbone, &weights, &[])
    };
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mismatch = refused("layer1.0.conv1.weight", number).unwrap_err();
        assert_eq!(mismatch.impossible, ["layer1.0.conv1.weight"]);
    }
    let negative = refused("bn1.running_var", -0.5).unwrap_err();
    assert_eq!(negative.impossible, ["bn1.running_var"]);
    assert!(refused("bn1.running_mean", -0.5).is_ok());
}

#[test]
fn classifiers_and_counters_in_a_file_are_left_aside() {
    let backbone = named("resnet18");
    let mut weights = patterned(&backbone, 32);
    weights.push(("fc.weight".to_owned(), pattern(1, 0)));
    weights.push(("bn1.num_batches_tracked".to_owned(), pattern(1, 0)));
    let fit = weights::check(&backbone, &weights, &[]).unwrap();
    assert_eq!(
        (fit.used, fit.ignored),
        (
            100,
            vec!["bn1.num_batches_tracked".to_owned(), "fc.weight".to_owned()]
        )
    );
}

#[test]
fn images_that_do_not_pass_through_a_backbone_are_refused() {
    let refused = |backbone, size| {
        Network::new(NetworkConfig::new(backbone, 3, size, None), 0, Device::Cpu).unwrap_err()
    };
    let vit = refused(named("vit_s16"), 40);
    assert!(matches!(vit, ModelError::ImageSize { image_size: 40, .. }));
    let inception = refused(named("bn_inception"), 40);
    assert!(matches!(inception, ModelError::ImageSize { .. }));
    assert!(matches!(
        refused(named("resnet18"), 31),
        ModelError::SmallImage { .. }
    ));
}

/// Images of any side, whether or not the backbone's rule allows it.
fn images_of(side: i64) -> Tensor {
    pattern(3 * side * side, 5)
        .view([1, 3, side, side])
        .to_kind(Kind::Float)
}

fn untrained(key: &str, side: i64) -> Network {
    let config = NetworkConfig::new(named(key), 3, side, None);
    Network::new(config, 0, Device::Cpu).unwrap()
}

/// True if no layer fails.
fn passes(network: &Network, images: &Tensor) -> bool {
    let attempt = AssertUnwindSafe(|| drop(forward(network, images, false)));
    catch_unwind(attempt).is_ok()
}

#[test]
fn the_sizes_that_bn_inception_refuses_are_those_that_its_layers_fail_on() {
    let network = untrained("bn_inception", 32);
    let part = network.config.model.backbone.part();
    for side in (32..=72).chain([224, 227]) {
        let has_passed = no_grad(|| passes(&network, &images_of(side)));
        assert_eq!(
            has_passed,
            part.obstacle(side as u32).is_none(),
            "{side} pixels"
        );
    }
}

#[test]
fn the_sizes_that_a_vision_transformer_refuses_are_those_whose_border_it_would_not_see() {
    for side in [16, 17, 31, 32, 33, 40, 48] {
        let network = untrained("vit_s16", side / 16 * 16);
        let images = images_of(side);
        let changed = images.copy();
        let _ = changed.narrow(3, side - 1, 1).neg_();
        let features = |images: &Tensor| no_grad(|| forward(&network, images, false));
        let sees_border = features(&images) != features(&changed);
        let obstacle = network.config.model.backbone.part().obstacle(side as u32);
        assert_eq!(sees_border, obstacle.is_none(), "{side} pixels");
    }
}
