//! Dotted keys, as they stand in quotes in `[axes]`, `when` and `set`: which setting is meant.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    diagnostic::{Diagnostic, nearest},
    source::Source,
};

/// Tables that determine no result, or that are about the sweep as a whole.
const FIXED: [&str; 10] = [
    "sweep",
    "resources",
    "report",
    "waive",
    "search",
    "axes",
    "zip",
    "include",
    "exclude",
    "override",
];

/// Which setting is meant, and where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// As the file spells it, `dataset` in full.
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) place: Range<usize>,
}

impl Key {
    /// Reads a key that shall become `what`; `value` is only looked at for a hint.
    pub(super) fn read(
        source: &Source<'_>,
        key: &Spanned<Cow<'_, str>>,
        value: &DeValue<'_>,
        what: &str,
    ) -> Result<Key, Diagnostic> {
        let name = match key.get_ref().as_ref() {
            "dataset" => "data.dataset",
            other => other,
        };
        let place = key.span();
        let parts = toml_edit::Key::parse(name).map_err(|_| {
            source.at(&place, format!("`{name}` is not a key")).with_hint(
                "a part with spaces or dots needs quotes of its own: \"method.'Triplet, semi-hard'.loss.triplet.margin\"",
            )
        })?;
        let path: Vec<String> = parts.iter().map(|part| part.get().to_owned()).collect();
        let table = path.first().map(String::as_str).unwrap_or_default();
        if path.len() < 2 {
            let hint = match value {
                DeValue::Table(inner) if !FIXED.contains(&table) => quoted(name, inner),
                _ => "it is `dataset` or a dotted key in quotes: \"model.embedding\", \"training.steps\"".to_owned(),
            };
            return Err(source
                .at(&place, format!("`{name}` cannot be {what}"))
                .with_hint(hint));
        }
        let last = path.last().map(String::as_str).unwrap_or_default();
        let is_fixed = FIXED.contains(&table)
            || name == "data.root"
            || (table == "method" && (path.len() < 3 || ["name", "when"].contains(&last)));
        if is_fixed {
            let hint = "it is `dataset` or a dotted key under `data`, `model`, `training` or `method.NAME`, in quotes: \"model.embedding\"";
            return Err(source
                .at(&place, format!("`{name}` cannot be {what}"))
                .with_hint(hint));
        }
        Ok(Key {
            name: name.to_owned(),
            path,
            place,
        })
    }

    /// The method whose setting it is.
    pub(super) fn method(&self) -> Option<&str> {
        (self.path[0] == "method").then(|| self.path[1].as_str())
    }

    /// True if it is the data set or one of its settings.
    pub(super) fn is_of_dataset(&self) -> bool {
        self.path[0] == "data" && self.path[1] == "dataset"
    }

    /// The path below the method.
    pub(super) fn in_method(&self) -> &[String] {
        &self.path[2..]
    }

    /// Refuses a method that the file does not have.
    pub(super) fn check_method(
        &self,
        source: &Source<'_>,
        methods: &[String],
    ) -> Result<(), Diagnostic> {
        let Some(name) = self
            .method()
            .filter(|&name| methods.iter().all(|known| known != name))
        else {
            return Ok(());
        };
        Err(source.unknown_method(&self.place, name, methods))
    }
}

impl Source<'_> {
    pub(super) fn unknown_method(
        &self,
        place: &Range<usize>,
        name: &str,
        methods: &[String],
    ) -> Diagnostic {
        let names: Vec<String> = methods.iter().map(|name| format!("`{name}`")).collect();
        let diagnostic = self.at(place, format!("there is no method named `{name}`"));
        match nearest(name, methods.iter().map(String::as_str)) {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None => diagnostic.with_hint(format!("there are {}", names.join(", "))),
        }
    }
}

/// `"model.embedding" = ..`, for someone who left out the quotes.
fn quoted(name: &str, table: &DeTable<'_>) -> String {
    let mut path = name.to_owned();
    let mut table = table;
    while let Some((key, value)) = table.iter().next() {
        path = format!("{path}.{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if inner.len() == 1 => table = inner,
            _ => break,
        }
    }
    format!("a dotted key needs quotes here: \"{path}\" = ..")
}

