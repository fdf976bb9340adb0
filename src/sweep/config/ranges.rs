//! `{ linspace = [a, b, n] }`, `{ logspace = [a, b, n] }` and `{ range = [a, b, step] }` in the place of a list.
//!
//! They are written out in the text itself, so that every later message can point at the one value that is wrong.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{diagnostic::Diagnostic, key::number, source::Source};

pub(super) const KINDS: [&str; 3] = ["linspace", "logspace", "range"];
/// Where lists of values of axes stand.
const TABLES: [&str; 4] = ["axes", "zip", "include", "exclude"];
/// More values than this on one axis are a slip of the pen.
const MOST: f64 = 100_000.0;

/// The text with all ranges written out as lists.
pub(super) fn written_out(source: &Source<'_>) -> Result<String, Diagnostic> {
    let mut text = source.text.to_owned();
    // A file that does not parse is reported by `Document::parse`.
    let Ok(document) = DeTable::parse(source.text) else {
        return Ok(text);
    };
    let mut lists = Vec::new();
    for table in TABLES
        .iter()
        .filter_map(|&name| document.get_ref().get(name))
    {
        match table.get_ref() {
            DeValue::Table(table) => in_table(source, table, &mut lists)?,
            DeValue::Array(tables) => {
                for table in tables.iter().filter_map(|table| table.get_ref().as_table()) {
                    in_table(source, table, &mut lists)?;
                }
            }
            _ => {}
        }
    }
    lists.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    lists
        .into_iter()
        .for_each(|(span, list)| text.replace_range(span, &list));
    Ok(text)
}

fn in_table(
    source: &Source<'_>,
    table: &DeTable<'_>,
    lists: &mut Vec<(Range<usize>, String)>,
) -> Result<(), Diagnostic> {
    for (_, value) in table.iter() {
        let Some(range) = value.get_ref().as_table() else {
            continue;
        };
        let Some((kind, bounds)) = range.iter().next().filter(|_| range.len() == 1) else {
            continue;
        };
        let values = match kind.get_ref().as_ref() {
            "linspace" => spaced(source, bounds, "linspace", |a, b, part| a + (b - a) * part)?,
            "logspace" => spaced(source, bounds, "logspace", |a, b, part| {
                a * (b / a).powf(part)
            })?,
            "range" => stepped(source, bounds)?,
            _ => continue,
        };
        lists.push((value.span(), format!("[{}]", values.join(", "))));
    }
    Ok(())
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
                format!("the count is {count}, expected an integer of at least 2"),
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
    if !(steps > 0.0 && steps <= MOST) {
        let message =
            format!("the range from {a} to {b} in steps of {step} has fewer than two values");
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
