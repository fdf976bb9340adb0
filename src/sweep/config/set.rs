//! `--set key=value`: settings of the command line, written into the text of the sweep file.
//!
//! The text itself is edited, so that a later message shows the line that is in force. As in a file
//! that extends another, a key that names another choice replaces the choice.

use std::path::Path;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, TableLike, Value};

use super::{
    diagnostic::Diagnostic,
    grammar::{Grammar, Node},
    key,
    respell::current,
};

const EXAMPLES: &str =
    "--set training.steps=500, --set 'method.\"Triplet, semi-hard\".loss.triplet.margin=0.2'";

/// Returns the text with all assignments made.
///
/// # Errors
/// An assignment that is not `key=value`, or whose key leads nowhere.
pub(super) fn with_assignments(
    path: &Path,
    text: &str,
    assignments: &[String],
) -> Result<String, Diagnostic> {
    if assignments.is_empty() {
        return Ok(text.to_owned());
    }
    // A file that does not parse is reported with its own spans by `Layers::table`.
    let Ok(mut document) = text.parse::<DocumentMut>() else {
        return Ok(text.to_owned());
    };
    for assignment in assignments {
        assign_one(&mut document, assignment).map_err(|reason| {
            Diagnostic::of_file(path, format!("--set {assignment}: {reason}")).with_hint(EXAMPLES)
        })?;
    }
    Ok(document.to_string())
}

/// Returns the parts of the key of `key=value`.
pub(super) fn key_of(assignment: &str) -> Option<Vec<String>> {
    let (key, _) = assignment.split_once('=')?;
    key::parts(key.trim())
}

fn parts(key: &str) -> Result<Vec<String>, String> {
    key::parts(key.trim()).ok_or_else(|| {
        format!("`{key}` is not a key; a part with spaces or dots needs double quotes")
    })
}

fn assign_one(document: &mut DocumentMut, assignment: &str) -> Result<(), String> {
    let (key, value) = assignment.split_once('=').ok_or("expected key=value")?;
    let root = Grammar::of_sweep_files().root();
    let value = parse_value(value.trim());
    assign(document.as_table_mut(), &parts(key)?, value, Some(root))
}

/// Assigns a value at a path below a table.
fn assign(
    table: &mut dyn TableLike,
    path: &[String],
    value: Value,
    node: Option<Node<'_>>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Err("expected key=value".to_owned());
    };
    let first = &written(table, first, node);
    let node = node.and_then(|node| node.child(&spelled(first, Some(node))));
    let Some(next) = rest.first() else {
        replace(table, first, value);
        return Ok(());
    };
    if node.is_some_and(Node::is_choice) && !has_chosen(table, first, next, node) {
        table.remove(first);
    }
    match table.entry(first).or_insert_with(toml_edit::table) {
        Item::ArrayOfTables(rows) => assign_in_row(rows, first, rest, value, node),
        Item::Value(Value::Array(items)) => assign_in_list(items, first, rest, value, node),
        item => {
            let inner = item.as_table_like_mut();
            let inner = inner.ok_or_else(|| format!("`{first}` is not a table"))?;
            assign(inner, rest, value, node)
        }
    }
}

/// True if a choice is `name` already.
fn has_chosen(table: &dyn TableLike, choice: &str, name: &str, node: Option<Node<'_>>) -> bool {
    let chosen = table.get(choice).and_then(Item::as_table_like);
    chosen.is_some_and(|chosen| chosen.contains_key(&written(chosen, name, node)))
}

/// Returns a key as the table has it: in the current or in an old spelling.
fn written(table: &dyn TableLike, key: &str, node: Option<Node<'_>>) -> String {
    let meant = spelled(key, node);
    let mut keys = table.iter().map(|(known, _)| known);
    let known = keys.find(|known| spelled(known, node) == meant);
    known.unwrap_or(key).to_owned()
}

/// Returns a key in the current spelling.
fn spelled(key: &str, node: Option<Node<'_>>) -> String {
    let new = node.and_then(|node| current(key, node));
    new.unwrap_or(key).to_owned()
}

/// Assigns in one table of an array of tables: a method by its name, others by their index.
fn assign_in_row(
    rows: &mut ArrayOfTables,
    key: &str,
    path: &[String],
    value: Value,
    node: Option<Node<'_>>,
) -> Result<(), String> {
    let node = node.and_then(Node::items);
    let has_name = node.is_some_and(|node| node.child("name").is_some());
    let row = if has_name {
        "the name of a row"
    } else {
        "an index"
    };
    match path {
        [name, rest @ ..] if !rest.is_empty() => {
            let row = if has_name {
                row_named(rows, name)?
            } else {
                row_at(rows, key, name)?
            };
            assign(row, rest, value, node)
        }
        _ => Err(format!("`{key}` needs {row} and a key after it")),
    }
}

/// Assigns in an item of a list, such as `loss.sum.0.weight`.
fn assign_in_list(
    items: &mut Array,
    key: &str,
    path: &[String],
    value: Value,
    node: Option<Node<'_>>,
) -> Result<(), String> {
    let (index, rest) = path.split_first().ok_or("expected key=value")?;
    let position = index.parse::<usize>().ok();
    let item = position.and_then(|position| items.get_mut(position));
    let item = item.ok_or_else(|| no_item(key, index))?;
    if rest.is_empty() {
        *item = value;
        return Ok(());
    }
    let table = item.as_inline_table_mut();
    let table = table.ok_or_else(|| format!("`{key}.{index}` is not a table"))?;
    assign(table, rest, value, node.and_then(Node::items))
}

fn row_at<'r>(
    rows: &'r mut ArrayOfTables,
    key: &str,
    index: &str,
) -> Result<&'r mut dyn TableLike, String> {
    let position = index.parse::<usize>().ok();
    match position.and_then(|position| rows.get_mut(position)) {
        Some(row) => Ok(row),
        None => Err(no_item(key, index)),
    }
}

fn no_item(key: &str, index: &str) -> String {
    format!("`{key}` is a list and has no item `{index}`")
}

/// Replaces a value; comments beside it stay.
fn replace(table: &mut dyn TableLike, key: &str, value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

fn row_named<'r>(rows: &'r mut ArrayOfTables, name: &str) -> Result<&'r mut dyn TableLike, String> {
    let name_of = |row: &toml_edit::Table| Some(row.get("name")?.as_str()?.to_owned());
    let names: Vec<String> = rows.iter().filter_map(name_of).collect();
    let row = rows
        .iter_mut()
        .find(|row| name_of(row).as_deref() == Some(name));
    match row {
        Some(row) => Ok(row),
        None => Err(format!(
            "there is no method named `{name}`, only `{}`",
            names.join("`, `")
        )),
    }
}

/// Returns the value of a TOML expression, or the text itself: `--set sweep.name=mine` needs no
/// quotes within quotes.
fn parse_value(text: &str) -> Value {
    text.parse().unwrap_or_else(|_| text.into())
}