/// The value at a path, through tables and arrays.
pub(super) fn value_at<'t, 'a>(
    table: &'t DeTable<'a>,
    path: &[String],
) -> Option<&'t Spanned<DeValue<'a>>> {
    let (first, rest) = path.split_first()?;
    let mut value = table.get(first.as_str())?;
    for part in rest {
        value = match value.get_ref() {
            DeValue::Table(table) => table.get(part.as_str())?,
            DeValue::Array(array) => array.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// Puts `value` at a path, making tables on the way.
pub(super) fn put<'a>(
    table: &mut DeTable<'a>,
    path: &[String],
    place: &Range<usize>,
    value: Spanned<DeValue<'a>>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        table.insert(
            Spanned::new(place.clone(), Cow::Owned(first.clone())),
            value,
        );
        return Ok(());
    }
    if !table.contains_key(first.as_str()) {
        let empty = Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
        table.insert(
            Spanned::new(place.clone(), Cow::Owned(first.clone())),
            empty,
        );
    }
    match table.get_mut(first.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => put(inner, rest, place, value),
        Some(DeValue::Array(items)) => put_in_array(items, first, rest, place, value),
        Some(other) => Err(format!(
            "`{first}` is a {}, so it has no key `{}`",
            other.type_str(),
            rest.join(".")
        )),
        None => Ok(()),
    }
}

fn put_in_array<'a>(
    items: &mut DeArray<'a>,
    name: &str,
    path: &[String],
    place: &Range<usize>,
    value: Spanned<DeValue<'a>>,
) -> Result<(), String> {
    let position = path[0]
        .parse::<usize>()
        .ok()
        .filter(|&position| position < items.len());
    let Some(position) = position else {
        return Err(format!(
            "`{name}` is a list, so it has no key `{}`",
            path[0]
        ));
    };
    let mut items = items.iter_mut();
    match (items.nth(position).map(Spanned::get_mut), &path[1..]) {
        (Some(old), []) => *old = value.into_inner(),
        (Some(DeValue::Table(inner)), rest) => return put(inner, rest, place, value),
        (Some(_) | None, _) => return Err(format!("`{name}` has no key `{}`", path.join("."))),
    }
    Ok(())
}

/// Whether two values are the same setting: `0.5` and `5e-1` are.
pub(super) fn same(left: &DeValue<'_>, right: &DeValue<'_>) -> bool {
    match (left, right) {
        (DeValue::Array(left), DeValue::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right.iter())
                    .all(|(l, r)| same(l.get_ref(), r.get_ref()))
        }
        (DeValue::Table(left), DeValue::Table(right)) => {
            let mut pairs = left.iter();
            left.len() == right.len()
                && pairs.all(|(key, l)| {
                    right
                        .get(key.get_ref().as_ref())
                        .is_some_and(|r| same(l.get_ref(), r.get_ref()))
                })
        }
        (DeValue::String(left), DeValue::String(right)) => left == right,
        (DeValue::Boolean(left), DeValue::Boolean(right)) => left == right,
        (DeValue::Datetime(left), DeValue::Datetime(right)) => left == right,
        _ => number(left).is_some_and(|left| number(right) == Some(left)),
    }
}

/// Whether a condition's value means this setting: the same, or the name of a choice that has settings of its own.
pub(super) fn means(condition: &DeValue<'_>, setting: &DeValue<'_>) -> bool {
    match (condition, setting) {
        (DeValue::String(name), DeValue::Table(choice)) => {
            choice.len() == 1 && choice.contains_key(name.as_ref())
        }
        _ => same(condition, setting),
    }
}

/// A number as all settings understand it.
pub(super) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(_) => whole(value).map(|whole| whole as f64),
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    }
}

/// A whole number.
pub(super) fn whole(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok(),
        _ => None,
    }
}
