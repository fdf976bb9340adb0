//! One axis: its keys and the rows of values that they take.

use toml::{Spanned, de::DeValue};

use super::key::Key;

/// One axis, or several that vary together.
#[derive(Debug)]
pub(super) struct Axis<'a> {
    pub(super) keys: Vec<Key>,
    /// One value for each key.
    pub(super) rows: Vec<Vec<Spanned<DeValue<'a>>>>,
    /// How many of the rows span the grid; those after them come from includes.
    pub(super) listed: usize,
}

/// Which axis has a key, and in which column.
pub(super) fn column(axes: &[Axis<'_>], key: &Key) -> Option<(usize, usize)> {
    axes.iter().enumerate().find_map(|(position, axis)| {
        let column = axis.keys.iter().position(|known| known.path == key.path)?;
        Some((position, column))
    })
}
