//! Any TorchScript module as a trunk, for networks that are not among the other backbones.
//!
//! The module is a file made with `torch.jit.script` or `torch.jit.trace`. It maps images to features
//! `[n, f]` or to a map `[n, f, h, w]`, which is pooled. Its parameters become views of the network's
//! flat tensor and are trained like all others. The module is always in evaluation mode, because its
//! buffers are not accessible: batch norms use the running statistics in the file, and dropout is off.
//!
//! The optimizations of TorchScript's profiling executor are off: they start after the first runs and
//! would change the last bits.

use std::{fmt, sync::Arc};

use tch::{CModule, Device, Kind, Tensor, jit::f_set_graph_executor_optimize, no_grad};

use schema::{BatchNorm, ImageInput, Model};

use super::input;
use crate::parameters::is_finite;

/// A file that is no TorchScript module, or a module that is no trunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the TorchScript module cannot be used: {0}")]
pub struct TorchScriptError(String);

/// A TorchScript module with its input and output.
#[derive(Clone, PartialEq)]
pub struct TorchScript {
    file: Arc<Vec<u8>>,
    pub(super) features: i64,
    pub(super) gives_a_map: bool,
}

impl fmt::Debug for TorchScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TorchScript({} features)", self.features)
    }
}

impl TorchScript {
    /// Loads the module in these bytes and runs it once on images of this many channels and this side.
    ///
    /// # Errors
    /// It is not a module, has no parameters, or does not return features of such images.
    pub fn new(
        file: Vec<u8>,
        input: &ImageInput,
        channels: i64,
        image_size: i64,
    ) -> Result<TorchScript, TorchScriptError> {
        let (module, _) = load(&file, Device::Cpu)?;
        let shape = [
            2,
            input::channels(Some(input), channels),
            image_size,
            image_size,
        ];
        let images = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let features = no_grad(|| module.forward_ts(&[images])).map_err(|error| {
            refused(format!(
                "it does not take images {shape:?} and give a tensor: {}",
                last_line(&error.to_string())
            ))
        })?;
        let (features, gives_a_map) = match (features.kind(), features.size()[..].as_ref()) {
            (Kind::Float, &[2, features]) => (features, false),
            (Kind::Float, &[2, features, _, _]) => (features, true),
            (kind, size) => {
                return Err(refused(format!(
                    "of images {shape:?} it makes {size:?} of {kind:?}, not features [n, f] or a map [n, f, h, w] of Float"
                )));
            }
        };
        Ok(TorchScript {
            file: Arc::new(file),
            features,
            gives_a_map,
        })
    }

    /// Returns the number of parameters of the module in these bytes.
    ///
    /// # Errors
    /// It is not a module, or has no parameters.
    pub fn parameters(file: &[u8]) -> Result<usize, TorchScriptError> {
        Ok(load(file, Device::Cpu)?.1.len())
    }

    /// Returns the module on a device, and its parameters in the order of their names.
    pub(super) fn load(&self, device: Device) -> (CModule, Vec<(String, Tensor)>) {
        load(&self.file, device).expect("a module that was loaded before is readable")
    }
}

/// Checks the settings that a module, whose buffers are not accessible, can have, and that it is there.
pub(super) fn check(model: &Model, module: Option<&TorchScript>) -> Result<(), TorchScriptError> {
    if model.batch_norm != BatchNorm::FrozenStatistics {
        let why = "its batch norms always use their stored statistics: set `frozen_statistics`";
        return Err(refused(why.to_owned()));
    }
    match module {
        Some(_) => Ok(()),
        None => Err(refused("the module itself is missing".to_owned())),
    }
}

fn refused(why: String) -> TorchScriptError {
    TorchScriptError(why)
}

/// Returns an error of libtorch without its location in libtorch's sources.
fn last_line(message: &str) -> &str {
    message
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or(message)
}

fn load(
    mut file: &[u8],
    device: Device,
) -> Result<(CModule, Vec<(String, Tensor)>), TorchScriptError> {
    let unreadable = |error: tch::TchError| {
        let message = error.to_string();
        refused(format!(
            "it is no file of `torch.jit.save`: {}",
            message.lines().next().unwrap_or_default()
        ))
    };
    f_set_graph_executor_optimize(false).map_err(unreadable)?;
    let mut module = CModule::load_data_on_device(&mut file, device).map_err(unreadable)?;
    module.f_set_eval().map_err(unreadable)?;
    let mut parameters = module.named_parameters().map_err(unreadable)?;
    parameters.sort_by(|(one, _), (other, _)| one.cmp(other));
    match parameters
        .iter()
        .find(|(_, tensor)| tensor.kind() != Kind::Float)
    {
        Some((name, tensor)) => Err(refused(format!(
            "its parameter `{name}` is {:?}, not Float",
            tensor.kind()
        ))),
        None if parameters.is_empty() => Err(refused(
            "it has no parameters, there is nothing to train".to_owned(),
        )),
        None => {
            are_finite(&parameters)?;
            Ok((module, parameters))
        }
    }
}

