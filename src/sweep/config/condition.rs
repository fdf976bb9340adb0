//! `when`: the combinations of axis values in which a setting or a method is used.
//!
//! A condition compares the values of axes and of the file, never those that an override sets.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    axis::{Axis, column},
    diagnostic::Diagnostic,
    key::{Key, means, value_at},
    meant::{self, nearest},
    source::Source,
};

/// In which combinations something holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    /// Whether the settings that are no axis are as asked.
    never: bool,
    /// For an axis, by position, which of its rows are meant.
    rows: Vec<(usize, Vec<bool>)>,
}

impl Condition {
    pub(super) fn read<'a>(
        source: &Source<'_>,
        when: &Spanned<DeValue<'a>>,
        base: &DeTable<'a>,
        axes: &[Axis<'a>],
    ) -> Result<Condition, Diagnostic> {
        let Some(table) = when.get_ref().as_table() else {
            return Err(source
                .at(&when.span(), "a condition is a table of keys and values")
                .with_hint("write when = { dataset = \"omniglot\" }"));
        };
        let mut condition = Condition::default();
        for (key, wanted) in table.iter() {
            let key = Key::read(source, key, wanted.get_ref(), "a condition")?;
            if key.method().is_some() {
                return Err(source.at(
                    &key.span,
                    "a condition is about settings that all methods share",
                ));
            }
            match column(axes, &key) {
                Some((axis, column)) => {
                    let rows = axes[axis]
                        .rows
                        .iter()
                        .map(|row| is_meant(wanted.get_ref(), row[column].get_ref()));
                    let rows: Vec<bool> = rows.collect();
                    misspelt(source, wanted, &axes[axis], column)?;
                    condition.rows.push((axis, rows));
                }
                None => match value_at(base, &key.path) {
                    Some(value) => condition.never |= !is_meant(wanted.get_ref(), value.get_ref()),
                    None => return Err(not_set(source, &key, axes)),
                },
            }
        }
        Ok(condition)
    }

    /// Whether it holds where the axes stand at these rows.
    pub(super) fn holds(&self, rows: &[usize]) -> bool {
        !self.never && self.rows.iter().all(|(axis, meant)| meant[rows[*axis]])
    }
}

/// Whether a value, or one of a list of values, means this setting.
pub(super) fn is_meant(wanted: &DeValue<'_>, setting: &DeValue<'_>) -> bool {
    match (wanted, setting) {
        (DeValue::Array(several), DeValue::Array(_)) if means(wanted, setting) => {
            !several.is_empty()
        }
        (DeValue::Array(several), _) => several
            .iter()
            .any(|wanted| means(wanted.get_ref(), setting)),
        _ => means(wanted, setting),
    }
}

/// A preset may speak of data sets that this sweep leaves out, so only a name that is nearly one of the axis is refused.
fn misspelt(
    source: &Source<'_>,
    wanted: &Spanned<DeValue<'_>>,
    axis: &Axis<'_>,
    column: usize,
) -> Result<(), Diagnostic> {
    let names: Vec<&str> = axis
        .rows
        .iter()
        .filter_map(|row| name_of(row[column].get_ref()))
        .collect();
    let each: Vec<&Spanned<DeValue<'_>>> = match wanted.get_ref() {
        DeValue::Array(several) => several.iter().collect(),
        _ => vec![wanted],
    };
    for wanted in each {
        let Some(name) = wanted
            .get_ref()
            .as_str()
            .filter(|name| !names.contains(name))
        else {
            continue;
        };
        if let Some(near) = meant::misspelt(name, names.iter().copied()) {
            let message = format!(
                "the axis `{}` has no value `{name}`",
                axis.keys[column].name
            );
            return Err(source
                .at(&wanted.span(), message)
                .with_hint(format!("did you mean `{near}`?")));
        }
    }
    Ok(())
}

/// The name of a choice, with or without settings of its own.
fn name_of<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    match value {
        DeValue::String(name) => Some(name),
        DeValue::Table(choice) if choice.len() == 1 => {
            choice.keys().next().map(|key| key.get_ref().as_ref())
        }
        _ => None,
    }
}

fn not_set(source: &Source<'_>, key: &Key, axes: &[Axis<'_>]) -> Diagnostic {
    let names = axes
        .iter()
        .flat_map(|axis| &axis.keys)
        .map(|key| key.name.as_str());
    let diagnostic = source.at(
        &key.span,
        format!("`{}` is neither an axis nor set in the file", key.name),
    );
    match nearest(&key.name, names) {
        Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
        None => diagnostic.with_hint(
            "a condition can use only keys that are set: write this key with its default value in the file",
        ),
    }
}
