//! The grammar of sweep files as data, derived from the types that a file is read into.
//!
//! serde knows which keys a table may have and which tables are choices, but only while it reads.
//! Files are laid over each other before that, axes replace settings, and stored identities are
//! compared after it. All these steps ask this module. It answers from the JSON Schema of the type,
//! so a new enum or a new key needs no entry in a list.

use std::{collections::BTreeSet, sync::LazyLock};

use schemars::{
    JsonSchema,
    generate::{Contract, SchemaSettings},
};
use serde_json::Value;

use super::file::SweepFile;

/// Schema keyword of tables whose keys are dotted keys of settings: `[axes]`, `when`.
pub(super) const KEYED: &str = "x-keyed";
/// Schema keyword of keys that no axis, condition or override can name.
pub(super) const FIXED: &str = "x-fixed";

/// Schema keyword of keys and choices: what other programs call them.
pub(super) const ALSO: &str = "x-also";

/// All that a type accepts, as a JSON Schema.
#[derive(Debug)]
pub struct Grammar {
    root: Value,
}

/// What the grammar allows at one path.
#[derive(Clone, Copy, Debug)]
pub struct Node<'g> {
    root: &'g Value,
    schema: &'g Value,
}

/// What kind of value stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table with fixed keys.
    Table,
    /// A name, or a table whose only key is one.
    Choice,
    /// One of some names.
    Names,
    /// A list.
    List,
    /// A number, a string or a boolean.
    Scalar(Scalar),
    /// Several kinds, or anything.
    Open,
}

/// A value that is no table and no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    /// An integer.
    Integer,
    /// A number.
    Number,
    /// A string.
    String,
    /// True or false.
    Boolean,
}

impl Scalar {
    /// Returns the scalar of a type of JSON Schema.
    fn of(kind: &str) -> Option<Scalar> {
        match kind {
            "integer" => Some(Scalar::Integer),
            "number" => Some(Scalar::Number),
            "string" => Some(Scalar::String),
            "boolean" => Some(Scalar::Boolean),
            _ => None,
        }
    }
}

static TYPED: LazyLock<Grammar> =
    LazyLock::new(|| Grammar::new::<SweepFile>(Contract::Deserialize));

impl Grammar {
    /// Returns the grammar of what a user types in a sweep file.
    pub fn of_sweep_files() -> &'static Grammar {
        &TYPED
    }

    /// Returns the grammar of the serialized form of a type.
    pub fn of_stored<T: JsonSchema>() -> Grammar {
        Grammar::new::<T>(Contract::Serialize)
    }

    fn new<T: JsonSchema>(contract: Contract) -> Grammar {
        let mut settings = SchemaSettings::draft07();
        settings.contract = contract;
        let schema = settings.into_generator().into_root_schema_for::<T>();
        Grammar {
            root: schema.to_value(),
        }
    }

    /// Returns the JSON Schema itself.
    pub(super) fn schema(&self) -> &Value {
        &self.root
    }

    /// Returns the node of the whole value.
    pub fn root(&self) -> Node<'_> {
        Node {
            root: &self.root,
            schema: &self.root,
        }
    }
}

