//! Searched values: `{ uniform = [a, b] }` and its kin where a value of a method or of `[training]` would stand.
//!
//! The values themselves are chosen on validation, much later. Until then each is a dimension of the method's search
//! space, and one of its probes, a bound or a listed value, stands in its place: so the file is typed and checked as
//! any other, once for each probe.

use std::ops::Range as Bytes;

use schema::renamed::in_old_spelling;
use serde_json::{Value, json};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Method,
    diagnostic::Diagnostic,
    file::{MethodTable, TrainingTable},
    key::{number, whole},
    meant,
    source::Source,
};
use crate::search::{ActiveIf, Dimension, SearchRange, TrialPoint};

/// The kinds of searched values.
pub(super) const KINDS: [&str; 6] = ["uniform", "log_uniform", "int", "log_int", "grid", "choice"];

/// The tables whose values can be searched.
pub(super) const TABLES: [&str; 2] = ["method", "training"];

/// Maximum number of values among which one is searched.
const MOST: usize = 1000;

/// One searched value: where it stands, and what may stand there.
#[derive(Debug)]
pub(super) struct Searched<'a> {
    /// The keys that lead to it, from the table that was looked through.
    path: Vec<String>,
    pub(super) span: Bytes<usize>,
    pub(super) dimension: Dimension,
    /// Its bounds, or the values of its list.
    pub(super) probes: Vec<Spanned<DeValue<'a>>>,
}

/// True if this table is a searched value.
pub(super) fn is_one(table: &DeTable<'_>) -> bool {
    kind(table).is_some()
}

/// Whether a value anywhere in this table is searched, or nearly.
pub(super) fn is_in(table: &DeTable<'_>) -> bool {
    kind(table).is_some()
        || misspelt(table).is_some()
        || table.values().any(|value| is_in_value(value.get_ref()))
}

fn is_in_value(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(table) => is_in(table),
        DeValue::Array(items) => items.iter().any(|item| is_in_value(item.get_ref())),
        _ => false,
    }
}

/// The searched values in a table, in the order of the file; their names begin with `prefix`.
pub(super) fn in_table<'a>(
    source: &Source<'_>,
    table: &DeTable<'a>,
    prefix: &str,
) -> Result<Vec<Searched<'a>>, Diagnostic> {
    let mut found = Vec::new();
    gather(source, table, &mut Vec::new(), prefix, &mut found)?;
    found.sort_by_key(|searched| searched.span.start);
    Ok(found)
}

fn gather<'a>(
    source: &Source<'_>,
    table: &DeTable<'a>,
    path: &mut Vec<String>,
    prefix: &str,
    found: &mut Vec<Searched<'a>>,
) -> Result<(), Diagnostic> {
    for (key, value) in table.iter() {
        path.push(key.get_ref().to_string());
        gather_value(source, value, path, prefix, found)?;
        path.pop();
    }
    Ok(())
}

