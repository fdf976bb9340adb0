//! `--set key=value`: settings of the command line, laid over those of all files.
//!
//! Each assignment is a text of its own, so that a message about it shows it as it was typed. As in
//! a file that extends another, a key that names another choice replaces the choice.

use std::{borrow::Cow, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    grammar::Node,
    key,
    meant::nearest,
    source::{SET, Source},
    toml_error::from_toml,
};

const EXAMPLES: &str = "write, for example, --set training.steps=500 or \
     --set 'method.\"Triplet, semi-hard\".loss.triplet.margin=0.2'";

/// `key=value`, with places in the text that it is part of.
#[derive(Clone, Debug)]
pub(super) struct Assignment {
    pub(super) key: Vec<String>,
    pub(super) key_span: Range<usize>,
    value: Range<usize>,
}

impl Assignment {
    /// Reads an assignment that lies at `start` in the text of all.
    ///
    /// # Errors
    /// It is not `key=value`.
    pub(super) fn read(text: &str, start: usize) -> Result<Assignment, Diagnostic> {
        let wrong = |place: Range<usize>, message: &str| {
            Diagnostic::at(Path::new(SET), text, place, message).with_hint(EXAMPLES)
        };
        let Some(equals) = equals_sign(text) else {
            return Err(wrong(0..text.len(), "expected key=value"));
        };
        let (key, value) = (
            trimmed(text, 0..equals),
            trimmed(text, equals + 1..text.len()),
        );
        let Some(parts) = key::parts(&text[key.clone()]) else {
            let message = "this is not a key; a part with spaces or dots needs double quotes";
            return Err(wrong(key, message));
        };
        if value.is_empty() {
            return Err(wrong(value, "a value is missing"));
        }
        Ok(Assignment {
            key: parts,
            key_span: start + key.start..start + key.end,
            value: start + value.start..start + value.end,
        })
    }

    /// Returns the value. What is not TOML is a string, so that `--set sweep.name=mine` needs no
    /// quotes within quotes.
    ///
    /// # Errors
    /// It begins like a list, a table or a string, and is none.
    pub(super) fn value<'a>(&self, source: Source<'a>) -> Result<Spanned<DeValue<'a>>, Diagnostic> {
        let text = &source.text[self.value.clone()];
        match DeValue::parse(text) {
            Ok(value) => Ok(moved(value, self.value.start)),
            Err(error) if text.starts_with(['[', '{', '"', '\'']) => {
                Err(from_toml(source, &error, self.value.start))
            }
            Err(_) => Ok(Spanned::new(
                self.value.clone(),
                DeValue::String(text.into()),
            )),
        }
    }

    /// Puts the value in its place; `node` is what the grammar allows in the table.
    ///
    /// # Errors
    /// The key leads nowhere.
    pub(super) fn put<'a>(
        &self,
        table: &mut DeTable<'a>,
        value: Spanned<DeValue<'a>>,
        node: Node<'_>,
    ) -> Result<(), String> {
        self.assign(table, &self.key, value, Some(node))
    }

    /// Assigns a value at a path below a table.
    fn assign<'a>(
        &self,
        table: &mut DeTable<'a>,
        path: &[String],
        value: Spanned<DeValue<'a>>,
        node: Option<Node<'_>>,
    ) -> Result<(), String> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(());
        };
        let Some(next) = rest.first() else {
            table.insert(self.spanned(Cow::Owned(first.clone())), value);
            return Ok(());
        };
        let node = node.and_then(|node| node.child(first));
        if node.is_some_and(Node::is_choice) && !has_chosen(table, first, next) {
            table.remove(first.as_str());
        }
        if !table.contains_key(first.as_str()) {
            let empty = self.spanned(DeValue::Table(DeTable::new()));
            table.insert(self.spanned(Cow::Owned(first.clone())), empty);
        }
        match table.get_mut(first.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => self.assign(inner, rest, value, node),
            Some(DeValue::Array(items)) => self.assign_in_list(items, first, rest, value, node),
            _ => Err(format!("`{first}` is not a table")),
        }
    }

    /// Assigns in an item of a list: a method by its name, others by their index.
    fn assign_in_list<'a>(
        &self,
        items: &mut DeArray<'a>,
        list: &str,
        path: &[String],
        value: Spanned<DeValue<'a>>,
        node: Option<Node<'_>>,
    ) -> Result<(), String> {
        let node = node.and_then(Node::items);
        let Some((item, rest)) = path.split_first() else {
            return Ok(());
        };
        let is_named = node.is_some_and(|node| node.child("name").is_some());
        let found = match is_named {
            true => item_named(items, list, item)?,
            false => item_at(items, list, item)?,
        };
        match (found.get_mut(), rest) {
            (_, []) if is_named => Err(format!("`{list}.{item}` needs a key after it")),
            (_, []) => {
                *found = value;
                Ok(())
            }
            (DeValue::Table(inner), rest) => self.assign(inner, rest, value, node),
            _ => Err(format!("`{list}.{item}` is not a table")),
        }
    }

    fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned::new(self.key_span.clone(), value)
    }
}

/// True if a choice is `name` already.
fn has_chosen(table: &DeTable<'_>, choice: &str, name: &str) -> bool {
    let chosen = table
        .get(choice)
        .and_then(|choice| choice.get_ref().as_table());
    chosen.is_some_and(|chosen| chosen.contains_key(name))
}

fn item_named<'t, 'a>(
    items: &'t mut DeArray<'a>,
    list: &str,
    name: &str,
) -> Result<&'t mut Spanned<DeValue<'a>>, String> {
    let names: Vec<String> = items.iter().filter_map(name_of).collect();
    let position = items
        .iter()
        .position(|item| name_of(item).as_deref() == Some(name));
    if let Some(item) = position.and_then(|position| items.get_mut(position)) {
        return Ok(item);
    }
    let others = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are `{}`", names.join("`, `")),
    };
    Err(format!("there is no {list} named `{name}`: {others}"))
}

fn name_of(item: &Spanned<DeValue<'_>>) -> Option<String> {
    let name = item.get_ref().as_table()?.get("name")?;
    Some(name.get_ref().as_str()?.to_owned())
}

fn item_at<'t, 'a>(
    items: &'t mut DeArray<'a>,
    list: &str,
    index: &str,
) -> Result<&'t mut Spanned<DeValue<'a>>, String> {
    let position = index.parse::<usize>().ok();
    let item = position.and_then(|position| items.get_mut(position));
    item.ok_or_else(|| format!("`{list}` is a list and has no item `{index}`"))
}

/// Returns the position of the first `=` outside quotes.
fn equals_sign(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (None, '=') => return Some(at),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), letter) if open == letter => quote = None,
            _ => {}
        }
    }
    None
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

/// Moves all positions in a value.
pub(super) fn moved(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = shifted(value.span(), by);
    let value = match value.into_inner() {
        DeValue::Array(items) => {
            DeValue::Array(items.into_iter().map(|item| moved(item, by)).collect())
        }
        DeValue::Table(table) => DeValue::Table(moved_table(table, by)),
        other => other,
    };
    Spanned::new(span, value)
}

/// Moves all positions in a table.
pub(super) fn moved_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let mut all = DeTable::new();
    for (key, value) in table {
        let span = shifted(key.span(), by);
        all.insert(Spanned::new(span, key.into_inner()), moved(value, by));
    }
    all
}

fn shifted(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}
