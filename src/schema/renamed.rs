//! Keys of sweep files that were renamed.
//!
//! A sweep file is written with the new spelling. The serialized form of a recipe keeps the old one,
//! because the id of a run is a hash of it. Types carry both spellings in their serde attributes;
//! this table is for programs that handle JSON or TOML without the types.

use serde::Serialize;
use serde_json::Value;

/// Renamed keys and choices: (old, new). The old spelling is what a recipe serializes to; the new
/// one is what a user writes and reads.
pub const RENAMED: &[(&str, &str)] = &[
    ("centres", "centers"),
    ("colour", "color"),
    ("colour_jitter", "color_jitter"),
    ("colours", "colors"),
    ("generalised_lifted", "generalized_lifted"),
    ("grey", "gray"),
    ("learnt", "learned"),
    ("normalise", "normalize"),
    ("normalised_softmax", "normalized_softmax"),
    ("regulariser", "regularizer"),
];

/// Returns the new spelling of a renamed key or choice, if `old` is one.
pub fn renamed(old: &str) -> Option<&'static str> {
    RENAMED
        .iter()
        .find(|(known, _)| *known == old)
        .map(|(_, new)| *new)
}

/// New keys that are also the key of something that was never renamed: (new, its parent).
const ONLY_BELOW: &[(&str, &str)] = &[("regularizer", "soft_triple")];

/// Returns a dotted key, such as `loss.soft_triple.centers`, in the spelling that a recipe serializes
/// to.
pub fn in_old_spelling(path: &str) -> String {
    let mut keys = Vec::new();
    let mut parent = "";
    for key in path.split('.') {
        keys.push(old_spelling(key, parent));
        parent = key;
    }
    keys.join(".")
}

fn old_spelling<'k>(key: &'k str, parent: &str) -> &'k str {
    let elsewhere = ONLY_BELOW
        .iter()
        .any(|(new, below)| *new == key && *below != parent);
    RENAMED
        .iter()
        .find(|(_, new)| *new == key && !elsewhere)
        .map_or(key, |(old, _)| *old)
}

/// Returns a dotted key, such as `loss.soft_triple.centres`, in the spelling that a user reads.
pub fn path_in_new_spelling(path: &str) -> String {
    let keys: Vec<&str> = path
        .split('.')
        .map(|key| renamed(key).unwrap_or(key))
        .collect();
    keys.join(".")
}

/// Keys whose value is free text: a name that equals an old key is still that name.
const FREE_TEXT: &[&str] = &["name", "root", "weights"];

/// Returns a value as a user reads it: as JSON, in the new spelling.
pub fn as_read<T: Serialize + ?Sized>(value: &T) -> Value {
    in_new_spelling(serde_json::to_value(value).unwrap_or_default())
}

/// Returns a serialized recipe, or a piece of one, in the spelling that a user reads.
pub fn in_new_spelling(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().map(field).collect()),
        Value::Array(items) => Value::Array(items.into_iter().map(in_new_spelling).collect()),
        Value::String(text) => Value::String(renamed(&text).map_or(text, str::to_owned)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

fn field((key, value): (String, Value)) -> (String, Value) {
    if FREE_TEXT.contains(&key.as_str()) {
        return (key, value);
    }
    let key = renamed(&key).map_or(key, str::to_owned);
    (key, in_new_spelling(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::{Serialize, de::DeserializeOwned};

    use super::*;
    use crate::{
        Backbone, Boundary, Color, ColorJitter, ColorOrder, ImageInput, ImageSize, Loss, Model,
        RandomErasing, StoredImages, Torchscript, TrainTransform,
    };

    /// Asserts that each value serializes to the old spelling and is read from both. Returns the
    /// renamed keys and choices that occur.
    fn renamed_in<T>(values: Vec<T>) -> BTreeSet<&'static str>
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let mut found = BTreeSet::new();
        for value in values {
            let old = serde_json::to_value(&value).unwrap();
            let new = in_new_spelling(old.clone());
            let text = old.to_string();
            for (key, new_key) in RENAMED {
                assert!(!text.contains(&format!("\"{new_key}\"")), "{text}");
                if text.contains(&format!("\"{key}\"")) {
                    found.insert(*key);
                }
            }
            assert_eq!(serde_json::from_value::<T>(old).unwrap(), value);
            assert_eq!(serde_json::from_value::<T>(new).unwrap(), value);
        }
        found
    }

    fn stored(color: Color) -> StoredImages {
        StoredImages {
            size: ImageSize::Square(28),
            color,
            bounding_boxes: false,
            background: None,
        }
    }

    fn jittered() -> TrainTransform {
        TrainTransform {
            color_jitter: Some(ColorJitter::default()),
            random_erasing: Some(RandomErasing::default()),
            ..TrainTransform::default()
        }
    }

    fn models() -> Vec<Model> {
        let input = ImageInput {
            colors: ColorOrder::Bgr,
            ..ImageInput::IMAGENET
        };
        let script = Torchscript {
            weights: None,
            input,
        };
        vec![Model {
            normalize: false,
            ..Model::new(Backbone::Torchscript(script), None)
        }]
    }

    #[test]
    fn a_dotted_key_has_its_old_spelling_only_where_it_was_renamed() {
        let old = "loss.soft_triple.regulariser";
        assert_eq!(path_in_new_spelling(old), "loss.soft_triple.regularizer");
        assert_eq!(in_old_spelling("loss.soft_triple.regularizer"), old);
        assert_eq!(
            in_old_spelling("regularizer.zero_mean"),
            "regularizer.zero_mean"
        );
    }

    #[test]
    fn a_name_that_equals_an_old_key_stays() {
        let own = serde_json::json!({ "own": { "name": "grey" }, "colour": "grey" });
        let read = serde_json::json!({ "own": { "name": "grey" }, "color": "gray" });
        assert_eq!(as_read(&own), read);
    }

    #[test]
    fn every_renamed_key_is_written_the_old_way_and_read_both_ways() {
        let found = [
            renamed_in(Loss::every()),
            renamed_in(vec![Boundary::Learned]),
            renamed_in([Color::Gray, Color::Rgb].map(stored).to_vec()),
            renamed_in(vec![jittered()]),
            renamed_in(models()),
        ];
        let found: BTreeSet<&str> = found.into_iter().flatten().collect();
        let listed: BTreeSet<&str> = RENAMED.iter().map(|(old, _)| *old).collect();
        assert_eq!(found, listed);
    }
}
