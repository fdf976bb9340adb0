//! The grammar of sweep files as data, derived from the types that a file is read into.
//!
//! serde knows which keys a table may have and which tables are choices, but only while it reads.
//! Files are laid over each other before that, axes replace settings, and stored identities are
//! compared after it. All these steps ask this module. It answers from the JSON Schema of the type,
//! so a new enum or a new key needs no entry in a list.

use std::sync::LazyLock;

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
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flat_map(|properties| properties.keys())
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
