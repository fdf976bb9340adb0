//! The records that count as one polars data frame, and the summary of each cell.
//!
//! | column | type | content |
//! | --- | --- | --- |
//! | `cell` | u32 | the cell, by position |
//! | `repetition` | u64 | the seed; where the search of the row was repeated, the number of the search |
//! | `value` | f64 | the measured fraction |
//!
//! The values of a repetition are averaged first, then the repetitions: folds of one seed share most of their training
//! classes, so their spread says nothing about another repetition. "A Metric Learning Reality Check" computes its
//! intervals over repetitions likewise.

use polars::prelude::{Column, DataFrame, GroupsIndicator, PolarsResult, SortMultipleOptions};

use crate::{moments::Moments, repetition::Condition, summary::Summary};

/// A finite value that a finished run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) condition: Condition,
    pub(crate) value: f64,
    /// True if the run is already counted under another seed.
    pub(crate) again: bool,
}

/// Returns the summary of each cell, given its records; none for a cell in which nothing counts.
///
/// Values are sorted before they are added, so that equal values give equal sums to the last bit, whatever the order of
/// the runs.
///
/// # Errors
/// The aggregation fails, which no content of the records should cause.
pub(crate) fn summaries(cells: &[&[Record]]) -> PolarsResult<Vec<Option<Summary>>> {
    let records = sorted(&frame(cells)?, &["cell", "repetition", "value"])?;
    let repetitions = aggregate(&records, &["cell", "repetition"])?;
    let repetitions = sorted(&repetitions, &["cell", "value"])?;
    let aggregated = aggregate(&repetitions, &["cell"])?;
    let positions = aggregated.column("cell")?.u32()?.into_no_null_iter();
    let means = aggregated.column("value")?.f64()?.into_no_null_iter();
    let deviations = aggregated.column("deviation")?.f64()?.iter();
    let counts = aggregated.column("count")?.u32()?.into_no_null_iter();
    let mut summaries = vec![None; cells.len()];
    for (((position, mean), deviation), count) in positions.zip(means).zip(deviations).zip(counts) {
        summaries[position as usize] = Some(Summary::new(mean, deviation, count));
    }
    Ok(summaries)
}

/// The records of runs that are counted nowhere else.
fn frame(cells: &[&[Record]]) -> PolarsResult<DataFrame> {
    let length = cells.iter().map(|records| records.len()).sum();
    let mut positions: Vec<u32> = Vec::with_capacity(length);
    let mut repetitions: Vec<u64> = Vec::with_capacity(length);
    let mut values: Vec<f64> = Vec::with_capacity(length);
    for (position, records) in (0..).zip(cells) {
        for record in records.iter().filter(|record| !record.again) {
            positions.push(position);
            repetitions.push(record.condition.repetition.number());
            values.push(record.value);
        }
    }
    let columns = vec![
        Column::new("cell".into(), positions),
        Column::new("repetition".into(), repetitions),
        Column::new("value".into(), values),
    ];
    DataFrame::new(columns[0].len(), columns)
}

fn sorted(frame: &DataFrame, columns: &[&str]) -> PolarsResult<DataFrame> {
    frame.sort(columns.iter().copied(), SortMultipleOptions::default())
}

/// The rows grouped by `keys`, in the order of first appearance: `value` becomes the mean of each group, `deviation` its
/// standard deviation, `count` its size.
fn aggregate(frame: &DataFrame, keys: &[&str]) -> PolarsResult<DataFrame> {
    let values: Vec<f64> = frame.column("value")?.f64()?.into_no_null_iter().collect();
    let groups = frame.group_by_stable(keys.iter().copied())?;
    let mut columns = groups.keys();
    let moments: Vec<Moments> = groups
        .get_groups()
        .iter()
        .map(|group| moments(&group, &values))
        .collect();
    let means: Vec<f64> = moments.iter().map(Moments::mean).collect();
    let deviations: Vec<Option<f64>> = moments.iter().map(Moments::deviation).collect();
    let counts: Vec<u32> = moments.iter().map(Moments::count).collect();
    columns.push(Column::new("value".into(), means));
    columns.push(Column::new("deviation".into(), deviations));
    columns.push(Column::new("count".into(), counts));
    DataFrame::new(moments.len(), columns)
}

/// The moments of the values of one group.
fn moments(group: &GroupsIndicator<'_>, values: &[f64]) -> Moments {
    let mut moments = Moments::default();
    match group {
        GroupsIndicator::Idx((_, rows)) => {
            rows.iter()
                .for_each(|&row| moments.add(values[row as usize]));
        }
        GroupsIndicator::Slice([first, length]) => {
            let first = *first as usize;
            let rows = &values[first..first + *length as usize];
            rows.iter().for_each(|&value| moments.add(value));
        }
    }
    moments
}
