//! A JSON Schema of sweep files, for completion and checking in editors. It is made of the types that files are read into,
//! and widened where a file may say more than these: axes and ranges, searched values, and what is left to the files
//! that a file extends. It is a help while writing; `sweep check` has the last word.

use std::collections::BTreeSet;

use schema::{Boost, Card, Diversity, Loss, Memory, Miner, Optimizer, Sampler, Schedule};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{
    file::{MethodTable, TrainingTable},
    grammar::{ALSO, FIXED, Grammar, KEYED},
    key::METHOD,
    searched,
};

/// The schema, in the draft that editors of TOML understand.
pub fn json_schema() -> Value {
    let mut root = Grammar::of_sweep_files().schema().clone();
    tidy(&mut root);
    let mut definitions = take(&mut root, "definitions");
    for (name, cards) in [
        ("Loss", Loss::CARDS),
        ("Miner", Miner::CARDS),
        ("Memory", Memory::CARDS),
        ("Boost", Boost::CARDS),
        ("Diversity", Diversity::CARDS),
        ("Sampler", Sampler::CARDS),
        ("Optimizer", Optimizer::CARDS),
        ("Schedule", Schedule::CARDS),
    ] {
        describe(&mut definitions[name], cards);
    }
    let when = &mut definitions[&*MethodTable::schema_name()]["properties"]["when"];
    widen_with(when, condition());
    allow_searched(&mut definitions);
    definitions.insert("Searched".to_owned(), searched_value());
    loosen(&mut root, &mut definitions);
    for (key, table) in [
        ("axes", axes()),
        ("zip", zip()),
        ("include", include()),
        ("exclude", include()),
        ("override", overrides()),
    ] {
        widen_with(&mut root["properties"][key], table);
    }
    root["properties"]["extends"] = json!({
        "description": "Files that this one builds on, and presets: see `sweep show presets`.",
        "type": "array", "items": { "type": "string" },
    });
    root["title"] = json!("A sweep");
    root["description"] = json!("A comparison of deep-metric-learning methods, for `sweep run`.");
    root["definitions"] = Value::Object(definitions);
    root
}

/// Adds what the types leave open to the schema of a property.
fn widen_with(property: &mut Value, schema: Value) {
    if let (Some(property), Value::Object(schema)) = (property.as_object_mut(), schema) {
        property.extend(schema);
    }
}

