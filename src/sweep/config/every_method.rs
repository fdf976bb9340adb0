//! `method.*.KEY`: one setting of every method that can have it.
//!
//! The key stands for one key of each method. A method can have a setting if it is trained and has made
//! the choices on the way: `method.*.memory.xbm.size` is that of the methods whose memory is `xbm`.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{diagnostic::Diagnostic, grammar::Node, key, source::Source};

/// What stands in the place of the name of a method.
const EVERY: &str = "*";

/// A method's name and its settings.
pub(super) type Named<'m, 'a> = (&'m str, &'m DeTable<'a>);

/// Returns the keys that a key stands for: itself, unless it is one of every method.
///
/// # Errors
/// No method can have the setting.
pub(super) fn keys(
    source: &Source<'_>,
    path: &[String],
    span: &Range<usize>,
    methods: &[Named<'_, '_>],
) -> Result<Vec<Vec<String>>, Diagnostic> {
    let [first, every, inner @ ..] = path else {
        return Ok(vec![path.to_vec()]);
    };
    if first != key::METHOD || every != EVERY || inner.is_empty() {
        return Ok(vec![path.to_vec()]);
    }
    let node = key::node_of(&path[..2]);
    let able = methods
        .iter()
        .filter(|(_, table)| table.contains_key("loss") && can_have(table, inner, node));
    let keys: Vec<Vec<String>> = able
        .map(|(name, _)| [&[first.clone(), (*name).to_owned()], inner].concat())
        .collect();
    match keys.is_empty() {
        true => Err(no_method(source, inner, span, node)),
        false => Ok(keys),
    }
}

fn no_method(
    source: &Source<'_>,
    inner: &[String],
    span: &Range<usize>,
    node: Option<Node<'_>>,
) -> Diagnostic {
    let name = inner.join(".");
    let is_known = node.is_some_and(|node| node.descend(inner).is_some());
    match inner.split_last() {
        Some((_, choice)) if is_known && !choice.is_empty() => source
            .at(span, format!("no method can have `{name}`"))
            .with_hint(format!("a method with `{}` has it", choice.join("."))),
        _ => source.at(span, format!("no method has a key `{name}`")),
    }
}

/// Replaces the keys of every method in `[axes]`.
///
/// # Errors
/// No method can have one of them.
pub(super) fn write_out_axes(
    source: &Source<'_>,
    axes: &mut DeTable<'_>,
    methods: &[Named<'_, '_>],
) -> Result<(), Diagnostic> {
    for (key, values) in std::mem::take(axes) {
        let Some(path) = key::parts(key.get_ref()) else {
            axes.insert(key, values);
            continue;
        };
        let span = key.span();
        for path in keys(source, &path, &span, methods)? {
            let name = Spanned::new(span.clone(), Cow::Owned(key::written(&path)));
            if axes.insert(name, values.clone()).is_some() {
                let message = format!("`{}` is already an axis", key::written(&path));
                return Err(source.at(&span, message));
            }
        }
    }
    Ok(())
}

/// Returns the names and settings of all methods of a file.
pub(super) fn methods_of<'m, 'a>(table: &'m DeTable<'a>) -> Vec<Named<'m, 'a>> {
    let methods = table.get(key::METHOD).map(Spanned::get_ref);
    let methods = methods.and_then(DeValue::as_array).into_iter().flatten();
    let named = |method: &'m Spanned<DeValue<'a>>| {
        let table = method.get_ref().as_table()?;
        Some((table.get("name")?.get_ref().as_str()?, table))
    };
    methods.filter_map(named).collect()
}

/// True if the choices on the way to a setting are made in a table.
fn can_have(table: &DeTable<'_>, path: &[String], node: Option<Node<'_>>) -> bool {
    let Some((first, rest)) = path.split_first() else {
        return true;
    };
    let is_chosen = table.contains_key(first.as_str());
    let inner = node.and_then(|node| node.child(first));
    match table.get(first.as_str()).map(Spanned::get_ref) {
        _ if rest.is_empty() => {
            inner.is_some() && (is_chosen || !node.is_some_and(Node::is_choice))
        }
        Some(DeValue::Table(table)) => can_have(table, rest, inner),
        _ => false,
    }
}
