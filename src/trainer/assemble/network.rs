//! The network that a recipe asks for, and the weights that it starts from.

use std::{
    fs::{self, File},
    path::Path,
};

use dml::{
    model::{self, Colours, Input, Network, NetworkConfig, TorchScript, weights},
    state::State,
};
use schema::{Backbone, ColourOrder, Model, Recipe, Seen, Torchscript, Weights};
use tch::{Device, Tensor};

use super::impossible;
use crate::{Failed, process::log};

/// The network with its initial weights. What its backbone starts from, if that was
/// trained before, lies in the file `weights`; a network that will be restored anyway can do without.
///
/// # Errors
/// If there is no such network, or the file is not the one that the recipe means.
pub(crate) fn network(
    recipe: &Recipe,
    weights: Option<&Path>,
    device: Device,
) -> Result<Network, Failed> {
    let expected = recipe.model.backbone.weights();
    if let (Some(expected), Some(file)) = (expected, weights) {
        verify(file, expected)?;
    }
    let config = config(recipe, weights)?;
    match weights.filter(|_| {
        expected.is_some() && !matches!(config.backbone, model::Backbone::TorchScript(_))
    }) {
        Some(file) => {
            Network::pretrained(config, &read(file)?, recipe.seed, device).map_err(impossible)
        }
        None => Network::new(config, recipe.seed, device).map_err(impossible),
    }
}

/// Says so in the log if numbers were asked for that the device computes with slowly.
pub(crate) fn warn_of_precision(model: &Model, device: Device) {
    if device == Device::Cpu && !precision(model.precision).suits_the_cpu() {
        log("this processor has no instructions for bfloat16: `f32` is faster");
    }
}

/// Whether a file holds weights of this backbone.
///
/// # Errors
/// If not: what does not fit, by name.
pub(crate) fn weights_fit(file: &Path, backbone: &Backbone) -> Result<weights::Fit, Failed> {
    if let Backbone::Torchscript(_) = backbone {
        let used = TorchScript::parameters(&bytes(file)?);
        let used = used.map_err(|error| Failed::data(format!("`{}`: {error}", file.display())))?;
        return Ok(weights::Fit {
            used,
            ignored: Vec::new(),
        });
    }
    weights::check(&of(backbone), &read(file)?).map_err(|misfit| {
        Failed::data(format!(
            "`{}` is not of `{}`: {misfit}",
            file.display(),
            backbone.name()
        ))
    })
}

fn verify(file: &Path, expected: &Weights) -> Result<(), Failed> {
    let found = File::open(file)
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
    fs::read(file).map_err(|error| unreadable(file, &error.to_string()))
}

fn read(file: &Path) -> Result<State, Failed> {
    Tensor::read_safetensors(file).map_err(|error| unreadable(file, &error.to_string()))
}

fn unreadable(file: &Path, why: &str) -> Failed {
    Failed::data(format!(
        "cannot read the weights `{}`: {why}",
        file.display()
    ))
}

fn config(recipe: &Recipe, file: Option<&Path>) -> Result<NetworkConfig, Failed> {
    let Model {
        backbone,
        pooling,
        layer_norm,
        embedding,
        head,
        normalise,
        batch_norm,
        freeze,
        precision,
    } = &recipe.model;
    let channels = i64::from(recipe.images.color.channels());
    let image_size = i64::from(recipe.transform.test_side(&recipe.images));
    Ok(NetworkConfig {
        backbone: match backbone {
            Backbone::Torchscript(script) => torchscript(script, file, channels, image_size)?,
            listed => of(listed),
        },
        channels,
        image_size,
        pooling: pooling.map(of_pooling),
        layer_norm: *layer_norm,
        embedding: embedding.map(i64::from),
        head: head.as_ref().map(of_head).unwrap_or_default(),
        normalise: *normalise,
        batch_norm: match batch_norm {
            schema::BatchNorm::Train => model::BatchNorm::Train,
            schema::BatchNorm::FrozenStatistics => model::BatchNorm::FrozenStatistics,
            schema::BatchNorm::Frozen => model::BatchNorm::Frozen,
        },
        freeze: freeze.clone(),
        precision: self::precision(*precision),
    })
}

fn torchscript(
    script: &Torchscript,
    file: Option<&Path>,
    channels: i64,
    image_size: i64,
) -> Result<model::Backbone, Failed> {
    let file = file.ok_or_else(|| {
        Failed::data("the attempt does not emit where the TorchScript module lies")
    })?;
    let Seen {
        colours,
        white,
        mean,
        deviation,
    } = script.input;
    let colours = match colours {
        ColourOrder::Rgb => Colours::Rgb,
        ColourOrder::Bgr => Colours::Bgr,
    };
    let input = Input {
        colours,
        white,
        mean,
        deviation,
        native: image_size,
        least: 1,
    };
    let module = TorchScript::new(bytes(file)?, input, channels, image_size);
    let module = module.map_err(|error| Failed::data(format!("`{}`: {error}", file.display())))?;
    Ok(model::Backbone::TorchScript(module))
}

