//! `sweep plan --origins`: each setting with its value and its origin. A setting that is not written has
//! its default, taken from the typed settings.

use std::collections::BTreeSet;

use schema::renamed::as_read;
use serde_json::{Value, json};

use super::first_of_each;
use crate::{
    cli::{Exit, Opened, Target, show::in_toml},
    config::{Origin, as_written, origins},
};

/// A key as its parts.
type KeyPath = Vec<String>;

/// The origin of a value that is written nowhere.
pub(in crate::cli) const DEFAULT: &str = "default";

/// Key, value and origin of every setting, written or default.
pub(in crate::cli) fn of(target: &Target, opened: &Opened) -> Result<Vec<[String; 3]>, Exit> {
    let written = origins(&target.file, &target.overrides)?;
    // `{}` only states that all settings have their defaults.
    let settings = written.iter().filter(|origin| origin.value != "{}");
    let set: BTreeSet<KeyPath> = settings
        .flat_map(|origin| settings_of(&origin.key, opened))
        .collect();
    let mut all = Vec::new();
    for Origin { key, value, from } in written {
        all.push([spelled(&key), value, from.to_string()]);
    }
    for (key, value) in defaults(opened) {
        if !is_set(&key, &set) {
            all.push([spelled(&key), in_toml(&value), DEFAULT.to_owned()]);
        }
    }
    all.sort();
    Ok(all)
}

/// A table of three columns.
pub(super) fn lines(origins: &[[String; 3]]) -> Vec<String> {
    let width = |column: usize| {
        let cells = origins
            .iter()
            .map(|row| row[column].chars().count().min(MOST));
        cells.max().unwrap_or(0)
    };
    let (keys, values) = (width(0), width(1));
    let cut = |text: &str| match text.chars().count() > MOST {
        true => text.chars().take(MOST - 2).chain("..".chars()).collect(),
        false => text.to_owned(),
    };
    origins
        .iter()
        .map(|[key, value, from]| format!("  {key:keys$}  {:values$}  {from}", cut(value)))
        .collect()
}

/// Longer values are cut.
const MOST: usize = 60;

/// A key as one writes it, with quotes where it needs them.
fn spelled(key: &[String]) -> String {
    key.iter()
        .map(|part| toml_edit::Key::new(part).to_string())
        .collect::<Vec<_>>()
        .join(".")
}

/// The settings that a written key sets: itself, or those that an axis or an override sets.
fn settings_of(key: &[String], opened: &Opened) -> Vec<KeyPath> {
    if let Some("axes" | "zip" | "include" | "override") = key.first().map(String::as_str) {
        let name = match key.last().map_or("", String::as_str) {
            "dataset" => "data.dataset",
            name => name,
        };
        let parts = toml_edit::Key::parse(name).unwrap_or_default();
        return vec![parts.iter().map(|part| part.get().to_owned()).collect()];
    }
    let mut settings = vec![key.to_vec()];
    // A setting of `[training]` is one of each method.
    if let [table, rest @ ..] = key
        && table == "training"
        && let Some(point) = opened.sweep.points.first()
    {
        for method in &point.methods {
            settings.push([&method_path(&method.table.name), rest].concat());
        }
    }
    settings
}

fn method_path(name: &str) -> KeyPath {
    vec!["method".to_owned(), name.to_owned()]
}

/// True if a key, a part of its value or a table that contains it is set.
fn is_set(key: &[String], set: &BTreeSet<KeyPath>) -> bool {
    let is_above = (1..=key.len()).any(|length| set.contains(&key[..length]));
    let mut below = set.range(key.to_vec()..);
    is_above || below.next().is_some_and(|next| next.starts_with(key))
}

/// All settings in the first combination of axis values.
fn defaults(opened: &Opened) -> Vec<(KeyPath, Value)> {
    let mut leaves = Vec::new();
    let Some(point) = opened.sweep.points.first() else {
        return leaves;
    };
    let mut shared = json!({
        "data": { "root": opened.sweep.data_root, "dataset": point.dataset, "cache": point.cache },
        "transform": point.transform,
        "model": point.model,
        "training": point.trains().then_some(&point.training),
        "resources": opened.sweep.resources,
    });
    shared["data"]["color"] = json!(point.images.color);
    shared["data"]["bounding_boxes"] = json!(point.images.bounding_boxes);
    shared["data"]["background"] = json!(point.images.background);
    shared["data"]["classes"] = json!(point.training_images.classes);
    shared["data"]["images_per_class"] = json!(point.training_images.images_per_class);
    shared["data"]["label_noise"] = json!(point.training_images.label_noise);
    match point.images.size {
        schema::ImageSize::Square(side) => shared["data"]["image_size"] = json!(side),
        schema::ImageSize::ShortSide(side) => shared["data"]["resize"] = json!(side),
    }
    flatten(&mut Vec::new(), &as_read(&shared), &mut leaves);
    for (method, training) in first_of_each(&opened.sweep) {
        let (written, _) = as_written(method, training);
        flatten(
            &mut method_path(&method.table.name),
            &as_read(&written),
            &mut leaves,
        );
    }
    leaves
}

fn flatten(key: &mut KeyPath, value: &Value, leaves: &mut Vec<(KeyPath, Value)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                key.push(name.clone());
                flatten(key, value, leaves);
                key.pop();
            }
        }
        leaf => leaves.push((key.clone(), leaf.clone())),
    }
}