fn gather_value<'a>(
    source: &Source<'_>,
    value: &Spanned<DeValue<'a>>,
    path: &mut Vec<String>,
    prefix: &str,
    found: &mut Vec<Searched<'a>>,
) -> Result<(), Diagnostic> {
    match value.get_ref() {
        DeValue::Table(table) => match (kind(table), misspelt(table)) {
            (Some(kind), _) => {
                found.push(searched(source, table, kind, value.span(), path, prefix)?);
                Ok(())
            }
            (None, Some(meant)) => Err(source
                .at(
                    &value.span(),
                    "this is neither a value nor a searched value",
                )
                .with_hint(format!("did you mean `{meant}`?"))),
            (None, None) => gather(source, table, path, prefix, found),
        },
        DeValue::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                path.push(position.to_string());
                gather_value(source, item, path, prefix, found)?;
                path.pop();
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The kind of searched value that a table is.
fn kind<'t>(table: &'t DeTable<'_>) -> Option<&'t str> {
    let kind = table
        .keys()
        .map(|key| key.get_ref().as_ref())
        .find(|key| KINDS.contains(key))?;
    table
        .keys()
        .all(|key| [kind, "when"].contains(&key.get_ref().as_ref()))
        .then_some(kind)
}

/// The kind that a table nearly is: two numbers under a name that is close to one.
pub(super) fn misspelt(table: &DeTable<'_>) -> Option<&'static str> {
    let (key, bounds) = table.iter().next().filter(|_| table.len() == 1)?;
    let bounds = bounds
        .get_ref()
        .as_array()
        .filter(|bounds| bounds.len() == 2)?;
    bounds
        .iter()
        .all(|bound| number(bound.get_ref()).is_some())
        .then_some(())?;
    meant::misspelt(key.get_ref(), KINDS)
}

fn searched<'a>(
    source: &Source<'_>,
    table: &DeTable<'a>,
    kind: &str,
    span: Bytes<usize>,
    path: &[String],
    prefix: &str,
) -> Result<Searched<'a>, Diagnostic> {
    let list = &table[kind];
    let Some(items) = list.get_ref().as_array() else {
        return Err(source
            .at(&list.span(), format!("`{kind}` needs a list"))
            .with_hint(example(kind)));
    };
    if items.len() > MOST {
        let message = format!("`{kind}` has {} values, and may have {MOST}", items.len());
        return Err(source.at(&list.span(), message));
    }
    let range = match kind {
        "uniform" => SearchRange::Uniform(two(source, list, kind, number)?),
        "log_uniform" => SearchRange::LogUniform(two(source, list, kind, number)?),
        "int" => SearchRange::Int(two(source, list, kind, whole)?),
        "log_int" => SearchRange::LogInt(two(source, list, kind, whole)?),
        "grid" => SearchRange::Grid(items.iter().map(|item| plain(item.get_ref())).collect()),
        _ => SearchRange::Choice(items.iter().map(|item| plain(item.get_ref())).collect()),
    };
    let when = table
        .get("when")
        .map(|when| condition(source, when, prefix))
        .transpose()?;
    let dimension = Dimension {
        name: format!("{prefix}{}", path.join(".")),
        range,
        when,
    };
    Ok(Searched {
        path: path.to_owned(),
        span,
        dimension,
        probes: items.iter().cloned().collect(),
    })
}

/// Both bounds of a range.
fn two<T>(
    source: &Source<'_>,
    list: &Spanned<DeValue<'_>>,
    kind: &str,
    read: impl Fn(&DeValue<'_>) -> Option<T>,
) -> Result<[T; 2], Diagnostic> {
    let bounds = list
        .get_ref()
        .as_array()
        .map(|items| items.iter().map(|item| read(item.get_ref())));
    let bounds: Option<Vec<T>> = bounds.and_then(Iterator::collect);
    bounds
        .and_then(|bounds| <[T; 2]>::try_from(bounds).ok())
        .ok_or_else(|| {
            let numbers = if matches!(kind, "int" | "log_int") {
                "integers"
            } else {
                "numbers"
            };
            source
                .at(
                    &list.span(),
                    format!("`{kind}` needs two {numbers}: the lower and the upper bound"),
                )
                .with_hint(example(kind))
        })
}

/// `when = { "loss.sum.0.weight" = 1 }`: where an earlier choice has this value.
fn condition(
    source: &Source<'_>,
    when: &Spanned<DeValue<'_>>,
    prefix: &str,
) -> Result<ActiveIf, Diagnostic> {
    let entry = when
        .get_ref()
        .as_table()
        .filter(|table| table.len() == 1)
        .and_then(|table| table.iter().next());
    let Some((name, is)) = entry else {
        return Err(source
            .at(
                &when.span(),
                "the `when` of a searched value needs one key with one value",
            )
            .with_hint("write when = { \"miner.semi_hard.margin\" = 0.1 }"));
    };
    let name = name.get_ref();
    let is_whole = prefix.is_empty() || name.starts_with(prefix);
    Ok(ActiveIf {
        name: if is_whole {
            name.to_string()
        } else {
            format!("{prefix}{name}")
        },
        is: plain(is.get_ref()),
    })
}

fn example(kind: &str) -> String {
    match kind {
        "log_uniform" => "write { log_uniform = [1e-6, 1] }".to_owned(),
        "int" | "log_int" => format!("write {{ {kind} = [2, 32] }}"),
        "grid" | "choice" => format!("write {{ {kind} = [0.1, 0.2, 0.4] }}"),
        _ => "write { uniform = [0, 1] }".to_owned(),
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(_) => whole(value).map_or(Value::Null, Value::from),
        DeValue::Float(_) => number(value).map_or(Value::Null, Value::from),
        DeValue::Boolean(truth) => (*truth).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), plain(value.get_ref())))
            .collect(),
    }
}

