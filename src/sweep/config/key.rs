//! Dotted keys, as they stand in quotes in `[axes]`, `when` and `set`: which setting is meant.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    grammar::{Grammar, Node},
    meant::nearest,
    source::Source,
};

const SETTINGS: &str = "write `dataset`, or a dotted key in quotes that begins with `data`, `transform`, `model`, \
     `training` or `method.NAME`, such as \"model.embedding\"";

/// Which setting is meant, and where that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// As the file spells it, `dataset` in full.
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) span: Range<usize>,
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
        let span = key.span();
        let path = parts(name).ok_or_else(|| {
            source.at(&span, format!("`{name}` is not a key")).with_hint(
                "a part with spaces or dots needs quotes of its own: \"method.'Triplet, semi-hard'.loss.triplet.margin\"",
            )
        })?;
        if node_of(&path[..1]).is_none()
            && let Some(node) = node_of(&[METHOD.to_owned(), String::new()])
            && node.descend(&path).is_some()
        {
            let message =
                format!("`{name}` is a setting of a method, and the key does not say of which");
            return Err(source.at(&span, message).with_hint(format!(
                "for all methods that have it write \"method.*.{name}\""
            )));
        }
        if path.len() < 2 || is_fixed(&path) {
            let hint = match value {
                DeValue::Table(inner) if !is_fixed(&path) => quoted(name, inner),
                _ => SETTINGS.to_owned(),
            };
            return Err(source
                .at(&span, format!("`{name}` cannot be {what}"))
                .with_hint(hint));
        }
        Ok(Key {
            name: name.to_owned(),
            path,
            span,
        })
    }

    /// The method whose setting it is.
    pub(super) fn method(&self) -> Option<&str> {
        (self.path[0] == METHOD).then(|| self.path[1].as_str())
    }

    /// What the grammar allows in a method.
    pub(super) fn method_node(&self) -> Option<Node<'static>> {
        node_of(&self.path[..2])
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
        Err(source.unknown_method(&self.span, name, methods))
    }
}

/// Splits a dotted key into its parts. A `*` for the name of a method needs no quotes.
pub(super) fn parts(key: &str) -> Option<Vec<String>> {
    let parts = match key.strip_prefix("method.*.") {
        Some(inner) => toml_edit::Key::parse(&format!("method.'*'.{inner}")),
        None => toml_edit::Key::parse(key),
    };
    let parts = parts.ok()?;
    Some(parts.iter().map(|part| part.get().to_owned()).collect())
}

/// Returns the dotted key with these parts.
pub(super) fn written(path: &[String]) -> String {
    let parts = path
        .iter()
        .map(|part| toml_edit::Key::new(part).to_string());
    parts.collect::<Vec<_>>().join(".")
}

/// Finds what the grammar allows at a dotted key, in which a method has its name for an index.
pub(super) fn node_of(path: &[String]) -> Option<Node<'static>> {
    let root = Grammar::of_sweep_files().root();
    match path {
        [first, _, rest @ ..] if first == METHOD => root.child(METHOD)?.items()?.descend(rest),
        path => root.descend(path),
    }
}

/// True if a key is about the sweep as a whole, and not a setting that can vary.
fn is_fixed(path: &[String]) -> bool {
    let is_method = path.first().is_some_and(|first| first == METHOD);
    let is_whole_method = is_method && path.len() < 3;
    let depths = [1, path.len()];
    let mut nodes = depths.iter().filter_map(|&depth| node_of(&path[..depth]));
    is_whole_method || nodes.any(Node::is_fixed)
}

/// The table of methods, which are known by their names and not by an index.
pub(super) const METHOD: &str = "method";

