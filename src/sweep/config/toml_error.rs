//! Messages of the TOML parser and of serde, in the words of someone who writes TOML.

use schema::renamed::RENAMED;

use super::{diagnostic::Diagnostic, meant::nearest, source::Source};

/// Returns the diagnostic of an error whose text begins at `start` in that of all.
pub(super) fn from_toml(source: Source<'_>, error: &toml::de::Error, start: usize) -> Diagnostic {
    let text = without_old_names(error.message());
    let span = error
        .span()
        .map(|span| span.start + start..span.end + start);
    let is_empty = span
        .as_ref()
        .is_some_and(|span| source.written(span).trim().is_empty());
    let message = match text.as_str().starts_with("string values must be quoted") && is_empty {
        true => "a value is missing".to_owned(),
        false => shortened(&in_plain_words(text.as_str())),
    };
    let diagnostic = match span {
        Some(span) => source.at(&span, message),
        None => Diagnostic::of_file(source.path, message),
    };
    let hint = suggestion(text.as_str()).or_else(|| {
        let is_yaml = text.contains("key with no value") && looks_like_yaml(source.text);
        is_yaml.then(|| "this looks like YAML, and a sweep file is TOML: write `[sweep]`, and below it `name = \"first\"`".to_owned())
    });
    match hint {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
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

/// Serde speaks of Rust's types; users know TOML's.
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
