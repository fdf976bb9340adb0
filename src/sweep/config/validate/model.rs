//! Networks that cannot be built.

use schema::{Backbone, BatchNorm, Gem, Model, Pooling};

use super::{
    super::file::SweepFile, Checked, Fault, drop_rate, fault, heads, images, positive, require,
};

/// Maximum rank of an adapter.
const MOST_RANKS: u32 = 1024;

pub(super) fn model(file: &SweepFile) -> Checked {
    let model = &file.model;
    for (key, side) in images::sides(file) {
        backbone(&model.backbone, side, key)?;
    }
    match model.embedding {
        Some(0) => fault("model.embedding", "an embedding has at least 1 dimension")?,
        Some(width @ 65_537..) => fault(
            "model.embedding",
            format!("{width} dimensions, expected at most 65536"),
        )?,
        Some(_) | None => {}
    }
    pooling(model)?;
    if let Some(head) = &model.head {
        require(
            model.embedding.is_some(),
            "model.head",
            "a head needs `model.embedding`, the width of what it gives",
        )?;
        heads::layers(head, "model.head")?;
    }
    heads::of_model(model, file, &|name| format!("model.{name}"))?;
    torchscript(model)?;
    blocks(model)?;
    adapters(model)?;
    freeze(model)
}

/// Checks what is done to residual blocks.
fn blocks(model: &Model) -> Checked {
    drop_rate(model.drop_path, "model.drop_path")?;
    let asked = [
        ("drop_path", model.drop_path > 0.0),
        ("checkpointing", model.checkpointing),
        ("lora", model.lora.is_some()),
    ];
    let is_made_of_blocks = model.backbone.part().is_made_of_blocks();
    match asked.iter().find(|(_, asked)| *asked && !is_made_of_blocks) {
        Some((key, _)) => fault(
            format!("model.{key}"),
            format!(
                "`{}` has no blocks for that: vision transformers, ConvNeXt and Swin have",
                model.backbone.key()
            ),
        ),
        None => Ok(()),
    }
}

fn adapters(model: &Model) -> Checked {
    let Some(lora) = &model.lora else {
        return Ok(());
    };
    require(
        (1..=MOST_RANKS).contains(&lora.rank),
        "model.lora.rank",
        format!("expected 1 to {MOST_RANKS}"),
    )?;
    positive(lora.alpha, "model.lora.alpha")
}

fn freeze(model: &Model) -> Checked {
    let backbone = &model.backbone;
    let Some(unknown) = model.freeze.iter().find(|name| !backbone.has_layer(name)) else {
        return Ok(());
    };
    Err(Fault {
        key: "model.freeze".to_owned(),
        message: format!("`{}` has no layer `{unknown}`", backbone.key()),
        hint: Some(format!(
            "its layers are {}; a part of one is named as in its weights",
            backbone.part().layers().join(", ")
        )),
    })
}

fn backbone(backbone: &Backbone, image_size: u32, key: &str) -> Checked {
    if *backbone == Backbone::Pixels {
        return Err(Fault {
            key: "model.backbone".to_owned(),
            message: "`pixels` is no network: nothing can be trained on it".to_owned(),
            hint: Some(
                "for the raw pixels as a row of the table, add a [[method]] with `baseline = \"pixels\"`".to_owned(),
            ),
        });
    }
    let name = backbone.key();
    let least = backbone.part().least_image();
    require(
        image_size >= least,
        key,
        format!("`{name}` needs images of at least {least} pixels"),
    )?;
    if let Backbone::Torchscript(script) = backbone {
        let example = "`backbone.torchscript = { weights = \"NAME\" }`";
        let message =
            format!("the module itself is missing: {example}, after `sweep weights add NAME FILE`");
        require(script.weights.is_some(), "model.backbone", message)?;
    }
    match backbone.part().obstacle(image_size) {
        Some(obstacle) => fault(key, format!("`{name}` {obstacle}")),
        None => Ok(()),
    }
}

/// Checks the settings of a TorchScript module. Only its parameters can be changed from outside.
fn torchscript(model: &Model) -> Checked {
    if !matches!(model.backbone, Backbone::Torchscript(_)) {
        return Ok(());
    }
    let frozen =
        "a TorchScript module keeps the statistics that it has: expected \"frozen_statistics\"";
    require(
        model.batch_norm == BatchNorm::FrozenStatistics,
        "model.batch_norm",
        frozen,
    )
}

fn pooling(model: &Model) -> Checked {
    let Some(pooling) = model.pooling else {
        return Ok(());
    };
    let name = model.backbone.key();
    require(
        model.backbone.part().gives_a_map(),
        "model.pooling",
        format!("`{name}` gives no map, there is nothing to pool"),
    )?;
    match pooling {
        Pooling::Gem(Gem { p, .. }) => positive(p, "model.pooling.gem.p"),
        Pooling::Avg | Pooling::Max | Pooling::AvgMax => Ok(()),
    }
}