/// Puts a probe in the place of each searched value: this one, or the last of those that have fewer.
pub(super) fn probe<'a>(table: &mut DeTable<'a>, searched: &[Searched<'a>], probe: usize) {
    for searched in searched {
        let Some(last) = searched.probes.len().checked_sub(1) else {
            continue;
        };
        if let Some(slot) = slot_in(table, &searched.path) {
            *slot = searched.probes[probe.min(last)].clone();
        }
    }
}

fn slot_in<'t, 'a>(
    table: &'t mut DeTable<'a>,
    path: &[String],
) -> Option<&'t mut Spanned<DeValue<'a>>> {
    let (first, rest) = path.split_first()?;
    let mut value = table.get_mut(first.as_str())?;
    for part in rest {
        value = match value.get_mut() {
            DeValue::Table(table) => table.get_mut(part.as_str())?,
            DeValue::Array(items) => items.get_mut(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

/// What a searched value of `[training]` is called begins with this.
pub(super) const SHARED: &str = "training.";

/// A method and the training around it with the values of one point; a dimension that does not matter there has the
/// value it has when it is left out.
///
/// # Errors
/// A value does not fit its place.
pub fn at_point<'n>(
    method: &MethodTable,
    training: &TrainingTable,
    dimensions: impl Iterator<Item = &'n str>,
    point: &TrialPoint,
) -> Result<(MethodTable, TrainingTable), serde_json::Error> {
    let (method, training) = with(
        method,
        training,
        dimensions.map(|name| (name, point.get(name).cloned())),
    );
    Ok((
        serde_json::from_value(method)?,
        serde_json::from_value(training)?,
    ))
}

/// A method and the training around it without these searched values: what all trials share.
pub fn without<'n>(
    method: &MethodTable,
    training: &TrainingTable,
    dimensions: impl Iterator<Item = &'n str>,
) -> (Value, Value) {
    with(method, training, dimensions.map(|name| (name, None)))
}

/// A method and the training around it as the file has them, with searched values as their ranges.
pub fn as_written(method: &Method, training: &TrainingTable) -> (Value, Value) {
    let dimensions = method
        .search
        .iter()
        .flat_map(|search| &search.space().dimensions);
    with(
        &method.table,
        training,
        dimensions.map(|dimension| (dimension.name.as_str(), Some(json!(dimension.range)))),
    )
}

fn with<'n>(
    method: &MethodTable,
    training: &TrainingTable,
    values: impl Iterator<Item = (&'n str, Option<Value>)>,
) -> (Value, Value) {
    let (mut method, mut training) = (json!(method), json!(training));
    for (name, value) in values {
        match name.strip_prefix(SHARED) {
            Some(path) => put(&mut training, path, value),
            None => put(&mut method, name, value),
        }
    }
    (method, training)
}

fn put(root: &mut Value, path: &str, value: Option<Value>) {
    let path = in_old_spelling(path);
    let mut slot = root;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let next = match slot {
            Value::Object(fields) if parts.peek().is_none() => {
                match value {
                    Some(value) => fields.insert(part.to_owned(), value),
                    None => fields.remove(part),
                };
                return;
            }
            Value::Object(fields) => fields.get_mut(part),
            Value::Array(items) => part
                .parse::<usize>()
                .ok()
                .and_then(|position| items.get_mut(position)),
            _ => None,
        };
        match next {
            Some(next) => slot = next,
            None => return,
        }
    }
    if let Some(value) = value {
        *slot = value;
    }
}
