//! Every choice of the grammar, found in the types, can be changed in every way that changes a setting.

use std::fs;

use toml::{Table, Value};

use super::{
    grammar::{Grammar, Node},
    layers::Layers,
    *,
};

const BASE: &str = r#"
[sweep]
name = "test"
[data]
dataset = "omniglot"
[model]
backbone = "conv4"
[training]
steps = 10
sampler.m_per_class = { batch = 8, per_class = 4 }
optimizer.adam = { lr = 1e-3 }
[[method]]
name = "M"
loss.triplet = { margin = 0.2 }
"#;

/// Tables whose settings can vary.
const SETTINGS: [&str; 5] = ["data", "transform", "model", "training", "method.0"];

/// A choice of the grammar and two values for it.
struct Choice {
    path: Vec<String>,
    from: Value,
    to: Value,
    /// The name chosen by `to`.
    name: String,
}

impl Choice {
    /// The dotted key, with the name of the method.
    fn key(&self) -> String {
        self.path.join(".").replacen("method.0", "method.M", 1)
    }

    /// A file in which the choice is `from`.
    fn base(&self) -> Table {
        let mut base: Table = BASE.parse().unwrap();
        put(&mut base, &self.path, self.from.clone());
        base
    }

    fn to_in_toml(&self) -> String {
        self.to.to_string()
    }

    /// Asserts that a file reads, and that in it the choice is `to` and nothing else.
    #[track_caller]
    fn assert_made(&self, way: &str, path: &Path, text: &str, sets: &[String]) {
        let read = || -> Result<Table, Diagnostic> {
            let layers = Layers::gather(path, text, sets)?;
            let document = Document::parse(&layers)?;
            let (combinations, _) = document.combinations()?;
            let reading = document.first_reading(&combinations[0]);
            document.read::<SweepFile>(&reading)?;
            document.read::<Table>(&reading)
        };
        let table =
            read().unwrap_or_else(|mistake| panic!("{way} {}: {mistake}\n{text}", self.key()));
        let made = at(&Value::Table(table), &self.path);
        assert_eq!(
            names_of(&made),
            [self.name.as_str()],
            "{way} {}",
            self.key()
        );
    }
}

fn names_of(value: &Value) -> Vec<String> {
    match value {
        Value::String(name) => vec![name.clone()],
        Value::Table(choice) => choice.keys().cloned().collect(),
        other => panic!("{other} is no choice"),
    }
}

fn at(value: &Value, path: &[String]) -> Value {
    path.iter().fold(value.clone(), |value, key| match value {
        Value::Array(items) => items[key.parse::<usize>().unwrap()].clone(),
        other => other[key.as_str()].clone(),
    })
}

/// Puts a value at a path; tables on the way get what they need.
fn put(root: &mut Table, path: &[String], value: Value) {
    let mut node = Grammar::of_sweep_files().root();
    let mut whole = Value::Table(std::mem::take(root));
    let mut slot = &mut whole;
    for key in path {
        slot = enter(slot, key, node);
        node = node.child(key).unwrap();
    }
    *slot = value;
    *root = whole.try_into().unwrap();
}

/// The value under a key of a value whose grammar is `node`. A choice becomes the key's.
fn enter<'v>(value: &'v mut Value, key: &str, node: Node<'_>) -> &'v mut Value {
    if let Value::Array(items) = value {
        return &mut items[key.parse::<usize>().unwrap()];
    }
    let is_there = value
        .as_table()
        .is_some_and(|table| table.contains_key(key));
    if !value.is_table() || node.is_choice() && !is_there {
        *value = Value::Table(Table::new());
    }
    let table = value.as_table_mut().unwrap();
    table
        .entry(key.to_owned())
        .or_insert_with(|| example(node.child(key).unwrap(), 0))
}

/// The smallest value that the grammar allows; of a choice the one at this index.
fn example(node: Node<'_>, index: usize) -> Value {
    let names = node.names();
    if let Some(&name) = names.get(index) {
        let Some(settings) = node.child(name) else {
            return Value::String(name.to_owned());
        };
        return Value::Table(
            [(name.to_owned(), example(settings, 0))]
                .into_iter()
                .collect(),
        );
    }
    let schema = node.resolved();
    let length = schema["minItems"].as_u64().unwrap_or(1);
    // What may be absent has two types, and `null` is the second.
    let kind = schema["type"].as_str().or(schema["type"][0].as_str());
    match kind {
        Some("integer") => Value::Integer(8),
        Some("number") => Value::Float(1.0),
        Some("boolean") => Value::Boolean(true),
        Some("string") => Value::String("x".to_owned()),
        Some("array") => Value::Array(
            (0..length)
                .map(|_| example(node.items().unwrap(), 0))
                .collect(),
        ),
        _ => {
            let mut needed: Vec<&str> = schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(serde_json::Value::as_str)
                .collect();
            // A memory needs a size or a ratio, which its schema cannot say.
            if node.child("ratio").is_some() {
                needed.push("size");
            }
            let field = |key: &str| (key.to_owned(), example(node.child(key).unwrap(), 0));
            Value::Table(needed.into_iter().map(field).collect())
        }
    }
}

