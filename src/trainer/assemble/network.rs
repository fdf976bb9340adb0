//! The network of a recipe, and the weights that it starts from.

use std::{collections::BTreeSet, path::Path};

use dml::{
    libtorch,
    model::{
        Network, NetworkConfig, TorchScript, TorchScriptError, is_native_on_cpu,
        weights::{self, Published, WeightsMismatch},
    },
    tensor_file::{self, TensorFile},
};
use schema::{Backbone, Fitted, Model, Recipe, Torchscript, Weights, WeightsWork};
use tch::Device;

use super::impossible;
use crate::{Failed, files, process::log};

/// Returns the network with its initial parameters. `weights` is the file of the backbone's trained weights, if it has
/// any; a network that will be restored anyway does not need it.
///
/// # Errors
/// If there is no such network, or the file is not the one that the recipe names.
pub(crate) fn network(
    recipe: &Recipe,
    weights: Option<&Path>,
    device: Device,
) -> Result<Network, Failed> {
    let expected = recipe.model.backbone.weights();
    if let (Some(expected), Some(file)) = (expected, weights) {
        verify(file, expected)?;
    }
    if device.is_cuda() {
        libtorch::allow_tf32(recipe.model.tf32);
    }
    let config = config(recipe, weights)?;
    let pretrained = weights.filter(|_| expected.is_some() && config.module.is_none());
    let network = match pretrained {
        Some(file) => {
            let found = published(file, &recipe.model.backbone, None)?;
            Network::pretrained(config, &found.tensors, recipe.seed, device)
        }
        None => Network::new(config, recipe.seed, device),
    };
    network.map_err(impossible)
}

/// Logs a warning if the device computes slowly in the precision of a model.
pub(crate) fn warn_of_precision(model: &Model, device: Device) {
    if device == Device::Cpu && !is_native_on_cpu(model.precision) {
        log("this processor has no instructions for bfloat16: `f32` is faster");
    }
}

/// Checks that a file holds weights of a backbone. Where `into` is given and the file does not hold them as the backbone
/// reads them, writes there those that it does.
///
/// # Errors
/// If it does not hold them: the names of what does not fit.
pub(crate) fn fit_weights(work: &WeightsWork) -> Result<Fitted, Failed> {
    if let Some(Backbone::Torchscript(_)) = work.backbone {
        return fit_module(&work.file);
    }
    let backbone = backbone(work)?;
    let found = published(&work.file, &backbone, work.prefix.as_deref())?;
    let fit = match weights::check(&backbone, &found.tensors, &found.others) {
        Ok(fit) => fit,
        Err(mismatch) => return Err(other_backbone(&work.file, &backbone, &mismatch)?),
    };
    let converted = work.into.as_ref().filter(|_| !found.is_verbatim);
    if let Some(into) = converted {
        files::write(&found.tensors, into)?;
    }
    Ok(Fitted {
        used: fit.used as u64,
        ignored: [fit.ignored, found.aside].concat(),
        backbone: Some(backbone).filter(|found| work.backbone.as_ref() != Some(found)),
        prefix: found.prefix,
        rivals: found.rivals,
        is_converted: converted.is_some(),
    })
}

/// Returns the expected backbone, or else the one that the tensors in the file are of, with the settings that they show.
///
/// # Errors
/// The file cannot be read, or nothing is expected and it holds the tensors of no backbone, or of several.
fn backbone(work: &WeightsWork) -> Result<Backbone, Failed> {
    let among: Vec<Backbone> = match &work.backbone {
        Some(expected) => expected.forms(),
        None => Backbone::pretrainable()
            .flat_map(|one| one.forms())
            .collect(),
    };
    let file = &work.file;
    let found = recognized(file, among)?;
    match (&found[..], &work.backbone) {
        ([one], _) => Ok(one.clone()),
        (_, Some(expected)) => Ok(expected.clone()),
        ([], None) => Err(Failed::data(format!(
            "`{}` does not have all tensors of any backbone of `sweep show backbones`{}",
            file.display(),
            hint(file)
        ))),
        (several, None) => Err(Failed::data(format!(
            "`{}` has the tensors of {}; choose one with `--backbone`",
            file.display(),
            keys(several)
        ))),
    }
}

fn recognized(
    file: &Path,
    among: impl IntoIterator<Item = Backbone>,
) -> Result<Vec<Backbone>, Failed> {
    weights::recognized(file, among).map_err(|error| unreadable(file, &error.to_string()))
}

/// Returns the names of backbones: `` `resnet18` or `resnet34` ``.
fn keys(backbones: &[Backbone]) -> String {
    let keys: BTreeSet<&str> = backbones.iter().map(Backbone::key).collect();
    let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    keys.join(" or ")
}

/// Returns what a file may be if it has the weights of no backbone: the end of a sentence.
fn hint(file: &Path) -> String {
    if let Some(index) = tensor_file::index_of(file) {
        return format!(
            "; it is one of several files: add their index, `{}`",
            index.display()
        );
    }
    match TensorFile::open(file) {
        Ok(opened) if opened.is_torchscript() => {
            "; as a TorchScript module, `--backbone torchscript` adds it".to_owned()
        }
        _ => String::new(),
    }
}