fn take(root: &mut Value, key: &str) -> Map<String, Value> {
    match root.as_object_mut().and_then(|root| root.remove(key)) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Takes out what TOML does not have, and what only programmers read.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(schema) => {
            if let Some(Value::Array(types)) = schema.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [kind] = &types[..] {
                    schema["type"] = kind.clone();
                }
            }
            if let Some(Value::Array(options)) = schema.get_mut("anyOf") {
                options.retain(|option| option["type"] != "null");
            }
            if schema.get("default").is_some_and(Value::is_null) {
                schema.remove("default");
            }
            schema.remove(FIXED);
            schema.remove(KEYED);
            schema.remove(ALSO);
            if let Some(Value::String(text)) = schema.get_mut("description") {
                *text = text
                    .replace("[`", "`")
                    .replace("`]", "`")
                    .replace('\n', " ");
            }
            schema.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Says of each choice what `sweep show` says of it.
fn describe(definition: &mut Value, cards: &[Card]) {
    let Some(Value::Array(options)) = definition.get_mut("oneOf") else {
        return;
    };
    for option in options {
        let named = |card: &&Card| {
            option["properties"].get(card.name).is_some() || option["const"] == card.name
        };
        if let Some(card) = cards.iter().find(named) {
            let text = [card.formula, card.source]
                .into_iter()
                .filter(|text| !text.is_empty());
            option["description"] = json!(text.collect::<Vec<_>>().join(". "));
        }
    }
}

/// Lets a range of searched values stand for every number, choice and switch of a method or of the training.
fn allow_searched(definitions: &mut Map<String, Value>) {
    let mut reached = BTreeSet::new();
    let tables = [TrainingTable::schema_name(), MethodTable::schema_name()];
    let mut open: Vec<String> = tables.iter().map(|name| name.to_string()).collect();
    while let Some(name) = open.pop() {
        if let Some(definition) = definitions
            .get(&name)
            .filter(|_| reached.insert(name.clone()))
        {
            references(definition, &mut open);
        }
    }
    for name in reached {
        if let Some(definition) = definitions.get_mut(&name) {
            allow_within(definition);
        }
    }
}

/// The name of the definition that a property refers to, if it is a single one.
fn referenced(property: &Value) -> Option<&str> {
    let mut schema = property;
    while schema.get("$ref").is_none() {
        let options = schema.get("allOf").or(schema.get("anyOf"))?;
        let [only] = options.as_array()?.as_slice() else {
            return None;
        };
        schema = only;
    }
    definition_of(schema)
}

fn definition_of(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/definitions/")
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            found.extend(definition_of(schema).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Widens the properties of a schema and of its alternatives.
fn allow_within(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            let is_fixed = property
                .as_object_mut()
                .and_then(|property| property.remove(FIXED));
            if is_fixed.is_none() {
                allow_within(property);
                widen(property);
            }
        }
    }
    for alternatives in ["oneOf", "anyOf", "allOf"] {
        if let Some(Value::Array(options)) = schema.get_mut(alternatives) {
            options.iter_mut().for_each(allow_within);
        }
    }
    if let Some(items) = schema.get_mut("items") {
        allow_within(items);
        widen(items);
    }
}

fn widen(property: &mut Value) {
    let is_scalar = ["number", "integer", "boolean", "string"]
        .iter()
        .any(|kind| property["type"] == *kind);
    let refers = ["$ref", "allOf", "anyOf", "oneOf"]
        .iter()
        .any(|key| property.get(key).is_some());
    if !is_scalar && !refers {
        return;
    }
    let mut plain = std::mem::take(property);
    let description = plain
        .as_object_mut()
        .and_then(|plain| plain.remove("description"));
    let default = plain
        .as_object_mut()
        .and_then(|plain| plain.remove("default"));
    let mut options = match plain.get_mut("anyOf").map(Value::take) {
        Some(Value::Array(options)) => options,
        _ => vec![plain],
    };
    options.push(json!({ "$ref": "#/definitions/Searched" }));
    *property = json!({ "anyOf": options });
    for (key, value) in [("description", description), ("default", default)] {
        if let Some(value) = value {
            property[key] = value;
        }
    }
}

/// `{ uniform = [a, b] }` and its kin.
fn searched_value() -> Value {
    let two = |kind: &str| json!({ "type": "array", "items": { "type": kind }, "minItems": 2, "maxItems": 2 });
    let several = json!({ "type": "array", "minItems": 1 });
    let option = |kind: &str| {
        let values = match kind {
            "uniform" | "log_uniform" => two("number"),
            "int" | "log_int" => two("integer"),
            _ => several.clone(),
        };
        json!({
            "type": "object", "properties": { kind: values, "when": { "type": "object" } },
            "required": [kind], "additionalProperties": false,
        })
    };
    json!({
        "description": "A value that is searched: see [search].",
        "oneOf": searched::KINDS.map(option),
    })
}

/// What types ask for need not stand in a file that builds on others, or in which axes say it.
fn loosen(root: &mut Value, definitions: &mut Map<String, Value>) {
    let mut needed = Map::new();
    let tables = root["properties"].as_object();
    for (key, table) in tables.into_iter().flatten() {
        let required = referenced(table).and_then(|name| {
            definitions
                .get_mut(name)?
                .as_object_mut()?
                .remove("required")
        });
        if let Some(required) = required {
            needed.insert(key.clone(), json!({ "required": required }));
        }
    }
    let required = root
        .as_object_mut()
        .and_then(|root| root.remove("required"))
        .unwrap_or_default();
    let with_protocol =
        json!({ "required": ["sweep"], "properties": { "sweep": { "required": ["protocol"] } } });
    let mut elsewhere = ["extends", "axes", "zip"]
        .map(|key| json!({ "required": [key] }))
        .to_vec();
    elsewhere.push(with_protocol);
    root["if"] = json!({ "anyOf": elsewhere });
    root["then"] = json!({});
    let mut required: Vec<Value> = serde_json::from_value(required).unwrap_or_default();
    required.retain(|key| key != TRAINING);
    root["else"] = json!({
        "required": required,
        "properties": needed,
        "anyOf": [{ "required": [TRAINING] }, only_baselines()],
    });
}

const TRAINING: &str = "training";

/// A sweep of baselines alone needs no training.
fn only_baselines() -> Value {
    json!({
        "required": [METHOD],
        "properties": { (METHOD): { "items": { "required": ["baseline"] } } },
    })
}

fn condition() -> Value {
    json!({
        "description": "The combinations in which this holds: keys that all methods share, with a value or a list of values.",
        "type": "object",
    })
}

/// `[axes]`
fn axes() -> Value {
    json!({ "type": "object", "additionalProperties": values_of_an_axis() })
}

/// `[[zip]]`
fn zip() -> Value {
    json!({
        "type": "array",
        "items": { "type": "object", "additionalProperties": values_of_an_axis(), "minProperties": 2 },
    })
}

/// `[[include]]` and `[[exclude]]`
fn include() -> Value {
    json!({ "type": "array", "items": { "type": "object", "minProperties": 1 } })
}

/// `[[override]]`
fn overrides() -> Value {
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "when": condition(),
                "set": { "description": "Dotted keys in quotes, and their values.", "type": "object", "minProperties": 1 },
            },
            "required": ["when", "set"],
            "additionalProperties": false,
        },
    })
}

