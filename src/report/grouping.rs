//! Which rows are compared with each other: all, or those that differ in one thing alone.

use crate::{gather::Names, key::RowKey};

/// Which rows of a table are compared with each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compare {
    /// All rows of a column.
    #[default]
    Rows,
    /// The methods, within each combination of axis values.
    Methods,
    /// The values of this axis, within each method and each combination of values of the other axes.
    Axis(String),
}

/// The same, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    Rows,
    Methods,
    Axis(usize),
}

impl Grouping {
    /// All rows if there is no such axis.
    pub(crate) fn of(compare: &Compare, names: &Names) -> Grouping {
        match compare {
            Compare::Rows => Grouping::Rows,
            Compare::Methods => Grouping::Methods,
            Compare::Axis(axis) => names.axis(axis).map_or(Grouping::Rows, Grouping::Axis),
        }
    }

    /// What the rows of one group have in common.
    pub(crate) fn group(self, row: &RowKey) -> RowKey {
        let mut group = row.clone();
        match self {
            Grouping::Rows => {
                group.method = 0;
                group.values.fill(None);
            }
            Grouping::Methods => group.method = 0,
            Grouping::Axis(axis) => group.values[axis] = None,
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_group_differ_in_one_thing_alone() {
        let row = |method, first, second| RowKey {
            method,
            values: vec![Some(first), Some(second)],
        };
        let is_one_group =
            |grouping: Grouping, a: &RowKey, b: &RowKey| grouping.group(a) == grouping.group(b);
        let (one, other_method, other_value) = (row(0, 1, 2), row(1, 1, 2), row(0, 1, 3));
        assert!(is_one_group(Grouping::Rows, &other_method, &other_value));
        assert!(is_one_group(Grouping::Methods, &one, &other_method));
        assert!(!is_one_group(Grouping::Methods, &one, &other_value));
        assert!(is_one_group(Grouping::Axis(1), &one, &other_value));
        assert!(!is_one_group(Grouping::Axis(0), &one, &other_value));
        assert!(!is_one_group(Grouping::Axis(1), &one, &other_method));
    }
}