fn fit_module(file: &Path) -> Result<Fitted, Failed> {
    match TorchScript::parameters(&bytes(file)?) {
        Ok(used) => Ok(Fitted::of(used as u64)),
        Err(error) => Err(not_a_module(file, &error)),
    }
}

fn not_a_module(file: &Path, error: &TorchScriptError) -> Failed {
    match TensorFile::open(file) {
        Ok(opened) if opened.is_torchscript() => {
            Failed::data(format!("`{}`: {error}", file.display()))
        }
        Ok(_) => Failed::data(format!(
            "`{}` holds named tensors, not a TorchScript module: leave `--backbone` out, or name theirs",
            file.display()
        )),
        Err(other) => unreadable(file, &other.to_string()),
    }
}

/// Says that weights belong to another backbone, and to which if that is known.
///
/// # Errors
/// The file cannot be read.
fn other_backbone(
    file: &Path,
    backbone: &Backbone,
    mismatch: &WeightsMismatch,
) -> Result<Failed, Failed> {
    let others = Backbone::pretrainable().flat_map(|one| one.forms());
    let others = others.filter(|other| other.key() != backbone.key());
    let found = recognized(file, others)?;
    let (path, key) = (file.display(), backbone.key());
    Ok(Failed::data(match &found[..] {
        [] => format!("`{path}` is not of `{key}`: {mismatch}{}", hint(file)),
        others => format!(
            "`{path}` is not of `{key}`, but of {}, which `--backbone` has to name",
            keys(others)
        ),
    }))
}

fn verify(file: &Path, expected: &Weights) -> Result<(), Failed> {
    let found = durable::open(file)
        .and_then(Weights::of_file)
        .map_err(|error| unreadable(file, &error.to_string()))?;
    if found != *expected {
        return Err(Failed::data(format!(
            "`{}` has changed since it was added: its SHA-256 is {found}, not {expected}",
            file.display()
        )));
    }
    Ok(())
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failed> {
    durable::read(file).map_err(|error| unreadable(file, &error.to_string()))
}

fn published(file: &Path, backbone: &Backbone, prefix: Option<&str>) -> Result<Published, Failed> {
    weights::read(file, backbone, prefix).map_err(|error| unreadable(file, &error.to_string()))
}

fn unreadable(file: &Path, why: &str) -> Failed {
    Failed::data(format!(
        "cannot read the weights `{}`: {why}",
        file.display()
    ))
}

fn config(recipe: &Recipe, file: Option<&Path>) -> Result<NetworkConfig, Failed> {
    let mut config = NetworkConfig {
        model: recipe.model.clone(),
        channels: recipe.images.color.channels().into(),
        image_size: recipe.transform.test_side(&recipe.images).into(),
        module: None,
    };
    if let Backbone::Torchscript(script) = &recipe.model.backbone {
        config.module = Some(module(script, file, &config)?);
    }
    Ok(config)
}

fn module(
    script: &Torchscript,
    file: Option<&Path>,
    config: &NetworkConfig,
) -> Result<TorchScript, Failed> {
    let file = file.ok_or_else(|| {
        Failed::data("the attempt does not emit where the TorchScript module lies")
    })?;
    TorchScript::new(
        bytes(file)?,
        &script.input,
        config.channels,
        config.image_size,
    )
    .map_err(|error| Failed::data(format!("`{}`: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use schema::{Color, ImageSize};

    use super::*;

    fn recipe(backbone: &Backbone, freeze: &[&str]) -> Recipe {
        let mut recipe = crate::tests::tiny();
        // Passes through every backbone.
        recipe.images.size = ImageSize::Square(224);
        recipe.images.color = Color::Rgb;
        let freeze = freeze.iter().map(|&layer| layer.to_owned()).collect();
        recipe.model = Model {
            freeze,
            ..Model::new(backbone.clone(), None)
        };
        recipe
    }

    #[test]
    fn the_layers_that_a_sweep_file_can_name_are_those_of_the_network() {
        // The larger ones of a kind have the same, and those of a TorchScript module are in its file.
        let others = [
            "resnet101",
            "vit_b16",
            "dinov2_b14",
            "dinov2_l14",
            "dinov2_g14",
            "dinov3_b16",
            "clip_b32",
            "clip_l14",
            "convnext_b",
            "swin_b",
            "torchscript",
        ];
        let kinds = Backbone::pretrainable().filter(|one| !others.contains(&one.key()));
        for backbone in kinds.chain([Backbone::Conv4]) {
            let layers = backbone.part().layers();
            let all = network(&recipe(&backbone, layers), None, tch::Device::Cpu).unwrap();
            assert!(
                all.groups().is_empty(),
                "{}: with all layers frozen something is trained",
                backbone.key()
            );
            assert!(layers.iter().all(|layer| backbone.has_layer(layer)));
            let refused = network(&recipe(&backbone, &["layer"]), None, tch::Device::Cpu);
            assert!(
                refused.is_err() && !backbone.has_layer("layer"),
                "{}",
                backbone.key()
            );
        }
    }
}