fn values_of_an_axis() -> Value {
    let range = |kind: &str, what: &str| {
        let three = json!({ "description": what, "type": "array", "items": { "type": "number" }, "minItems": 3, "maxItems": 3 });
        json!({ "type": "object", "properties": { kind: three }, "required": [kind], "additionalProperties": false })
    };
    json!({ "anyOf": [
        { "type": "array", "minItems": 1 },
        range("linspace", "from, to, count"),
        range("logspace", "from, to, count"),
        range("range", "from, to, step"),
    ] })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::config::{presets, tests::files_in};

    fn as_json(text: &str) -> Value {
        serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
    }

    fn validator() -> jsonschema::Validator {
        jsonschema::draft7::new(&json_schema()).unwrap()
    }

    #[track_caller]
    fn assert_conforms(name: &str, text: &str, validator: &jsonschema::Validator) {
        let mistakes: Vec<String> = validator
            .iter_errors(&as_json(text))
            .map(|mistake| format!("{}: {mistake}", mistake.instance_path()))
            .collect();
        assert!(mistakes.is_empty(), "{name}: {mistakes:#?}");
    }

    #[test]
    fn every_sweep_of_this_project_conforms() {
        let (validator, mut files) = (validator(), 0);
        for file in files_in("sweeps") {
            assert_conforms(
                &file.display().to_string(),
                &fs::read_to_string(&file).unwrap(),
                &validator,
            );
            files += 1;
        }
        assert!(files >= 3);
        for name in presets::names() {
            let preset = presets::text(name).unwrap();
            assert_conforms(name, &format!("extends = []\n{preset}"), &validator);
        }
    }

    #[test]
    fn whatever_a_file_may_say_beyond_its_types_conforms() {
        let text = r#"
            extends = ["presets/xbm"]
            [sweep]
            name = "a"
            seeds = [7, 8]
            folds.reality_check = 4
            [search]
            strategy = "gp"
            trials = 50
            [training]
            optimizer.adam = { lr = { log_uniform = [1e-5, 1e-2] } }
            [axes]
            dataset = ["omniglot", { glyphs = { classes = 10, test_classes = 4 } }]
            "model.embedding" = { range = [64, 512, 64] }
            [[zip]]
            "data.image_size" = [28, 32]
            "training.steps" = [100, 200]
            [[include]]
            "model.embedding" = 1024
            [[exclude]]
            method = "M"
            dataset = "omniglot"
            [[override]]
            when = { dataset = "omniglot" }
            set = { "training.steps" = 500 }
            [[method]]
            name = "M"
            when = { dataset = "omniglot" }
            loss.margin = { margin = { uniform = [0.0, 1.0] }, beta = { grid = [0.5, 1.0] }, boundary = { choice = ["learned", "constant"] } }
            miner.distance_weighted = {}
            distance = { lp = 1 }
            memory.xbm = { size = { int = [64, 512] }, preset = "pml" }
            [[method]]
            name = "Sum"
            loss.sum = [{ weight = 0.5, loss.triplet = {} }, { loss.contrastive = { neg_margin = { uniform = [0.1, 0.9] } } }]
            [report]
            metrics = ["recall@16", "map@r"]
            layout = ["benchmark", "reality_check"]
        "#;
        assert_conforms("all", text, &validator());
    }

    #[test]
    fn malformed_files_do_not_conform() {
        let validator = validator();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed");
        for name in [
            "06_unknown_table",
            "07_unknown_key",
            "08_unknown_loss",
            "09_unknown_loss_setting",
            "10_unknown_miner",
            "12_unknown_sampler",
            "13_unknown_backbone",
            "15_unknown_metric",
            "16_recall_at_nothing",
            "17_two_losses",
            "18_loss_as_text",
            "22_method_without_name",
            "28_number_as_text",
            "29_fraction_of_a_step",
            "30_negative_steps",
            "31_no_steps_at_all",
            "37_one_fold",
            "40_seed_twice",
            "44_axis_without_values",
            "54_range_of_two",
            "61_zip_of_one_key",
            "76_override_without_settings",
            "83_unknown_device",
            "87_method_when_as_text",
            "88_exclud",
            "91_searched_misspelt",
            "92_searched_with_one_bound",
        ] {
            let text = fs::read_to_string(folder.join(name).with_extension("toml")).unwrap();
            assert!(!validator.is_valid(&as_json(&text)), "{name} conforms");
        }
    }

    #[test]
    fn settings_are_explained_where_they_are_written() {
        let schema = json_schema();
        let explained = |pointer: &str| {
            schema
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        assert!(
            explained("/definitions/TrainingTable/properties/steps/description")
                .contains("Steps to train")
        );
        assert!(!explained("/definitions/Triplet/properties/margin/description").is_empty());
        assert_eq!(
            schema.pointer("/definitions/Triplet/properties/margin/default"),
            Some(&json!(0.05))
        );
        let losses = schema["definitions"]["Loss"]["oneOf"].as_array().unwrap();
        assert!(
            losses
                .iter()
                .all(|loss| !loss["description"].as_str().unwrap().starts_with("See "))
        );
    }
}
