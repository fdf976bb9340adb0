//! `[[override]]`: other settings where a condition holds.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    axis::column, condition::Condition, diagnostic::Diagnostic, grid::Grid, key::Key,
    source::Source,
};

/// `[[override]]`: other values where a condition holds.
#[derive(Debug)]
pub(super) struct Override<'a> {
    pub(super) span: Range<usize>,
    pub(super) when: Condition,
    pub(super) set: Vec<(Key, Spanned<DeValue<'a>>)>,
}

impl<'a> Override<'a> {
    pub(super) fn read(
        source: &Source<'_>,
        table: Spanned<DeValue<'a>>,
        base: &DeTable<'a>,
        grid: &Grid<'a>,
        methods: &[String],
    ) -> Result<Override<'a>, Diagnostic> {
        let span = table.span();
        let shape = "an [[override]] needs a condition `when = { .. }` and settings `set = { .. }`";
        let mut when = None;
        let mut set = Vec::new();
        let DeValue::Table(table) = table.into_inner() else {
            return Err(source.at(&span, shape));
        };
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("when", _) => when = Some(Condition::read(source, &value, base, &grid.shared)?),
                ("set", DeValue::Table(settings)) => {
                    for (key, value) in settings.clone() {
                        let key = Key::read(source, &key, value.get_ref(), "overridden")?;
                        key.check_method(source, methods)?;
                        if column(&grid.shared, &key)
                            .or(column(&grid.own, &key))
                            .is_some()
                        {
                            let message =
                                format!("`{}` is an axis, so it cannot be overridden", key.name);
                            return Err(source.at(&key.span, message));
                        }
                        set.push((key, value));
                    }
                }
                (other, _) => return Err(source.unknown_key(&key.span(), other, &["when", "set"])),
            }
        }
        match when {
            Some(when) if !set.is_empty() => Ok(Override { span, when, set }),
            _ => Err(source.at(&span, shape).with_hint(
                "write, for example, when = { dataset = \"omniglot\" } and set = { \"training.steps\" = 500 }",
            )),
        }
    }
}