/// Every choice below a node, each with its path.
fn choices<'g>(
    node: Node<'g>,
    path: &mut Vec<String>,
    open: &mut Vec<*const serde_json::Value>,
    found: &mut Vec<(Vec<String>, Node<'g>)>,
) {
    let schema: *const _ = node.resolved();
    if open.contains(&schema) {
        return;
    }
    open.push(schema);
    if node.is_choice() {
        found.push((path.clone(), node));
    }
    for key in node.keys() {
        path.push(key.to_owned());
        choices(node.child(key).unwrap(), path, open, found);
        path.pop();
    }
    if let Some(items) = node.items() {
        path.push("0".to_owned());
        choices(items, path, open, found);
        path.pop();
    }
    open.pop();
}

/// Every choice of the grammar that has at least two names, from each to the next.
fn every_change() -> Vec<Choice> {
    let root = Grammar::of_sweep_files().root();
    let mut found = Vec::new();
    for table in SETTINGS {
        let mut path: Vec<String> = table.split('.').map(str::to_owned).collect();
        let node = root.descend(&path).unwrap();
        choices(node, &mut path, &mut Vec::new(), &mut found);
    }
    let changes = found.into_iter().flat_map(|(path, node)| {
        let count = node.names().len();
        let change = move |from: usize| {
            let to = (from + 1) % count;
            Choice {
                path: path.clone(),
                from: example(node, from),
                to: example(node, to),
                name: node.names()[to].to_owned(),
            }
        };
        (0..count).filter(move |_| count > 1).map(change)
    });
    changes.collect()
}

#[test]
fn every_choice_can_be_changed_by_a_file_that_extends_another() {
    let folder = tempfile::tempdir().unwrap();
    let (base, file) = (
        folder.path().join("base.toml"),
        folder.path().join("a.toml"),
    );
    // A list, such as that of methods, is replaced as a whole.
    let is_in_list = |choice: &Choice| choice.path.iter().any(|key| key.parse::<usize>().is_ok());
    for choice in every_change() {
        if is_in_list(&choice) {
            continue;
        }
        fs::write(&base, choice.base().to_string()).unwrap();
        let text = format!(
            "extends = [\"base.toml\"]\n{} = {}\n",
            choice.key(),
            choice.to_in_toml()
        );
        choice.assert_made("extends", &file, &text, &[]);
    }
}

#[test]
fn every_choice_can_be_changed_on_the_command_line() {
    let path = Path::new("test.toml");
    for choice in every_change() {
        let base = choice.base().to_string();
        let mut ways = vec![format!("{}={}", choice.key(), choice.to_in_toml())];
        if let Value::Table(to) = &choice.to {
            ways.push(format!(
                "{}.{}={}",
                choice.key(),
                choice.name,
                to[&choice.name]
            ));
        }
        for way in ways {
            choice.assert_made(&way, path, &base, std::slice::from_ref(&way));
        }
    }
}

#[test]
fn every_choice_can_be_an_axis() {
    for choice in every_change() {
        let text = format!(
            "{}\n[axes]\n\"{}\" = [{}]\n",
            choice.base(),
            choice.key(),
            choice.to_in_toml()
        );
        choice.assert_made("axis", Path::new("test.toml"), &text, &[]);
    }
}

#[test]
fn every_choice_can_be_overridden() {
    for choice in every_change() {
        let text = format!(
            "{}\n[[override]]\nwhen = {{ \"training.steps\" = 10 }}\nset = {{ \"{}\" = {} }}\n",
            choice.base(),
            choice.key(),
            choice.to_in_toml()
        );
        choice.assert_made("override", Path::new("test.toml"), &text, &[]);
    }
}

#[test]
fn the_grammar_has_its_choices() {
    let changes = every_change();
    let mut keys: Vec<String> = changes.iter().map(Choice::key).collect();
    keys.dedup();
    assert!(keys.len() >= 30, "{keys:?}");
    assert!(keys.contains(&"model.head".to_owned()), "{keys:?}");
    assert!(changes.len() >= 150, "{}", changes.len());
}
