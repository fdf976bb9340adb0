//! What a reader has to know to judge the numbers of a table.

use std::collections::BTreeSet;

use report::{Row, RunState};
use schema::{
    Auxiliary, Cut, Dataset, EmbeddingHead, ImageSize, Join, Labels, Lora, Model, Registration,
    TrainingImages, renamed::as_read,
};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{Opened, check::arithmetic, counted},
    config::{Baseline, LabelMaps, Method, Point, Sweep, as_written},
    ledger::fingerprint::{kept_registration, registration},
};

/// What all trained methods have in common, searched values as their ranges.
fn conditions(point: &Point) -> String {
    let searched = point.methods.iter().find(|method| method.search.is_some());
    let training = match searched.or(point.methods.first()) {
        Some(method) => as_written(method, &point.training).1,
        None => Value::Null,
    };
    let width = match point.model.embedding {
        Some(width) => format!("{width}-d"),
        None => "no embedding layer".to_owned(),
    };
    let mut conditions = vec![
        format!("{}, {width}", in_words(&point.model.backbone)),
        format!("{} steps", training["steps"]),
        in_words(&training["sampler"]),
        in_words(&training["optimizer"]),
    ];
    if let Some(Lora { rank, alpha }) = point.model.lora {
        conditions.push(format!("adapters of rank {rank}, alpha {alpha}"));
    }
    let skipped = point.model.drop_path;
    if skipped > 0.0 {
        let skipped = percent(skipped);
        conditions.push(format!("stochastic depth of up to {skipped} %"));
    }
    conditions.extend(layers(&training));
    conditions.extend(average(&training));
    conditions.extend(training_images(point.training_images));
    let of_losses = &training["loss_optimizer"];
    if !of_losses.is_null() {
        conditions.push(format!("parameters of losses: {}", in_words(of_losses)));
    }
    format!("Trained: {}.", conditions.join("; "))
}