impl<'g> Node<'g> {
    /// Returns the node under a key: a key of a table, the name of a choice or an index of a list.
    pub fn child(self, key: &str) -> Option<Node<'g>> {
        let schema = self.resolved();
        if let Some(property) = schema["properties"].get(key) {
            return Some(self.with(property));
        }
        let option = alternatives(schema).find_map(|option| option["properties"].get(key));
        if let Some(option) = option {
            return Some(self.with(option));
        }
        if key.parse::<usize>().is_ok() {
            return self.items();
        }
        None
    }

    /// Returns the node at a path of keys below this one.
    pub fn descend<K: AsRef<str>>(self, path: &[K]) -> Option<Node<'g>> {
        path.iter()
            .try_fold(self, |node, key| node.child(key.as_ref()))
    }

    /// Returns the node of the items of a list.
    pub fn items(self) -> Option<Node<'g>> {
        let items = self.resolved().get("items")?;
        items.is_object().then(|| self.with(items))
    }

    /// Returns the keys of a table in alphabetical order; for a choice, those with settings.
    pub fn keys(self) -> Vec<&'g str> {
        let schema = self.resolved();
        let own = properties(schema);
        let of_options = alternatives(schema).flat_map(properties);
        own.chain(of_options).map(String::as_str).collect()
    }

    /// Returns the keys that this table must have.
    pub(super) fn required(self) -> impl Iterator<Item = &'g str> {
        let required = self.resolved()["required"].as_array().into_iter().flatten();
        required.filter_map(Value::as_str)
    }

    /// Returns what the value means, if that is described.
    pub(super) fn description(self) -> Option<&'g str> {
        self.schema["description"].as_str()
    }

    /// Returns what other programs call the keys and choices of this table, each with its name here.
    pub(super) fn other_names(self) -> Vec<(&'g str, &'g str)> {
        let schema = self.resolved();
        let mut names = Vec::new();
        for (name, property) in properties_of(schema) {
            names.extend(also(property).map(|other| (other, name.as_str())));
        }
        for option in alternatives(schema) {
            let name = written_names(option).into_iter().next();
            let name = name.or(properties(option).next().map(String::as_str));
            names.extend(
                name.into_iter()
                    .flat_map(|name| also(option).map(move |other| (other, name))),
            );
        }
        names
    }

    /// Returns the path to the nearest key below this table that has this name, here or in another
    /// program.
    pub(super) fn find_key(self, name: &str) -> Option<Vec<String>> {
        let mut level = vec![(Vec::new(), self)];
        let mut seen = BTreeSet::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for (path, node) in level {
                if !seen.insert(std::ptr::from_ref(node.resolved())) {
                    continue;
                }
                let below = node.items().unwrap_or(node);
                let mut keys = below.keys();
                // What every table has to have is meant more often.
                let required: Vec<&str> = below.required().collect();
                keys.sort_by_key(|key| !required.contains(key));
                let others = below.other_names();
                let other = others.iter().find(|(other, _)| *other == name);
                let is_table = below.kind() == Kind::Table;
                let key = keys
                    .iter()
                    .find(|key| **key == name)
                    .or(other.map(|(_, name)| name));
                if let Some(key) = key.filter(|_| is_table) {
                    return Some([path, vec![(*key).to_owned()]].concat());
                }
                for key in keys {
                    let path = [path.clone(), vec![key.to_owned()]].concat();
                    next.extend(below.child(key).map(|inner| (path, inner)));
                }
            }
            level = next;
        }
        None
    }

    /// Returns what kind of value this is.
    pub(super) fn kind(self) -> Kind {
        let schema = self.resolved();
        if self.is_keyed() {
            return Kind::Open;
        }
        let is_name = |option: &Value| !written_names(option).is_empty();
        let is_named = |option: &Value| is_name(option) || properties(option).count() == 1;
        let options = || alternatives(schema);
        if options().next().is_some() {
            return if options().all(is_name) {
                Kind::Names
            } else if options().all(is_named) {
                Kind::Choice
            } else {
                Kind::Open
            };
        }
        if !written_names(schema).is_empty() {
            return Kind::Names;
        }
        if schema["properties"].is_object() && schema["additionalProperties"] == false {
            return Kind::Table;
        }
        match only_type(schema) {
            Some("array") if schema["items"].is_object() => Kind::List,
            Some(kind) => Scalar::of(kind).map_or(Kind::Open, Kind::Scalar),
            None => Kind::Open,
        }
    }

    /// True if exactly one key of this table names what is chosen: `{ adam = { .. } }`.
    pub fn is_choice(self) -> bool {
        let counts = || alternatives(self.resolved()).map(|option| properties(option).count());
        counts().any(|count| count == 1) && counts().all(|count| count <= 1)
    }

    /// Returns the names that can be chosen here, with or without settings.
    pub fn names(self) -> Vec<&'g str> {
        let schema = self.resolved();
        let mut names = written_names(schema);
        for option in alternatives(schema) {
            names.extend(written_names(option));
            names.extend(properties(option).map(String::as_str));
        }
        names
    }

    /// True if no axis, condition or override can name this key.
    pub(super) fn is_fixed(self) -> bool {
        self.schema[FIXED] == true
    }

    /// True if the keys of this table are dotted keys of settings.
    pub(super) fn is_keyed(self) -> bool {
        self.resolved()[KEYED] == true
    }

    /// Returns the schema of the value itself: references and options that may be absent resolved.
    pub(super) fn resolved(self) -> &'g Value {
        let mut schema = self.schema;
        loop {
            let next = match &schema["$ref"] {
                Value::String(reference) => self.root.pointer(reference.trim_start_matches('#')),
                _ => only_alternative(schema),
            };
            match next {
                Some(next) => schema = next,
                None => return schema,
            }
        }
    }

    fn with(self, schema: &'g Value) -> Node<'g> {
        Node { schema, ..self }
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = &String> {
    properties_of(schema).map(|(name, _)| name)
}

fn properties_of(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema["properties"].as_object();
    properties.into_iter().flatten()
}

/// What other programs call the key or the choice with this schema.
fn also(schema: &Value) -> impl Iterator<Item = &str> {
    let names = schema[ALSO].as_array().into_iter().flatten();
    names.filter_map(Value::as_str)
}

/// The type of a schema that has a single one, without the null of an optional value.
fn only_type(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            let only = kinds.find(|kind| *kind != "null")?;
            kinds.all(|kind| kind == "null").then_some(only)
        }
        _ => None,
    }
}

/// The alternatives of a schema, without the null of an optional value.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf"]
        .iter()
        .filter_map(|keyword| schema[keyword].as_array())
        .flatten()
        .filter(|option| option["type"] != "null")
}

/// The schema that a reference with a description, or an optional value, stands for.
fn only_alternative(schema: &Value) -> Option<&Value> {
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return Some(only);
    }
    let mut options = schema["anyOf"].as_array()?.iter();
    let only = options.find(|option| option["type"] != "null")?;
    let is_only = options.all(|option| option["type"] == "null");
    is_only.then_some(only)
}

/// The strings that a schema lists as values.
fn written_names(schema: &Value) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    let names = listed.chain(schema.get("const"));
    names.filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_told_from_a_table_and_from_a_list_of_names() {
        let root = Grammar::of_sweep_files().root();
        let at = |path: &str| {
            let path: Vec<&str> = path.split('.').collect();
            root.descend(&path).unwrap()
        };
        for choice in [
            "data.dataset",
            "model.head",
            "model.backbone",
            "training.optimizer",
            "training.freeze_trunk",
            "training.clip",
            "sweep.folds",
            "method.0.loss",
            "method.0.loss.sum.0.loss",
            "method.0.distance",
        ] {
            assert!(at(choice).is_choice(), "{choice}");
        }
        for other in [
            "data",
            "model",
            "training.steps",
            "training.optimizer.adam",
            "data.cache",
            "method.0.loss.triplet",
        ] {
            assert!(!at(other).is_choice(), "{other}");
        }
        assert!(at("training.optimizer").names().contains(&"adam_w"));
        assert_eq!(at("data.cache").names(), ["auto", "always", "never"]);
        assert!(root.child("resources").is_some_and(Node::is_fixed));
        assert!(at("method.0.name").is_fixed() && !at("method.0.loss").is_fixed());
    }
}
