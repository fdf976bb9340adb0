//! TOML with positions, and the values of `[axes]` put in their places.
//!
//! A value taken from an axis keeps its position in the `[axes]` table, so a mistake in it is shown there.

use std::{borrow::Cow, ops::Range, path::Path};

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{
    diagnostic::{Diagnostic, nearest},
    validate::Fault,
};

/// The tables whose keys may become an axis.
const REPORTED: [&str; 3] = ["data", "model", "training"];

pub(super) struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    table: Spanned<DeTable<'a>>,
    axes: Vec<Axis<'a>>,
}

struct Axis<'a> {
    name: String,
    place: Range<usize>,
    values: Vec<Spanned<DeValue<'a>>>,
}

/// One value of every axis.
pub(super) struct Combination<'d, 'a> {
    text: &'a str,
    choices: Vec<(&'d Axis<'a>, &'d Spanned<DeValue<'a>>)>,
}

impl<'a> Document<'a> {
    pub(super) fn parse(path: &'a Path, text: &'a str) -> Result<Document<'a>, Diagnostic> {
        let mut document = Document {
            path,
            text,
            table: DeTable::parse(text).map_err(|error| from_toml(path, text, &error))?,
            axes: Vec::new(),
        };
        document.axes = document.take_axes()?;
        Ok(document)
    }

    pub(super) fn axis_names(&self) -> Vec<String> {
        self.axes.iter().map(|axis| axis.name.clone()).collect()
    }

    /// All combinations, the last axis changing fastest.
    pub(super) fn combinations(&self) -> Vec<Combination<'_, 'a>> {
        let mut all = vec![Vec::new()];
        for axis in &self.axes {
            all = all
                .into_iter()
                .flat_map(|chosen: Vec<_>| {
                    axis.values.iter().map(move |value| [&chosen[..], &[(axis, value)]].concat())
                })
                .collect();
        }
        all.into_iter().map(|choices| Combination { text: self.text, choices }).collect()
    }

    /// The settings under one combination.
    pub(super) fn read<T: Deserialize<'a>>(&self, combination: &Combination<'_, 'a>) -> Result<T, Diagnostic> {
        let table = self.merged(combination)?;
        T::deserialize(Deserializer::from(table)).map_err(|error| from_toml(self.path, self.text, &error))
    }

    /// Shows a fault of the checked settings where its value stands.
    pub(super) fn point_at(&self, combination: &Combination<'_, 'a>, fault: Fault) -> Diagnostic {
        let place = self.merged(combination).ok().and_then(|table| place_of(table, &fault.key));
        let diagnostic = match place {
            Some(place) => Diagnostic::at(self.path, self.text, place, fault.message),
            None => Diagnostic::of_file(self.path, format!("`{}`: {}", fault.key, fault.message)),
        };
        match fault.hint {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        }
    }

    fn merged(&self, combination: &Combination<'_, 'a>) -> Result<Spanned<DeTable<'a>>, Diagnostic> {
        let mut table = self.table.clone();
        for (axis, value) in &combination.choices {
            put(table.get_mut(), &axis.name, axis.place.clone(), (*value).clone())
                .map_err(|reason| self.at(&axis.place, reason))?;
        }
        Ok(table)
    }

    fn take_axes(&mut self) -> Result<Vec<Axis<'a>>, Diagnostic> {
        let Some(axes) = self.table.get_mut().remove("axes") else { return Ok(Vec::new()) };
        let place = axes.span();
        let DeValue::Table(axes) = axes.into_inner() else {
            return Err(self.at(&place, "`axes` is a table: one key for each axis"));
        };
        let mut axes: Vec<_> = axes.into_iter().collect();
        axes.sort_by_key(|(key, _)| key.span().start);
        axes.into_iter().map(|(key, values)| self.axis(&key, values)).collect()
    }

    fn axis(&self, key: &Spanned<Cow<'a, str>>, values: Spanned<DeValue<'a>>) -> Result<Axis<'a>, Diagnostic> {
        let place = key.span();
        let name = match key.get_ref().as_ref() {
            "dataset" => "data.dataset",
            other => other,
        };
        let table = name.split('.').next().unwrap_or_default();
        if !REPORTED.contains(&table) || !name.contains('.') {
            return Err(self
                .at(&place, format!("`{name}` cannot be an axis"))
                .with_hint("an axis is `dataset` or a dotted key under `data`, `model` or `training`, in quotes: \"model.embedding\" = [64, 128]"));
        }
        let values_place = values.span();
        match values.into_inner() {
            DeValue::Array(array) if array.is_empty() => {
                Err(self.at(&values_place, format!("the axis `{name}` has no values")))
            }
            DeValue::Array(array) => Ok(Axis { name: name.to_owned(), place, values: array.into_iter().collect() }),
            _ => Err(self
                .at(&values_place, format!("the axis `{name}` is no array of values"))
                .with_hint(format!("[{}]", &self.text[values_place.clone()]))),
        }
    }

    fn at(&self, place: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.path, self.text, place.clone(), message)
    }
}

impl Combination<'_, '_> {
    /// The values as the file spells them, without the data set, which every table shows anyway.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let shown = self.choices.iter().filter(|(axis, _)| axis.name != "data.dataset");
        shown.map(|(axis, value)| (axis.name.clone(), self.text[value.span()].trim_matches('"').to_owned())).collect()
    }
}

