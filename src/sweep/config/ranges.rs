//! `{ linspace = [a, b, n] }`, `{ logspace = [a, b, n] }` and `{ range = [a, b, step] }` in the place of a list.
//!
//! The values of each are written out as a text of their own, which has positions behind those of
//! the files: so a later message knows which value is wrong, and shows the range as the file has it.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{diagnostic::Diagnostic, key::number, source::Source};

pub(super) const KINDS: [&str; 3] = ["linspace", "logspace", "range"];
/// Tables with lists of values of axes.
const TABLES: [&str; 4] = ["axes", "zip", "include", "exclude"];
/// Maximum number of values of one axis.
const MOST: f64 = 100_000.0;

/// The values of ranges, by the start of each range.
pub(super) type Lists<'a> = BTreeMap<usize, DeArray<'a>>;

/// True if values under this key may be ranges.
pub(super) fn may_be_under(key: &str) -> bool {
    TABLES.contains(&key)
}

/// Returns the place of each range of a file, and its values as a list.
pub(super) fn of_file(
    source: &Source<'_>,
    file: &DeTable<'_>,
) -> Result<Vec<(Range<usize>, String)>, Diagnostic> {
    let mut lists = Vec::new();
    for table in TABLES.iter().filter_map(|&name| file.get(name)) {
        gather(source, table, &mut lists)?;
    }
    Ok(lists)
}

/// Adds the place of each range in a value, and its values as a list.
pub(super) fn gather(
    source: &Source<'_>,
    value: &Spanned<DeValue<'_>>,
    lists: &mut Vec<(Range<usize>, String)>,
) -> Result<(), Diagnostic> {
    match value.get_ref() {
        DeValue::Table(table) => match range(table) {
            Some((kind, bounds)) => {
                let values = values(source, kind, bounds)?;
                lists.push((value.span(), format!("[{}]", values.join(", "))));
                Ok(())
            }
            None => table
                .values()
                .try_for_each(|value| gather(source, value, lists)),
        },
        DeValue::Array(items) => items
            .iter()
            .try_for_each(|item| gather(source, item, lists)),
        _ => Ok(()),
    }
}

/// Puts the values of ranges in their places in a file.
pub(super) fn put_in_file<'a>(file: &mut DeTable<'a>, lists: &Lists<'a>) {
    for name in TABLES {
        if let Some(table) = file.get_mut(name) {
            put(table, lists);
        }
    }
}

/// Puts the values of ranges in their places in a value.
pub(super) fn put<'a>(value: &mut Spanned<DeValue<'a>>, lists: &Lists<'a>) {
    let start = value.span().start;
    match value.get_mut() {
        DeValue::Table(table) if range(table).is_some() => {
            if let Some(list) = lists.get(&start) {
                *value.get_mut() = DeValue::Array(list.clone());
            }
        }
        DeValue::Table(table) => {
            table.iter_mut().for_each(|(_, value)| put(value, lists));
        }
        DeValue::Array(items) => items.iter_mut().for_each(|item| put(item, lists)),
        _ => {}
    }
}

/// Returns the kind and the bounds of a table that is a range.
fn range<'t, 'a>(table: &'t DeTable<'a>) -> Option<(&'static str, &'t Spanned<DeValue<'a>>)> {
    let (key, bounds) = table.iter().next().filter(|_| table.len() == 1)?;
    let kind = KINDS.into_iter().find(|kind| kind == key.get_ref())?;
    Some((kind, bounds))
}

fn values(
    source: &Source<'_>,
    kind: &str,
    bounds: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, Diagnostic> {
    match kind {
        "linspace" => spaced(source, bounds, kind, |a, b, part| a + (b - a) * part),
        "logspace" => spaced(source, bounds, kind, |a, b, part| a * (b / a).powf(part)),
        _ => stepped(source, bounds),
    }
}

/// `n` values from `a` to `b`, both among them.
fn spaced(
    source: &Source<'_>,
    bounds: &Spanned<DeValue<'_>>,
    kind: &str,
    at: impl Fn(f64, f64, f64) -> f64,
) -> Result<Vec<String>, Diagnostic> {
    let hint = format!("write {kind} = [from, to, count]");
    let [a, b, count] = three(source, bounds, &hint)?;
    let span = bounds.span();
    if count.fract() != 0.0 || !(2.0..=MOST).contains(&count) {
        return Err(source
            .at(
                &span,
                format!("the count is {count}, expected an integer from 2 to {MOST}"),
            )
            .with_hint(hint));
    }
    if kind == "logspace" && (a <= 0.0 || b <= 0.0) {
        return Err(source.at(&span, "both bounds of a logarithmic range must be above 0"));
    }
    if a == b {
        return Err(source.at(&span, "both bounds are equal: the range has only one value"));
    }
    let last = count - 1.0;
    let value = |step: usize| match step as f64 {
        0.0 => a,
        step if step == last => b,
        step => rounded(at(a, b, step / last)),
    };
    Ok((0..count as usize)
        .map(|step| format!("{:?}", value(step)))
        .collect())
}

/// `a`, `a + step` and so on, up to and with `b` if it is met.
fn stepped(source: &Source<'_>, bounds: &Spanned<DeValue<'_>>) -> Result<Vec<String>, Diagnostic> {
    let hint = "write range = [from, to, step]";
    let [a, b, step] = three(source, bounds, hint)?;
    let steps = (b - a) / step;
    let wrong = match steps {
        steps if steps > 0.0 && steps < MOST => None,
        steps if steps >= MOST => Some(format!("more than {MOST} values, the most of one axis")),
        _ => Some("fewer than two values".to_owned()),
    };
    if let Some(wrong) = wrong {
        let message = format!("the range from {a} to {b} in steps of {step} has {wrong}");
        return Err(source.at(&bounds.span(), message).with_hint(hint));
    }
    let is_whole = [a, b, step].iter().all(|number| number.fract() == 0.0);
    let written = |value: f64| {
        if is_whole {
            format!("{value}")
        } else {
            format!("{value:?}")
        }
    };
    let count = (steps + 1e-9).floor() as usize;
    Ok((0..=count)
        .map(|number| written(rounded(a + step * number as f64)))
        .collect())
}

/// Twelve digits: what a person would have written, not `0.30000000000000004`.
fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

fn three(
    source: &Source<'_>,
    bounds: &Spanned<DeValue<'_>>,
    hint: &str,
) -> Result<[f64; 3], Diagnostic> {
    let numbers = bounds.get_ref().as_array().map(|array| {
        let numbers = array
            .iter()
            .filter_map(|item| number(item.get_ref()).filter(|number| number.is_finite()));
        (array.len(), numbers.collect::<Vec<f64>>())
    });
    match numbers {
        Some((3, numbers)) if numbers.len() == 3 => Ok([numbers[0], numbers[1], numbers[2]]),
        _ => Err(source
            .at(&bounds.span(), "a range needs three numbers")
            .with_hint(hint)),
    }
}