/// How the optimizer treats some layers or parameters differently, unless it does not.
fn layers(training: &Value) -> Option<String> {
    let decay = &training["layer_decay"];
    let layers = (!decay.is_null()).then(|| {
        format!(
            "learning rate times {} for each layer before the head",
            in_words(decay)
        )
    });
    let matrices = (training["weight_decay_on"] == "matrices")
        .then(|| "weight decay on matrices alone".to_owned());
    let parts: Vec<String> = [layers, matrices].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Which average of the weights is measured, if one is.
fn average(training: &Value) -> Option<String> {
    let ema = &training["ema"];
    let decay = (!ema.is_null()).then(|| in_words(&ema["decay"]))?;
    let begins = match ema["warm_up"] == true {
        true => ", with a warm-up",
        false => "",
    };
    Some(format!(
        "measured by the exponential moving average of the weights, decay {decay}{begins}"
    ))
}

/// Which of the training images are trained on, unless it is all of them.
fn training_images(images: TrainingImages) -> Option<String> {
    let classes = images.classes.map(|classes| format!("{classes} classes"));
    let of_class = images.images_per_class;
    let of_class = of_class.map(|most| format!("at most {most} images of a class"));
    let noise = images.label_noise;
    let noise = (noise > 0.0).then(|| format!("{} % of labels wrong", percent(noise)));
    let parts: Vec<String> = [classes, of_class, noise].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// Returns a fraction in percent, without the digits of rounding.
fn percent(fraction: f64) -> f64 {
    (fraction * 1e6).round() / 1e4
}

/// That nothing is trained, and the network with its images unless only pixels are compared.
fn untrained(point: &Point) -> String {
    let mut baselines = point
        .methods
        .iter()
        .filter_map(|method| method.table.baseline);
    let has_network = baselines.any(|baseline| baseline != Baseline::Pixels);
    let size = match point.images.size {
        ImageSize::Square(side) => format!("resized to {side} x {side}"),
        ImageSize::ShortSide(side) => format!("resized to {side} on the shorter side"),
    };
    let crop = point.transform.test.center_crop;
    let crop = crop.map_or_else(String::new, |side| format!(", cropped to {side} x {side}"));
    match has_network {
        true => {
            let network = in_words(&point.model.backbone);
            format!("Nothing was trained. Network: {network}; images {size}{crop}.")
        }
        false => format!("Nothing was trained. Images {size}{crop}."),
    }
}

/// How a method differs from the others, apart from its loss.
fn exception(method: &Method, point: &Point) -> Option<String> {
    let written = as_written(method, &point.training).0;
    let mut own = Vec::new();
    if !written["sampler"].is_null() {
        own.push(in_words(&written["sampler"]));
    }
    if !written["loss_optimizer"].is_null() {
        let optimizer = in_words(&written["loss_optimizer"]);
        own.push(format!("its parameters: {optimizer}"));
    }
    let model = method.table.model(&point.model);
    if !model.heads.is_empty() {
        own.push(heads_in_words(&model));
    }
    if let Some(LabelMaps { members, classes }) = method.table.label_maps {
        own.push(format!(
            "{members} networks joined, each on a random map of the classes to {classes}"
        ));
    }
    own.extend(links_in_words(&written["links"]));
    let name = &method.table.name;
    (!own.is_empty()).then(|| format!("{name} differs: {}.", own.join("; ")))
}

/// The heads of a model: `heads of 96 + 160 + 256 dimensions`.
fn heads_in_words(model: &Model) -> String {
    let heads: Vec<String> = model.heads.iter().map(head_in_words).collect();
    let joined = match &model.join {
        Join::Equal => String::new(),
        Join::Width => ", joined by width".to_owned(),
        Join::Factors(factors) => format!(", joined by factors {factors:?}"),
    };
    format!("heads of {} dimensions{joined}", heads.join(" + "))
}

/// A head as the conditions show it: `170 on block2 convolved to 128 channels with mlp (hidden [1024]) and dropout 0.7`.
fn head_in_words(head: &EmbeddingHead) -> String {
    let mut words = head.width.to_string();
    if let Some(tap) = &head.tap {
        words += &format!(" on {tap}");
    }
    if let Some(Auxiliary { channels }) = head.auxiliary {
        words += &format!(" convolved to {channels} channels");
    }
    let layers = head.layers.as_ref().map(in_words);
    let dropout = (head.dropout > 0.0).then(|| format!("dropout {}", head.dropout));
    let own: Vec<String> = layers.into_iter().chain(dropout).collect();
    if !own.is_empty() {
        words += &format!(" with {}", own.join(" and "));
    }
    words
}

/// Each link with its settings: `boost: additive (shrinkage 0.06)`.
fn links_in_words(links: &Value) -> Vec<String> {
    let link = |(name, link): (&String, &Value)| match link_in_words(link) {
        settings if settings.is_empty() => name.clone(),
        settings => format!("{name}: {settings}"),
    };
    links.as_object().into_iter().flatten().map(link).collect()
}

fn link_in_words(link: &Value) -> String {
    let Value::Object(fields) = link else {
        return in_words(link);
    };
    if fields.values().all(Value::is_object) {
        return in_words(link);
    }
    let fields = fields.iter();
    let fields = fields.map(|(key, value)| format!("{key} {value}").replace('"', ""));
    fields.collect::<Vec<_>>().join(", ")
}

/// A setting as the file has it, without its punctuation: `adam (lr 0.001, weight_decay 0)`.
fn in_words(setting: &impl Serialize) -> String {
    match as_read(setting) {
        Value::String(name) => name,
        Value::Object(variant) => {
            let variants = variant.iter().map(|(name, fields)| {
                let fields: Vec<String> = fields
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| format!("{key} {value}"))
                    .collect();
                match fields.is_empty() {
                    true => name.clone(),
                    false => format!("{name} ({})", fields.join(", ")),
                }
            });
            variants.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// What a reader has to know to judge the numbers, each fact once.
pub(super) fn facts(opened: &Opened, rows: &[Row]) -> Vec<String> {
    let sweep = &opened.sweep;
    let mut lines = vec![format!("{}.", arithmetic(sweep))];
    for point in &sweep.points {
        lines.extend(of_point(point, opened, rows));
    }
    lines.extend(selection(sweep));
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

fn of_point(point: &Point, opened: &Opened, rows: &[Row]) -> Vec<String> {
    let title = opened.plan.titles.title(&point.dataset);
    let mut lines = Vec::new();
    lines.extend(test_images(point, title, rows));
    if point.trains() {
        lines.push(conditions(point));
        let exceptions = point.methods.iter();
        lines.extend(exceptions.filter_map(|method| exception(method, point)));
    } else {
        lines.push(untrained(point));
    }
    if matches!(point.dataset, Dataset::Glyphs(_)) {
        lines.push(GLYPHS.to_owned());
    }
    lines.extend(departures(point, title, opened));
    if point.trains() && point.training.labels == Labels::Shuffled {
        lines.push("Control experiment: trained on shuffled labels.".to_owned());
    }
    lines
}

const GLYPHS: &str =
    "Glyphs are synthetic: drawn by the program, they say nothing about photographs.";

/// What was measured on a data set, once a run has finished.
fn test_images(point: &Point, title: &str, rows: &[Row]) -> Option<String> {
    let mut of_dataset = rows.iter().filter(|row| row.dataset == point.dataset);
    let measured = of_dataset.find_map(|row| match &row.state {
        RunState::Finished(evaluated) => Some(evaluated),
        RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => None,
    })?;
    let side = point.transform.test_side(&point.images);
    let images = measured.images;
    let searched = match measured.gallery {
        Some(gallery) => {
            let drawn = match measured.draws {
                0 => String::new(),
                draws => {
                    format!(", the mean over {draws} galleries of a random image of each class")
                }
            };
            format!("{images} queries against {gallery} images, all at {side} px{drawn}")
        }
        None => {
            format!("{images} images at {side} px, each a query against all the others")
        }
    };
    let cameras = match measured.cameras {
        0 => "",
        _ => ", except the images of its class from its own camera",
    };
    let count = measured.classes;
    let classes = match point.trains() {
        true => format!("{count} classes never trained on"),
        false => format!("{count} test classes"),
    };
    Some(format!(
        "{title}: measured on {classes}, {searched}{cameras}."
    ))
}

/// How the files of a data set differ from the published ones, and how many images were left out.
fn departures(point: &Point, title: &str, opened: &Opened) -> Vec<String> {
    let Some(found) = found(point, opened) else {
        return Vec::new();
    };
    let differences = other_counts(title, &found);
    differences
        .into_iter()
        .chain(broken_images(title, &found))
        .collect()
}

/// What was found when the data set was added.
fn found(point: &Point, opened: &Opened) -> Option<Registration> {
    let mut data = opened.plan.data.iter();
    let (&id, _) = data.find(|(_, data)| data.dataset == point.dataset)?;
    let at_hand = registration(&point.dataset, &opened.sweep.data_root);
    at_hand.or_else(|| kept_registration(&opened.ledger, id))
}

fn other_counts(title: &str, found: &Registration) -> Option<String> {
    if found.differences.is_empty() {
        return None;
    }
    let mut differences = Vec::new();
    for line in &found.differences {
        let words: Vec<&str> = line.split_whitespace().collect();
        differences.push(words.join(" "));
    }
    let differences = differences.join("; ");
    Some(format!(
        "{title} is not as published ({differences}): its numbers compare with no published ones."
    ))
}

fn broken_images(title: &str, found: &Registration) -> Option<String> {
    let broken = found.broken.as_ref().filter(|broken| !broken.is_empty())?;
    let images = counted(broken.len(), "image");
    Some(format!(
        "{title} is without {images} that cannot be decoded."
    ))
}

/// What the measured weights were selected by; nothing if nothing was trained.
fn selection(sweep: &Sweep) -> Option<String> {
    if !sweep.points.iter().any(Point::trains) {
        return None;
    }
    let Some(Some(fold)) = sweep.folds.first() else {
        let last = "The weights of the last step are measured; nothing was chosen on any split.";
        return Some(last.to_owned());
    };
    let select = sweep.points[0].training.selecting().heading();
    let of = fold.of;
    let held_out = match fold.cut {
        Cut::Even => format!("{of} class-disjoint folds"),
        Cut::RealityCheck => format!(
            "{of} class-disjoint folds as the Reality Check cuts them (classes left over are validated on in no fold)"
        ),
        Cut::Last => format!("one held-out part, the last of {of}, of the training classes"),
    };
    Some(format!(
        "Weights were chosen by validation {select} on {held_out}; test classes chose nothing."
    ))
}

#[cfg(test)]
mod tests {
    use schema::{Head, Mlp};

    use super::*;

    #[test]
    fn a_head_is_shown_with_its_tap_its_layers_and_its_dropout() {
        let plain = EmbeddingHead::of_width(170);
        assert_eq!(head_in_words(&plain), "170");
        let tapped = EmbeddingHead {
            tap: Some("block2".to_owned()),
            layers: Some(Head::Mlp(Mlp { hidden: vec![1024] })),
            dropout: 0.7,
            ..plain
        };
        assert_eq!(
            head_in_words(&tapped),
            "170 on block2 with mlp (hidden [1024]) and dropout 0.7"
        );
        let convolved = EmbeddingHead {
            auxiliary: Some(Auxiliary { channels: 128 }),
            ..tapped
        };
        assert_eq!(
            head_in_words(&convolved),
            "170 on block2 convolved to 128 channels with mlp (hidden [1024]) and dropout 0.7"
        );
    }
}