/// Puts `value` at the dotted key, making tables on the way.
fn put<'a>(table: &mut DeTable<'a>, key: &str, place: Range<usize>, value: Spanned<DeValue<'a>>) -> Result<(), String> {
    let Some((first, rest)) = key.split_once('.') else {
        table.insert(Spanned::new(place, Cow::Owned(key.to_owned())), value);
        return Ok(());
    };
    if !table.contains_key(first) {
        let empty = Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
        table.insert(Spanned::new(place.clone(), Cow::Owned(first.to_owned())), empty);
    }
    match table.get_mut(first).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => put(inner, rest, place, value),
        Some(other) => Err(format!("`{first}` is a {}, so it has no key `{rest}`", other.type_str())),
        None => Ok(()),
    }
}

/// The place of a dotted key such as `method.1.loss.triplet.margin`, or of the nearest table around it.
fn place_of(table: Spanned<DeTable<'_>>, key: &str) -> Option<Range<usize>> {
    let mut value = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    let mut place = None;
    for part in key.split('.') {
        let next = match value.get_ref() {
            DeValue::Table(table) => table.get(part).cloned(),
            DeValue::Array(array) => part.parse().ok().and_then(|index: usize| array.get(index).cloned()),
            _ => None,
        };
        let Some(next) = next else { break };
        place = Some(next.span());
        value = next;
    }
    place
}

/// Edits the text itself, so that every later message shows the line that is in force.
pub(super) fn with_overrides(path: &Path, text: &str, overrides: &[String]) -> Result<String, Diagnostic> {
    if overrides.is_empty() {
        return Ok(text.to_owned());
    }
    // A file that does not parse is reported with its own positions by `Document::parse`.
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else { return Ok(text.to_owned()) };
    for assignment in overrides {
        override_one(&mut document, assignment).map_err(|reason| {
            Diagnostic::of_file(path, format!("--set {assignment}: {reason}"))
                .with_hint("--set training.steps=500, --set 'method.\"Triplet, semi-hard\".loss.triplet.margin=0.2'")
        })?;
    }
    Ok(document.to_string())
}

fn override_one(document: &mut toml_edit::DocumentMut, assignment: &str) -> Result<(), String> {
    let (key, value) = assignment.split_once('=').ok_or("expected key=value")?;
    let value = parse_value(value.trim());
    let keys = toml_edit::Key::parse(key.trim())
        .map_err(|_| format!("`{key}` is not a key; a part with spaces or dots needs double quotes"))?;
    let mut keys: Vec<&str> = keys.iter().map(toml_edit::Key::get).collect();
    let Some(last) = keys.pop() else { return Err("expected key=value".to_owned()) };
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    let mut keys = keys.into_iter();
    while let Some(key) = keys.next() {
        let item = table.entry(key).or_insert_with(toml_edit::table);
        table = match item {
            toml_edit::Item::ArrayOfTables(rows) => {
                let name = keys.next().ok_or_else(|| format!("`{key}` needs the name of a row"))?;
                row_named(rows, name)?
            }
            item => item.as_table_like_mut().ok_or_else(|| format!("`{key}` is not a table"))?,
        };
    }
    match table.get_mut(last).and_then(toml_edit::Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(last, toml_edit::Item::Value(value));
        }
    }
    Ok(())
}

fn row_named<'r>(
    rows: &'r mut toml_edit::ArrayOfTables,
    name: &str,
) -> Result<&'r mut dyn toml_edit::TableLike, String> {
    let names: Vec<String> = rows.iter().filter_map(|row| Some(row.get("name")?.as_str()?.to_owned())).collect();
    let Some(row) = rows.iter_mut().find(|row| row.get("name").and_then(toml_edit::Item::as_str) == Some(name)) else {
        return Err(format!("there is no method named `{name}`, only `{}`", names.join("`, `")));
    };
    Ok(row)
}

/// TOML if it is, otherwise text: `--set sweep.name=mine` needs no quotes within quotes.
fn parse_value(text: &str) -> toml_edit::Value {
    text.parse().unwrap_or_else(|_| text.into())
}

fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Diagnostic {
    let message = shortened(&in_plain_words(error.message()));
    let diagnostic = match error.span() {
        Some(place) => Diagnostic::at(path, text, place, message),
        None => Diagnostic::of_file(path, message),
    };
    match suggestion(error.message()) {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

/// Serde speaks of Rust's types; users know TOML's.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 14] = [
        ("unknown field", "unknown key"),
        ("missing field", "missing key"),
        ("unknown variant", "unknown name"),
        ("invalid type: string", "a text"),
        ("invalid type: boolean", "the boolean"),
        ("invalid type: integer", "the number"),
        ("invalid type: floating point", "the number"),
        ("invalid type: sequence", "an array"),
        ("invalid type: map", "a table"),
        ("invalid value: integer", "the number"),
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a string", "expected a text in quotes"),
    ];
    WORDS.iter().fold(message.to_owned(), |message, (rust, plain)| message.replace(rust, plain))
}

/// More known names than this are no longer read, only the one that was meant.
const FEW: usize = 12;

/// Finds the misspelt word and the known ones in serde's message. A long list of the known ones becomes the hint if
/// none of them is near.
fn suggestion(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    match nearest(found, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.len() > FEW => Some(format!("known are {}", known.join(", "))),
        None => None,
    }
}

fn shortened(message: &str) -> String {
    match message.split_once(", expected one of ") {
        Some((unknown, names)) if names.split('`').count() / 2 > FEW => unknown.to_owned(),
        _ => message.to_owned(),
    }
}
