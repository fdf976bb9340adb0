//! Messages of the TOML parser and of serde, in the words of someone who writes TOML.

use std::ops::Range;

use schema::renamed::RENAMED;
use toml::de::{DeTable, DeValue};

use super::{diagnostic::Diagnostic, key, meant::nearest, source::Source};

/// Returns the diagnostic of an error whose text begins at `start` in that of all.
pub(super) fn from_toml(source: Source<'_>, error: &toml::de::Error, start: usize) -> Diagnostic {
    let text = without_old_names(error.message());
    let span = error
        .span()
        .map(|span| span.start + start..span.end + start);
    let written = span.as_ref().map(|span| source.written(span));
    let is_empty = written.is_some_and(|written| written.trim().is_empty());
    let message = match text.as_str().starts_with("string values must be quoted") && is_empty {
        true => "a value is missing".to_owned(),
        false => shortened(&in_plain_words(text.as_str())),
    };
    let diagnostic = match span {
        Some(span) => source.at(&span, message),
        None => Diagnostic::of_file(source.path, message),
    };
    let is_duplicate = text.starts_with("duplicate key");
    let first = error
        .span()
        .filter(|_| is_duplicate)
        .and_then(|span| first_of(source, start, &span));
    let straight = written.and_then(with_straight_quotes);
    let hint = suggestion(text.as_str()).or(first).or(straight).or_else(|| {
        let is_yaml = text.contains("key with no value") && looks_like_yaml(source.text);
        is_yaml.then(|| "this looks like YAML, and a sweep file is TOML: write `[sweep]`, and below it `name = \"first\"`".to_owned())
    });
    match hint {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

/// Returns where the other key of this name is, for a text that has a key twice.
///
/// The key is renamed, so that the text can be read: its neighbor of the old name is the other one.
fn first_of(source: Source<'_>, start: usize, key: &Range<usize>) -> Option<String> {
    let text = source.text_from(start);
    let name = text.get(key.clone())?;
    let unique = "_".repeat(text.len().min(key.len() + 40));
    let renamed = [&text[..key.start], &unique, &text[key.end..]].concat();
    let (table, _) = DeTable::parse_recoverable(&renamed);
    let parts = key::parts(name)?;
    let other = neighbor(table.get_ref(), &unique, parts.last()?)?;
    let line = source.line(start + other.start);
    Some(format!(
        "it is in line {line} already: remove one of the two"
    ))
}

/// Returns the place of the key `name` in the table that has the key `beside`.
fn neighbor(table: &DeTable<'_>, beside: &str, name: &str) -> Option<Range<usize>> {
    if table.contains_key(beside) {
        let (key, _) = table.get_key_value(name)?;
        return Some(key.span());
    }
    table
        .values()
        .find_map(|value| neighbor_in_value(value.get_ref(), beside, name))
}

fn neighbor_in_value(value: &DeValue<'_>, beside: &str, name: &str) -> Option<Range<usize>> {
    match value {
        DeValue::Table(table) => neighbor(table, beside, name),
        DeValue::Array(items) => items
            .iter()
            .find_map(|item| neighbor_in_value(item.get_ref(), beside, name)),
        _ => None,
    }
}

/// Returns a hint for a string in typographic quotes.
fn with_straight_quotes(written: &str) -> Option<String> {
    let is_quote = |letter: char| "“”„‟‘’".contains(letter);
    let inner = written.trim().strip_prefix(is_quote)?;
    let inner = inner.strip_suffix(is_quote).unwrap_or(inner);
    Some(format!("write it with straight quotes: \"{inner}\""))
}

/// True if the first line that is no comment is `key:`.
fn looks_like_yaml(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        line == "---"
            || line
                .split_once(':')
                .is_some_and(|(key, _)| !key.contains(['=', '"']))
    })
}

/// Leaves out the old spelling of names that are listed in the current one, too.
fn without_old_names(message: &str) -> String {
    let mut message = message.to_owned();
    for (old, new) in RENAMED {
        if message.contains(&format!("`{new}`")) {
            message = message.replace(&format!("`{old}`, "), "");
            message = message.replace(&format!(", `{old}`"), "");
        }
    }
    message
}

/// Serde names Rust's types; users know TOML's.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 21] = [
        (
            "string values must be quoted, expected literal string",
            "a string needs quotes",
        ),
        ("duplicate key", "this is already defined above"),
        (
            "wanted exactly 1 element, more than 1 element",
            "only one choice is allowed here, but several are given",
        ),
        (
            "wanted exactly 1 element, found 0 elements",
            "a choice is missing here: write `NAME = { .. }`",
        ),
        (
            "invalid type: unit variant, expected newtype variant",
            "this choice has settings: write `{ NAME = { .. } }`, or `{ NAME = {} }` for the defaults",
        ),
        (
            "invalid type: newtype variant, expected unit variant",
            "this choice has no settings: write only its name, in quotes",
        ),
        ("expected a sequence", "expected a list"),
        ("unknown field", "unknown key"),
        ("missing field", "missing key"),
        ("unknown variant", "unknown name"),
        ("invalid type: string", "found the string"),
        ("invalid type: boolean", "found the boolean"),
        ("invalid type: integer", "found the integer"),
        ("invalid type: floating point", "found the number"),
        ("invalid type: sequence", "found a list"),
        ("invalid type: map", "found a table"),
        ("invalid value: integer", "found the integer"),
        ("expected u32", "expected an integer of at least 0"),
        ("expected u64", "expected an integer of at least 0"),
        ("expected f64", "expected a number"),
        ("expected a string", "expected a string in quotes"),
    ];
    WORDS
        .iter()
        .fold(message.to_owned(), |message, (rust, plain)| {
            message.replace(rust, plain)
        })
}

/// More known names than this are no longer read, only the one that was meant.
const FEW: usize = 13;

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
