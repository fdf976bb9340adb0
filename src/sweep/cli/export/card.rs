//! The card of an exported network: how to use it, what it was trained on, how it was measured.

use std::path::Path;

use schema::{
    Color, ColorOrder, Evaluated, Exported, ImageInput, ImageSize, Metric, Model, NetworkFormat,
    Outcome, Recipe, Scores,
};

use crate::{
    cli::{Exit, evaluate::LocatedRun},
    ledger::{Job, Ledger, RunStage},
};

/// How the sentence below the heading begins.
const EXPORTED: &str = "An embedding network, exported by sweep ";

/// True if a text begins as a card does.
pub(super) fn is_card(text: &str) -> bool {
    let mut lines = text.lines();
    let heading = lines.next().is_some_and(|line| line.starts_with("# "));
    heading && lines.nth(1).is_some_and(|line| line.starts_with(EXPORTED))
}

/// Returns the card as Markdown.
pub(super) fn card(
    found: &LocatedRun,
    exported: &Exported,
    format: NetworkFormat,
    file: &Path,
) -> Result<String, Exit> {
    let (identity, recipe) = (&found.identity, &found.identity.recipe);
    let run = identity.run();
    let ledger = Ledger::new(found.run.results());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!(
        "# {name}\n\n{EXPORTED}{} from run `{run}`: {} parameters, embeddings of {} numbers{}.\n",
        crate::VERSION,
        exported.parameters,
        exported.width,
        match recipe.model.normalize {
            true => " and length 1",
            false => "",
        }
    );
    text.push_str(&section("Use", &usage(recipe, format, &name)));
    text.push_str(&section("Images", &preprocessing(recipe)));
    text.push_str(&section("Scores", &scores(found, &ledger)?));
    text.push_str(&section("Data", &data(found)));
    if let Some(computed) = computed(found, &ledger)? {
        text.push_str(&section("Computed", &computed));
    }
    let json = serde_json::to_string_pretty(recipe).map_err(Exit::stuck)?;
    text.push_str(&section("Recipe", &format!("```json\n{json}\n```\n")));
    Ok(text)
}

fn section(heading: &str, text: &str) -> String {
    format!("\n## {heading}\n\n{text}")
}

/// Returns how Python loads the file.
fn usage(recipe: &Recipe, format: NetworkFormat, name: &str) -> String {
    let channels = recipe.images.color.channels();
    let side = recipe.transform.test_side(&recipe.images);
    match format {
        NetworkFormat::Torchscript => {
            let shape = format!("{channels}, {side}, {side}");
            torchscript_usage(name, &shape)
        }
        NetworkFormat::Safetensors => safetensors_usage(recipe, name),
    }
}

/// `shape` is that of an image: channels, height and width.
fn torchscript_usage(name: &str, shape: &str) -> String {
    let onnx = Path::new(name).with_extension("onnx");
    format!(
        "```python\nimport torch\n\nnetwork = torch.jit.load(\"{name}\")\n\
         images = torch.zeros(1, {shape}, dtype=torch.uint8)  # [n, {shape}], bytes\n\
         embeddings = network(images)\n```\n\nThe module normalizes the bytes itself. As ONNX, for any number of images:\n\n\
         ```python\ntorch.onnx.export(\n    network, (images,), \"{}\", dynamo=False,\n    \
         input_names=[\"images\"], output_names=[\"embeddings\"],\n    \
         dynamic_axes={{\"images\": {{0: \"n\"}}, \"embeddings\": {{0: \"n\"}}}},\n)\n```\n",
        onnx.display()
    )
}

fn safetensors_usage(recipe: &Recipe, name: &str) -> String {
    let mut lines = vec![
        "import torch".to_owned(),
        "from safetensors.torch import load_file".to_owned(),
        String::new(),
        format!("tensors = load_file(\"{name}\")"),
        "head = {key: tensors.pop(key) for key in list(tensors) if key.startswith((\"embedding.\", \"hidden\", \"pool.\", \"heads.\"))}"
            .to_owned(),
    ];
    let backbone = &recipe.model.backbone;
    let side = recipe.transform.test_side(&recipe.images);
    match backbone.part().in_python(side) {
        Some(trunk) => {
            lines.extend(trunk);
            lines.push("trunk.load_state_dict(tensors)".to_owned());
            lines.push("trunk.eval()".to_owned());
            lines.push("features = trunk(images)  # normalized as below".to_owned());
        }
        None => lines.push(format!(
            "# the tensors of the backbone `{}`",
            backbone.key()
        )),
    }
    if !recipe.model.heads.is_empty() {
        lines.extend(joined_heads(&recipe.model));
    } else if recipe.model.embedding.is_some() {
        lines.push(
            "embeddings = torch.nn.functional.linear(features, head[\"embedding.weight\"], head[\"embedding.bias\"])"
                .to_owned(),
        );
        if recipe.model.normalize {
            lines.push("embeddings = torch.nn.functional.normalize(embeddings)".to_owned());
        }
    }
    let mut text = format!("```python\n{}\n```\n", lines.join("\n"));
    let mut remarks = Vec::new();
    if recipe.model.heads.iter().any(|head| head.tap.is_some()) {
        remarks.push(
            "Heads with a `tap` in the recipe pool the map of that layer instead of the last one.",
        );
    }
    if recipe
        .model
        .heads
        .iter()
        .any(|head| head.auxiliary.is_some())
    {
        remarks.push(
            "Heads with `auxiliary` in the recipe do not pool: their features are `auxiliary(avg_pool2d(map, 5, 3, \
             ceil_mode=True)).relu().flatten(1)`, with `heads.N.auxiliary` as a 1x1 convolution.",
        );
    }
    let own_layers = recipe.model.heads.iter().map(|head| &head.layers);
    if own_layers.chain([&recipe.model.head]).any(Option::is_some) {
        remarks.push(
            "`hidden0`, `hidden1` and so on come before `embedding`, each with ReLU behind it.",
        );
    }
    if recipe.model.pooling.is_some() {
        remarks.push("The pooling is not that of the library: see `model.pooling` in the recipe.");
    }
    if recipe.model.layer_norm {
        remarks
            .push("A layer norm without parameters is between the pooled features and the head.");
    }
    for remark in remarks {
        text.push_str(&format!("\n{remark}\n"));
    }
    text
}