fn precision(precision: schema::Precision) -> model::Precision {
    match precision {
        schema::Precision::F32 => model::Precision::Single,
        schema::Precision::Bf16 => model::Precision::Bf16,
    }
}

fn of(backbone: &Backbone) -> model::Backbone {
    use model::{BorderAverage, Depth, VitSize};
    match backbone {
        Backbone::Conv4 => model::Backbone::Conv4,
        Backbone::Pixels => model::Backbone::Pixels,
        Backbone::BnInception(own) if own.count_padding => {
            model::Backbone::BnInception(BorderAverage::WithPadding)
        }
        Backbone::BnInception(_) => model::Backbone::BnInception(BorderAverage::WithoutPadding),
        Backbone::Resnet18(_) => model::Backbone::ResNet(Depth::D18, model::StrideOn::Conv3x3),
        Backbone::Resnet50(own) => model::Backbone::ResNet(Depth::D50, of_stride(own.stride_on)),
        Backbone::Resnet101(own) => model::Backbone::ResNet(Depth::D101, of_stride(own.stride_on)),
        Backbone::Googlenet(_) => model::Backbone::GoogLeNet,
        Backbone::EfficientnetLite0(_) => model::Backbone::EfficientNetLite0,
        Backbone::Squeezenet(_) => model::Backbone::SqueezeNet,
        Backbone::MobilenetV2(_) => model::Backbone::MobileNetV2,
        Backbone::VitS16(own) => model::Backbone::Vit(VitSize::Small, of_input(own.input)),
        Backbone::VitB16(own) => model::Backbone::Vit(VitSize::Base, of_input(own.input)),
        Backbone::Torchscript(_) => unreachable!("a module is made of its file"),
    }
}

fn of_stride(stride_on: schema::StrideOn) -> model::StrideOn {
    match stride_on {
        schema::StrideOn::Conv3x3 => model::StrideOn::Conv3x3,
        schema::StrideOn::Conv1x1 => model::StrideOn::Conv1x1,
    }
}

fn of_input(input: schema::VitInput) -> model::VitInput {
    match input {
        schema::VitInput::Imagenet => model::VitInput::ImageNet,
        schema::VitInput::Symmetric => model::VitInput::Symmetric,
    }
}

fn of_pooling(pooling: schema::Pooling) -> model::Pooling {
    match pooling {
        schema::Pooling::Avg => model::Pooling::Average,
        schema::Pooling::Max => model::Pooling::Max,
        schema::Pooling::AvgMax => model::Pooling::AverageMax,
        schema::Pooling::Gem(schema::Gem { p, trainable }) => model::Pooling::Gem { p, trainable },
    }
}

fn of_head(head: &schema::Head) -> model::Head {
    use model::Fan;
    use schema::{LinearHead, LinearInitial};
    match head {
        schema::Head::Linear(LinearHead {
            initial: LinearInitial::KaimingFanIn,
        }) => model::Head::Kaiming(Fan::In),
        schema::Head::Linear(LinearHead {
            initial: LinearInitial::KaimingFanOut,
        }) => model::Head::Kaiming(Fan::Out),
        schema::Head::Mlp(mlp) => {
            model::Head::Mlp(mlp.hidden.iter().copied().map(i64::from).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::{Color, ImageSize};

    use super::*;

    fn recipe(backbone: &Backbone, freeze: &[&str]) -> Recipe {
        let mut recipe = crate::tests::tiny();
        recipe.images.size = ImageSize::Square(64);
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
        let others = ["resnet101", "vit_b16", "torchscript"];
        let kinds = Backbone::pretrainable().filter(|one| !others.contains(&one.name()));
        for backbone in kinds.chain([Backbone::Conv4]) {
            let layers = backbone.layers();
            let all = network(&recipe(&backbone, layers), None, tch::Device::Cpu).unwrap();
            assert!(
                all.groups().is_empty(),
                "{}: with all layers frozen something is trained",
                backbone.name()
            );
            assert!(layers.iter().all(|layer| backbone.has_layer(layer)));
            let refused = network(&recipe(&backbone, &["layer"]), None, tch::Device::Cpu);
            assert!(
                refused.is_err() && !backbone.has_layer("layer"),
                "{}",
                backbone.name()
            );
        }
    }

    #[test]
    fn the_sizes_that_a_sweep_file_can_choose_are_those_that_pass() {
        let built_in =
            Backbone::pretrainable().filter(|one| !matches!(one, Backbone::Torchscript(_)));
        for backbone in built_in.chain([Backbone::Conv4]) {
            for side in backbone.least_image()..400 {
                let passes = of(&backbone).obstacle(i64::from(side)).is_none();
                assert_eq!(backbone.fits(side), passes, "{} {side}", backbone.name());
            }
        }
    }
}
