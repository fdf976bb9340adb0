//! Records as a data frame: one line for each value that a finished run measured.
//!
//! | column | kind | what it is |
//! | --- | --- | --- |
//! | `line` | u32 | the line of the table that the run belongs to |
//! | `metric` | u32 | which of the metrics |
//! | `value` | f64 | what was measured, a fraction |

use polars::prelude::{Column, DataFrame, PolarsResult};

/// One value that a finished run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Observation {
    pub(crate) line: u32,
    pub(crate) metric: u32,
    pub(crate) value: f64,
}

/// The data frame of these observations. They are sorted, values included, so that equal values give equal
/// sums to the last bit, whatever the order of the runs.
pub(crate) fn frame(mut observations: Vec<Observation>) -> PolarsResult<DataFrame> {
    observations.sort_by(|a, b| (a.line, a.metric).cmp(&(b.line, b.metric)).then(a.value.total_cmp(&b.value)));
    let lines: Vec<u32> = observations.iter().map(|o| o.line).collect();
    let metrics: Vec<u32> = observations.iter().map(|o| o.metric).collect();
    let values: Vec<f64> = observations.iter().map(|o| o.value).collect();
    DataFrame::new(
        observations.len(),
        vec![
            Column::new("line".into(), lines),
            Column::new("metric".into(), metrics),
            Column::new("value".into(), values),
        ],
    )
}