/// Returns the lines that join the embeddings of several heads.
fn joined_heads(model: &Model) -> Vec<String> {
    let factors: Vec<String> = model.factors().iter().map(f64::to_string).collect();
    let lines = [
        &format!("factors = [{}]", factors.join(", ")),
        "blocks = []",
        "for number, factor in enumerate(factors):",
        "    weight, bias = (head[f\"heads.{number}.embedding.{part}\"] for part in (\"weight\", \"bias\"))",
        "    block = torch.nn.functional.linear(features, weight, bias)",
        "    blocks.append(factor * torch.nn.functional.normalize(block))",
        "embeddings = torch.cat(blocks, 1)",
    ];
    lines.map(str::to_owned).into()
}

/// Returns what is done to an image before the network sees it.
fn preprocessing(recipe: &Recipe) -> String {
    let color = match recipe.images.color {
        Color::Rgb => "Decode to red, green and blue, as Pillow's `convert(\"RGB\")`.",
        Color::Gray => "Decode to gray, as Pillow's `convert(\"L\")`.",
    };
    let mut steps = vec![color.to_owned()];
    if recipe.dataset.facts().inverted {
        steps.push("Invert: images of this data set are dark on light.".to_owned());
    }
    if recipe.images.bounding_boxes {
        steps.push("Cut to the bounding box, if there is one.".to_owned());
    }
    steps.push(match recipe.images.size {
        ImageSize::Square(side) => {
            format!("Resize to {side} x {side} pixels, as Pillow's bilinear `resize`.")
        }
        ImageSize::ShortSide(side) => {
            format!("Resize to {side} pixels on the shorter side, as Pillow's bilinear `resize`.")
        }
    });
    if let Some(side) = recipe.transform.test.center_crop {
        steps.push(format!("Cut the {side} x {side} pixels in the middle."));
    }
    steps.push(match recipe.model.backbone.part().input() {
        Some(input) => normalization(&input),
        None => "Divide by 255.".to_owned(),
    });
    let steps = (1..)
        .zip(&steps)
        .map(|(number, step)| format!("{number}. {step}\n"));
    steps.collect()
}

fn normalization(input: &ImageInput) -> String {
    let order = match input.colors {
        ColorOrder::Rgb => "red, green, blue",
        ColorOrder::Bgr => "blue, green, red",
    };
    format!(
        "For each channel ({order}): multiply by {} / 255, subtract {:?}, divide by {:?}. A gray image counts as three \
         equal channels.",
        input.white, input.mean, input.deviation
    )
}

/// Returns the scores on test classes, beside those on validation classes.
fn scores(found: &LocatedRun, ledger: &Ledger) -> Result<String, Exit> {
    let run = found.identity.run();
    let validation = ledger.trained(run)?.and_then(|trained| trained.validation);
    let validation = validation.unwrap_or_default();
    let RunStage::Recorded(record) = ledger.state(run)? else {
        return Ok("The network was not measured on test classes.\n".to_owned());
    };
    let evaluated = match record.outcome {
        Outcome::Finished(evaluated) => evaluated,
        Outcome::Broken { how, .. } => {
            return Ok(format!("The training broke down: {}.\n", how.reason()));
        }
    };
    Ok(table(&evaluated, &validation))
}

fn table(evaluated: &Evaluated, validation: &Scores) -> String {
    let Evaluated {
        classes, images, ..
    } = evaluated;
    let mut text = format!(
        "On {classes} test classes that it was not trained on, {images} queries; values in percent.\n\n\
         | metric | test | validation |\n| :--- | ---: | ---: |\n"
    );
    for (metric, value) in &evaluated.scores {
        let validated = validation.get(metric).copied();
        text.push_str(&line(*metric, *value, validated));
    }
    text
}

fn line(metric: Metric, test: f64, validation: Option<f64>) -> String {
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let validation = validation.map_or_else(|| "–".to_owned(), percent);
    format!(
        "| {} | {} | {validation} |\n",
        metric.heading(),
        percent(test)
    )
}

fn data(found: &LocatedRun) -> String {
    let (identity, recipe) = (&found.identity, &found.identity.recipe);
    let fold = match recipe.fold {
        Some(fold) => format!(
            ", without fold {} of {} of the training classes",
            fold.index, fold.of
        ),
        None => String::new(),
    };
    format!(
        "Trained on {}{fold}, seed {}. The fingerprint of its files is `{}`. The licenses of the data and of pretrained \
         weights apply.\n",
        recipe.dataset.title(),
        recipe.seed,
        identity.data
    )
}

/// Returns what the network was computed by, if that is known.
fn computed(found: &LocatedRun, ledger: &Ledger) -> Result<Option<String>, Exit> {
    let attempts = ledger.computations(Job::Train(found.identity.run()))?;
    Ok(attempts.last().map(|last| {
        let device = last
            .host
            .as_ref()
            .map_or("an unknown device", |host| host.device());
        format!("By {}, on {device}, until {}.\n", last.trainer, last.ended)
    }))
}
