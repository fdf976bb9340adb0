//! `sweep plan --origins`: each value and where it is from. What is written nowhere has its default, which is read off the
//! settings that came of the file.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::first_of_each;
use crate::{
    cli::{Exit, Opened, Target, show::in_toml},
    config::{Origin, as_written, origins},
};

/// Key, value and origin of everything that is set, or left at its default.
pub(super) fn of(target: &Target, opened: &Opened) -> Result<Vec<[String; 3]>, Exit> {
    let written = origins(&target.file, &target.overrides)?;
    // `{}` says only that all else is at its default.
    let settings = written.iter().filter(|origin| origin.value != "{}");
    let said: BTreeSet<String> = settings
        .flat_map(|origin| told(&origin.key, opened))
        .collect();
    let mut all: Vec<[String; 3]> = written
        .into_iter()
        .map(|Origin { key, value, from }| [spelled(&key), value, from.to_string()])
        .collect();
    let defaults = defaults(opened)
        .into_iter()
        .filter(|(key, _)| !is_said(key, &said));
    all.extend(defaults.map(|(key, value)| [key, in_toml(&value), "default".to_owned()]));
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

/// The settings that a written key speaks of: itself, or what an axis or an override puts in its place.
fn told(key: &[String], opened: &Opened) -> Vec<String> {
    let methods = || {
        opened
            .sweep
            .points
            .first()
            .into_iter()
            .flat_map(|point| &point.methods)
    };
    match key.first().map(String::as_str) {
        Some("axes" | "zip" | "include" | "override") => {
            let name = key.last().map_or("", |name| {
                if name == "dataset" {
                    "data.dataset"
                } else {
                    name
                }
            });
            let parts = toml_edit::Key::parse(name).unwrap_or_default();
            vec![spelled(
                &parts
                    .iter()
                    .map(|part| part.get().to_owned())
                    .collect::<Vec<_>>(),
            )]
        }
        _ => {
            // What is said of all methods is said of each.
            let shared = spelled(key);
            let of_each = shared.strip_prefix("training.").map(|rest| {
                methods()
                    .map(|method| format!("{}.{rest}", method_key(&method.table.name)))
                    .collect()
            });
            [vec![shared], of_each.unwrap_or_default()].concat()
        }
    }
}

fn method_key(name: &str) -> String {
    spelled(&["method".to_owned(), name.to_owned()])
}

/// Whether a key, a part of its value or what it is a part of is written somewhere.
fn is_said(key: &str, said: &BTreeSet<String>) -> bool {
    let above = key.match_indices('.').map(|(end, _)| &key[..end]);
    let below = format!("{key}.");
    said.contains(key)
        || above.into_iter().any(|above| said.contains(above))
        || said
            .range(below.clone()..)
            .next()
            .is_some_and(|next| next.starts_with(&below))
}

/// All settings that came of the file, in the first combination of axis values.
fn defaults(opened: &Opened) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    let Some(point) = opened.sweep.points.first() else {
        return leaves;
    };
    let mut shared = json!({
        "data": { "root": opened.sweep.data_root, "dataset": point.dataset, "cache": point.cache },
        "transform": point.transform,
        "model": point.model,
        "training": point.training,
        "resources": opened.sweep.resources,
    });
    shared["data"]["colour"] = json!(point.images.colour);
    shared["data"]["bounding_boxes"] = json!(point.images.bounding_boxes);
    match point.images.size {
        schema::ImageSize::Square(side) => shared["data"]["image_size"] = json!(side),
        schema::ImageSize::ShortSide(side) => shared["data"]["resize"] = json!(side),
    }
    flatten(&mut Vec::new(), &shared, &mut leaves);
    for (method, training) in first_of_each(&opened.sweep) {
        let (written, _) = as_written(method, training);
        flatten(
            &mut vec!["method".to_owned(), method.table.name.clone()],
            &written,
            &mut leaves,
        );
    }
    leaves
}

fn flatten(key: &mut Vec<String>, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Null => {}
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                key.push(name.clone());
                flatten(key, value, leaves);
                key.pop();
            }
        }
        leaf => leaves.push((spelled(key), leaf.clone())),
    }
}
