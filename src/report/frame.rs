//! Values as a data frame: one line for each value that a finished run measured.
//!
//! | column | kind | what it is |
//! | --- | --- | --- |
//! | `cell` | u32 | the cell of the table that the value belongs to |
//! | `seed` | u64 | the repetition |
//! | `value` | f64 | what was measured, a fraction |

use polars::prelude::{Column, DataFrame, PolarsResult};

/// One value that a finished run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observation {
    pub(crate) cell: u32,
    pub(crate) seed: u64,
    pub(crate) value: f64,
}

/// The data frame of these observations. They are sorted, values included, so that equal values give equal
/// sums to the last bit, whatever the order of the runs.
pub(crate) fn frame(mut observations: Vec<Observation>) -> PolarsResult<DataFrame> {
    observations.sort_by(|a, b| {
        a.cell
            .cmp(&b.cell)
            .then(a.value.total_cmp(&b.value))
            .then(a.seed.cmp(&b.seed))
    });
    let cells: Vec<u32> = observations.iter().map(|o| o.cell).collect();
    let seeds: Vec<u64> = observations.iter().map(|o| o.seed).collect();
    let values: Vec<f64> = observations.iter().map(|o| o.value).collect();
    DataFrame::new(
        observations.len(),
        vec![
            Column::new("cell".into(), cells),
            Column::new("seed".into(), seeds),
            Column::new("value".into(), values),
        ],
    )
}