fn are_finite(parameters: &[(String, Tensor)]) -> Result<(), TorchScriptError> {
    match parameters.iter().find(|(_, tensor)| !is_finite(tensor)) {
        Some((name, _)) => Err(refused(format!(
            "its parameter `{name}` has NaN or infinite numbers"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use schema::{Backbone, Precision, Torchscript};

    use super::*;
    use crate::{
        model::{Network, NetworkConfig},
        testing::{assert_close, golden, tensor},
    };

    fn file(name: &str) -> Vec<u8> {
        match name {
            "map" => include_bytes!("testdata/script_map.pt").to_vec(),
            _ => include_bytes!("testdata/script_features.pt").to_vec(),
        }
    }

    /// The formula of the same name in `scripts/golden_torchscript.py`.
    fn pattern(count: i64) -> Tensor {
        let numbers: Vec<f64> = (0..count)
            .map(|place| ((place * 7919 + 104_729) % 2003 - 1001) as f64 / 1001.0)
            .collect();
        Tensor::from_slice(&numbers).to_kind(Kind::Float)
    }

    fn config(name: &str) -> NetworkConfig {
        let module = TorchScript::new(file(name), &ImageInput::IMAGENET, 3, 16).unwrap();
        let backbone = Backbone::Torchscript(Torchscript::default());
        let mut config = NetworkConfig::new(backbone, 3, 16, None);
        config.model.batch_norm = BatchNorm::FrozenStatistics;
        config.model.normalize = false;
        config.module = Some(module);
        config
    }

    #[test]
    fn a_module_gives_the_features_and_gradients_that_it_gives_in_python_and_is_trained() {
        let golden = golden(include_str!("testdata/scripts.json"));
        let images = pattern(2 * 3 * 16 * 16).view([2, 3, 16, 16]);
        for case in golden["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let mut network = Network::new(config(name), 0, Device::Cpu).unwrap();
            // The third run would be the first that is optimized.
            let runs = [0; 4].map(|_| {
                let features = network.trunk.forward(&network.context(true), &images);
                let loss = (&features * pattern(features.numel() as i64).view_as(&features))
                    .sum(Kind::Float);
                (features.flatten(0, -1).detach(), network.gradient(&loss))
            });
            assert!(runs.iter().all(|run| *run == runs[0]), "{name}");
            let (features, gradient) = &runs[0];
            assert_close(
                features,
                &tensor(&case["features"]).to_kind(Kind::Float),
                1e-5,
                name,
            );
            // By name, the weights of the first layer come after its biases.
            let of_first = gradient.narrow(0, 4, 4 * 27);
            assert_close(
                &of_first,
                &tensor(&case["gradient"]).to_kind(Kind::Float),
                1e-4,
                name,
            );
            *network.flat_parameters() -= gradient * 0.1;
            let after = network
                .trunk
                .forward(&network.context(true), &images)
                .flatten(0, -1);
            assert!(
                (after - features).abs().max().double_value(&[]) > 1e-3,
                "{name}"
            );
        }
    }

    #[test]
    fn a_module_computes_in_bfloat16_with_parameters_and_gradients_in_single_precision() {
        let images = ((pattern(6 * 3 * 16 * 16) + 1.0) * 127.5)
            .to_kind(Kind::Uint8)
            .view([6, 3, 16, 16]);
        for name in ["features", "map"] {
            let pass = |precision| {
                let mut config = config(name);
                config.model.precision = precision;
                let network = Network::new(config, 0, Device::Cpu).unwrap();
                let features = network.forward(&images, true);
                let gradient = network.gradient(&features.square().sum(Kind::Float));
                (features.detach(), gradient)
            };
            let [single, rounded, again] =
                [Precision::F32, Precision::Bf16, Precision::Bf16].map(pass);
            assert!(rounded == again, "{name}");
            assert!(rounded.0 != single.0, "{name}");
            assert_eq!(
                (rounded.0.kind(), rounded.1.kind()),
                (Kind::Float, Kind::Float)
            );
            for (found, expected) in [(&rounded.0, &single.0), (&rounded.1, &single.1)] {
                let (found, expected) = (found.flatten(0, -1), expected.flatten(0, -1));
                let cosine = Tensor::cosine_similarity(&found, &expected, 0, 1e-12);
                assert!(cosine.double_value(&[]) > 0.999, "{name}: {cosine}");
            }
        }
    }

    #[test]
    fn frozen_parameters_of_a_module_stay_out_of_the_gradient() {
        let mut config = config("features");
        config.model.freeze = vec!["0".to_owned(), "1".to_owned()];
        let network = Network::new(config, 0, Device::Cpu).unwrap();
        let images = Tensor::ones([2, 3, 16, 16], (Kind::Uint8, Device::Cpu));
        let gradient = network.gradient(&network.forward(&images, true).sum(Kind::Float));
        assert_eq!(gradient.size(), [5 * 197]);
        assert!(gradient.abs().max().double_value(&[]) > 0.0);
    }

    #[test]
    fn files_and_settings_that_cannot_be_are_refused_in_a_sentence() {
        let message = |found: Result<TorchScript, TorchScriptError>| found.unwrap_err().to_string();
        let of = |file| message(TorchScript::new(file, &ImageInput::IMAGENET, 3, 16));
        assert!(
            of(b"no zip".to_vec()).contains("it is no file of `torch.jit.save`"),
            "{}",
            of(b"no zip".to_vec())
        );
        let small = message(TorchScript::new(
            file("features"),
            &ImageInput::IMAGENET,
            3,
            20,
        ));
        assert!(
            small.contains("does not take images [2, 3, 20, 20]"),
            "{small}"
        );
        let mut train = config("map");
        train.model.batch_norm = BatchNorm::Train;
        assert!(
            Network::new(train, 0, Device::Cpu)
                .unwrap_err()
                .to_string()
                .contains("`frozen_statistics`")
        );
    }
}
