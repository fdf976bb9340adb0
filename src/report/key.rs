//! What the parts of a table are identified by: positions, never titles.

use crate::Together;

/// A data set, by first appearance in the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DatasetIndex(pub(crate) usize);

/// What is compared with each other: the rows of one data set whose folds are combined in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Panel {
    pub(crate) dataset: DatasetIndex,
    pub(crate) together: Option<Together>,
}

/// A method under one combination of axis values.
///
/// The order of keys is that of rows in a table: by first appearance, the method first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    /// Position among the methods.
    pub(crate) method: usize,
    /// For each axis, the position among its values; none where the axis does not apply.
    pub(crate) values: Vec<Option<usize>>,
}

/// One metric of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CellIndex {
    /// Position among all lines.
    pub(crate) line: usize,
    /// Position among the metrics of the line.
    pub(crate) metric: usize,
}

/// What a block or a group of columns shows; none for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) dataset: Option<DatasetIndex>,
    pub(crate) together: Option<Together>,
}