impl Source<'_> {
    pub(super) fn unknown_method(
        &self,
        span: &Range<usize>,
        name: &str,
        methods: &[String],
    ) -> Diagnostic {
        let names: Vec<String> = methods.iter().map(|name| format!("`{name}`")).collect();
        let diagnostic = self.at(span, format!("there is no method named `{name}`"));
        match nearest(name, methods.iter().map(String::as_str)) {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None => diagnostic.with_hint(format!("the methods are {}", names.join(", "))),
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
    format!("write the whole key in quotes: \"{path}\" = ..")
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

/// Puts `value` at a path, making tables on the way; `node` is what the grammar allows at `table`.
///
/// # Errors
/// The path leads through a value that is no table, or into another choice than the one made there.
pub(super) fn put<'a>(
    table: &mut DeTable<'a>,
    path: &[String],
    span: &Range<usize>,
    value: Spanned<DeValue<'a>>,
    node: Option<Node<'_>>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    let key = || Spanned::new(span.clone(), Cow::Owned(first.clone()));
    if rest.is_empty() {
        table.insert(key(), value);
        return Ok(());
    }
    let node = node.and_then(|node| node.child(first));
    if !table.contains_key(first.as_str()) {
        let empty = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
        table.insert(key(), empty);
    }
    let Some(inner) = table.get_mut(first.as_str()).map(Spanned::get_mut) else {
        return Ok(());
    };
    if node.is_some_and(Node::is_choice) {
        is_chosen(inner, first, rest)?;
    }
    match inner {
        DeValue::Table(inner) => put(inner, rest, span, value, node),
        DeValue::Array(items) => put_in_array(items, first, rest, span, value, node),
        other => Err(format!(
            "`{first}` is a {}, so it has no key `{}`",
            other.type_str(),
            rest.join(".")
        )),
    }
}

/// Refuses a path into one choice where another is made.
fn is_chosen(choice: &DeValue<'_>, key: &str, path: &[String]) -> Result<(), String> {
    let chosen = match choice {
        DeValue::Table(table) => table.keys().next().map(|name| name.get_ref().as_ref()),
        DeValue::String(name) => Some(name.as_ref()),
        _ => None,
    };
    match chosen {
        Some(chosen) if chosen != path[0] => Err(format!(
            "`{key}` is `{chosen}` here, so it has no `{}`; give `{key}` as a whole: `{{ {} = .. }}`",
            path.join("."),
            path[0]
        )),
        _ => Ok(()),
    }
}

fn put_in_array<'a>(
    items: &mut DeArray<'a>,
    name: &str,
    path: &[String],
    span: &Range<usize>,
    value: Spanned<DeValue<'a>>,
    node: Option<Node<'_>>,
) -> Result<(), String> {
    let Some((index, rest)) = path.split_first() else {
        return Ok(());
    };
    let item = index
        .parse::<usize>()
        .ok()
        .and_then(|index| items.get_mut(index));
    match (item.map(Spanned::get_mut), rest) {
        (Some(item), []) => *item = value.into_inner(),
        (Some(DeValue::Table(inner)), rest) => {
            return put(inner, rest, span, value, node.and_then(Node::items));
        }
        (Some(_), _) => return Err(format!("`{name}` has no key `{}`", path.join("."))),
        (None, _) => return Err(format!("`{name}` is a list and has no item `{index}`")),
    }
    Ok(())
}

/// Returns the same text for two values if they are the same setting: `0.5` and `5e-1`, or tables with
/// their keys in another order.
pub(super) fn canonical(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| canonical(item.get_ref())).collect();
            format!("[{}]", items.join(","))
        }
        DeValue::Table(table) => {
            let entries: BTreeMap<&str, String> = table
                .iter()
                .map(|(key, value)| (key.get_ref().as_ref(), canonical(value.get_ref())))
                .collect();
            format!("{entries:?}")
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Boolean(is_true) => is_true.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Integer(_) | DeValue::Float(_) => canonical_number(value),
    }
}

/// Returns the same text for two texts of a sweep file that are the same value. What is not TOML is a
/// string.
pub fn canonical_value(text: &str) -> String {
    match DeValue::parse(text) {
        Ok(value) => canonical(value.get_ref()),
        Err(_) => canonical(&DeValue::String(text.into())),
    }
}

/// Integers keep all their digits; a float without a fraction is an integer.
fn canonical_number(value: &DeValue<'_>) -> String {
    if let Some(whole) = whole(value) {
        return whole.to_string();
    }
    match number(value) {
        // Adding 0 makes -0 0.
        Some(number) => format!("{}", number + 0.0),
        None => "not a number".to_owned(),
    }
}

/// True if two values are the same setting.
pub(super) fn same(left: &DeValue<'_>, right: &DeValue<'_>) -> bool {
    canonical(left) == canonical(right)
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
