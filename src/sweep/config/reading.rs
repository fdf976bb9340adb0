//! How the value of an axis reads for people, in tables, names and logs: `resnet18` for `{ resnet18 = {} }`.
//!
//! A choice reads as its name; its settings follow where the axis has the same choice with others:
//! `triplet, margin 0.1`. Two values that are not the same never read the same. Everything else reads as the
//! file has it.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{key::canonical, source::Source};

/// Returns how a value of an axis with these values reads.
pub(super) fn reading<'v>(
    value: &Spanned<DeValue<'_>>,
    values: impl Iterator<Item = &'v Spanned<DeValue<'v>>>,
    source: &Source<'_>,
) -> String {
    let own = match value.get_ref() {
        DeValue::String(text) => return text.clone().into_owned(),
        DeValue::Table(table) => Choice::of(table),
        _ => return source.written(&value.span()).to_owned(),
    };
    let alternatives: Vec<Settings<'_>> = values
        .filter_map(|value| own.alternative(value.get_ref()))
        .collect();
    let mut parts: Vec<String> = own.name.into_iter().collect();
    for (path, setting) in &own.settings {
        if alternatives
            .iter()
            .any(|other| setting.differs(other.get(path)))
        {
            parts.push(format!("{path} {}", setting.text(source)));
        }
    }
    match parts.as_slice() {
        [] => source.written(&value.span()).to_owned(),
        parts => parts.join(", "),
    }
}

/// A table as a name and settings; without a name unless it has only one key, with a table.
struct Choice<'v> {
    name: Option<String>,
    settings: Settings<'v>,
}

/// The settings of a choice, by their paths.
type Settings<'v> = BTreeMap<String, Setting<'v>>;

/// One setting.
struct Setting<'v> {
    written: &'v Spanned<DeValue<'v>>,
    /// Equal for equal values.
    canonical: String,
}

impl<'v> Choice<'v> {
    fn of(table: &'v DeTable<'v>) -> Choice<'v> {
        let mut entries = table.iter();
        let (name, settings) = match (entries.next(), entries.next()) {
            (Some((name, only)), None) => match only.get_ref() {
                DeValue::Table(settings) => (Some(name.get_ref().to_string()), settings),
                _ => (None, table),
            },
            _ => (None, table),
        };
        let mut all = Settings::new();
        add(&mut all, "", settings);
        Choice {
            name,
            settings: all,
        }
    }

    /// Returns the settings of another value if it is the same choice.
    fn alternative<'o>(&self, other: &'o DeValue<'o>) -> Option<Settings<'o>> {
        match other {
            DeValue::String(name) => {
                (self.name.as_deref() == Some(name.as_ref())).then(Settings::new)
            }
            DeValue::Table(table) => {
                let other = Choice::of(table);
                (self.name == other.name).then_some(other.settings)
            }
            _ => None,
        }
    }
}

impl Setting<'_> {
    fn differs(&self, other: Option<&Setting<'_>>) -> bool {
        other.is_none_or(|other| other.canonical != self.canonical)
    }

    fn text(&self, source: &Source<'_>) -> String {
        match self.written.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            _ => source.written(&self.written.span()).to_owned(),
        }
    }
}

/// Adds all values of a table that are no tables themselves; an empty table is a value.
fn add<'v>(all: &mut Settings<'v>, before: &str, table: &'v DeTable<'v>) {
    for (key, written) in table {
        let key = key.get_ref();
        let path = match before {
            "" => key.to_string(),
            _ => format!("{before}.{key}"),
        };
        match written.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => add(all, &path, inner),
            value => {
                let canonical = canonical(value);
                all.insert(path, Setting { written, canonical });
            }
        }
    }
}
