//! All records as one polars data frame, which tables, statistics and CSV files query.
//!
//! | column | type | content |
//! | --- | --- | --- |
//! | `line` | u32 | the line of the record, by position |
//! | `metric` | u32 | the metric, by position among those of the line |
//! | `seed` | u64 | the seed |
//! | `fold` | u32 | the fold, by position; null without folds |
//! | `value` | f64 | the measured fraction |
//! | `again` | bool | true if the run is already counted under another seed |
//!
//! A repetition is a seed with all its folds: first the folds of a seed are averaged, then the seeds.
//! Folds of one seed share most of their training classes, so their spread says nothing about another
//! repetition. "A Metric Learning Reality Check" computes its intervals over repetitions likewise.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, GroupsIndicator, PolarsResult, SortMultipleOptions};

use crate::{gather::RowRuns, key::CellIndex, moments::Moments, summary::Summary};

/// A finite value that a finished run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CellRecord {
    pub(crate) cell: CellIndex,
    pub(crate) seed: u64,
    pub(crate) fold: Option<u32>,
    pub(crate) value: f64,
    pub(crate) again: bool,
}

/// All records of a table.
pub(crate) struct Records {
    frame: DataFrame,
    /// The value of each seed and fold: the mean, should several runs have them.
    values: BTreeMap<CellIndex, Values>,
}

/// What was measured by seed and fold.
type Values = BTreeMap<(u64, Option<u32>), f64>;

impl Records {
    pub(crate) fn of(lines: &[RowRuns<'_>]) -> PolarsResult<Records> {
        let mut records = Vec::new();
        for (line, runs) in lines.iter().enumerate() {
            for metric in 0..runs.metrics.len() {
                add(&mut records, CellIndex { line, metric }, runs);
            }
        }
        Records::new(&records)
    }

    pub(crate) fn new(records: &[CellRecord]) -> PolarsResult<Records> {
        let lines = records.iter().map(|record| record.cell.line as u32);
        let metrics = records.iter().map(|record| record.cell.metric as u32);
        let seeds = records.iter().map(|record| record.seed);
        let folds = records.iter().map(|record| record.fold);
        let values = records.iter().map(|record| record.value);
        let again = records.iter().map(|record| record.again);
        let columns = vec![
            Column::new("line".into(), lines.collect::<Vec<u32>>()),
            Column::new("metric".into(), metrics.collect::<Vec<u32>>()),
            Column::new("seed".into(), seeds.collect::<Vec<u64>>()),
            Column::new("fold".into(), folds.collect::<Vec<Option<u32>>>()),
            Column::new("value".into(), values.collect::<Vec<f64>>()),
            Column::new("again".into(), again.collect::<Vec<bool>>()),
        ];
        let frame = DataFrame::new(records.len(), columns)?;
        let values = values_of(&frame)?;
        Ok(Records { frame, values })
    }

    /// The summary of each cell in which anything was measured.
    ///
    /// Values are sorted before they are added, so that equal values give equal sums to the last
    /// bit, whatever the order of the runs.
    pub(crate) fn summaries(&self) -> PolarsResult<BTreeMap<CellIndex, Summary>> {
        let once = !self.frame.column("again")?.bool()?;
        let records = sorted(
            &self.frame.filter(&once)?,
            &["line", "metric", "seed", "value"],
        )?;
        let repetitions = aggregate(&records, &["line", "metric", "seed"])?;
        let repetitions = sorted(&repetitions, &["line", "metric", "value", "seed"])?;
        let cells = aggregate(&repetitions, &["line", "metric"])?;
        let means = cells.column("value")?.f64()?;
        let deviations = cells.column("deviation")?.f64()?;
        let counts = cells.column("count")?.u32()?;
        let mut summaries = BTreeMap::new();
        for (place, cell) in cells_of(&cells)?.into_iter().enumerate() {
            if let (Some(mean), Some(seeds)) = (means.get(place), counts.get(place)) {
                let summary = Summary::new(mean, deviations.get(place), seeds);
                summaries.insert(cell, summary);
            }
        }
        Ok(summaries)
    }

    /// For each pair of cells, the difference of the first from the second for each seed that both
    /// have: the mean over the folds that both have.
    pub(crate) fn differences(
        &self,
        pairs: &[(CellIndex, CellIndex)],
    ) -> PolarsResult<Vec<Vec<f64>>> {
        let mut numbers: Vec<u32> = Vec::new();
        let mut seeds: Vec<u64> = Vec::new();
        let mut values: Vec<f64> = Vec::new();
        for (number, (first, second)) in (0..).zip(pairs) {
            for (seed, difference) in self.of_folds(*first, *second) {
                numbers.push(number);
                seeds.push(seed);
                values.push(difference);
            }
        }
        let columns = vec![
            Column::new("pair".into(), numbers),
            Column::new("seed".into(), seeds),
            Column::new("value".into(), values.clone()),
        ];
        let frame = DataFrame::new(values.len(), columns)?;
        let repetitions = aggregate(&frame, &["pair", "seed"])?;
        let numbers = repetitions.column("pair")?.u32()?;
        let values = repetitions.column("value")?.f64()?;
        let mut differences = vec![Vec::new(); pairs.len()];
        for (number, value) in numbers.into_no_null_iter().zip(values.into_no_null_iter()) {
            differences[number as usize].push(value);
        }
        Ok(differences)
    }

    /// What was measured in a cell, with its seed, by seed and fold.
    pub(crate) fn of_cell(&self, cell: CellIndex) -> impl Iterator<Item = (u64, f64)> {
        let values = self.values.get(&cell).into_iter().flatten();
        values.map(|((seed, _), value)| (*seed, *value))
    }

    /// The mean over folds of each seed of a cell.
    pub(crate) fn means_of_seeds(&self, cell: CellIndex) -> Vec<f64> {
        let values: Vec<(u64, f64)> = self.of_cell(cell).collect();
        let of_seeds = values.chunk_by(|a, b| a.0 == b.0);
        of_seeds
            .map(|folds| folds.iter().map(|(_, value)| value).sum::<f64>() / folds.len() as f64)
            .collect()
    }

    /// The differences of two cells on each fold, and the number of folds. None without folds, or if seeds
    /// differ in their number of folds.
    pub(crate) fn differences_of_folds(
        &self,
        first: CellIndex,
        second: CellIndex,
    ) -> Option<(Vec<f64>, usize)> {
        let differences = self.of_folds(first, second);
        let of_seeds = differences.chunk_by(|a, b| a.0 == b.0);
        let folds = of_seeds.clone().next()?.len();
        let is_complete = folds > 1 && of_seeds.into_iter().all(|seed| seed.len() == folds);
        let values = differences.iter().map(|(_, difference)| *difference);
        is_complete.then(|| (values.collect(), folds))
    }

    /// The differences on the seeds and folds that both cells have, in their order.
    fn of_folds(&self, first: CellIndex, second: CellIndex) -> Vec<(u64, f64)> {
        let (Some(first), Some(second)) = (self.values.get(&first), self.values.get(&second))
        else {
            return Vec::new();
        };
        let mut differences = Vec::new();
        for (condition, value) in first {
            if let Some(other) = second.get(condition) {
                differences.push((condition.0, value - other));
            }
        }
        differences
    }
}

/// Adds what the runs of a line measured of one of its metrics.
fn add(records: &mut Vec<CellRecord>, cell: CellIndex, runs: &RowRuns<'_>) {
    let once = runs.runs.iter().map(|row| (row, false));
    let again = runs.repeats.iter().map(|row| (row, true));
    for (row, again) in once.chain(again) {
        if let Some(value) = row.measured(runs.metrics[cell.metric]) {
            records.push(CellRecord {
                cell,
                seed: row.seed,
                fold: row.fold.map(|fold| fold.index),
                value,
                again,
            });
        }
    }
}

/// The value of each cell, seed and fold.
fn values_of(frame: &DataFrame) -> PolarsResult<BTreeMap<CellIndex, Values>> {
    let means = aggregate(frame, &["line", "metric", "seed", "fold"])?;
    let seeds = means.column("seed")?.u64()?;
    let folds = means.column("fold")?.u32()?;
    let values = means.column("value")?.f64()?;
    let mut all: BTreeMap<CellIndex, Values> = BTreeMap::new();
    for (place, cell) in cells_of(&means)?.into_iter().enumerate() {
        if let (Some(seed), Some(value)) = (seeds.get(place), values.get(place)) {
            let condition = (seed, folds.get(place));
            all.entry(cell).or_default().insert(condition, value);
        }
    }
    Ok(all)
}

/// The cells of a frame's rows.
fn cells_of(frame: &DataFrame) -> PolarsResult<Vec<CellIndex>> {
    let lines = frame.column("line")?.u32()?;
    let metrics = frame.column("metric")?.u32()?;
    let cells = lines.into_no_null_iter().zip(metrics.into_no_null_iter());
    let cells = cells.map(|(line, metric)| CellIndex {
        line: line as usize,
        metric: metric as usize,
    });
    Ok(cells.collect())
}

fn sorted(frame: &DataFrame, columns: &[&str]) -> PolarsResult<DataFrame> {
    frame.sort(columns.iter().copied(), SortMultipleOptions::default())
}

/// The rows grouped by `keys`, in the order of first appearance: `value` becomes the mean of each
/// group, `deviation` its standard deviation, `count` its size.
fn aggregate(frame: &DataFrame, keys: &[&str]) -> PolarsResult<DataFrame> {
    let values: Vec<f64> = frame.column("value")?.f64()?.into_no_null_iter().collect();
    let groups = frame.group_by_stable(keys.iter().copied())?;
    let mut columns = groups.keys();
    let mut means: Vec<f64> = Vec::new();
    let mut deviations: Vec<Option<f64>> = Vec::new();
    let mut counts: Vec<u32> = Vec::new();
    for group in groups.get_groups().iter() {
        let moments = moments(&group, &values);
        means.push(moments.mean());
        deviations.push(moments.deviation());
        counts.push(moments.count());
    }
    let height = means.len();
    columns.push(Column::new("value".into(), means));
    columns.push(Column::new("deviation".into(), deviations));
    columns.push(Column::new("count".into(), counts));
    DataFrame::new(height, columns)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Over;

    fn records(values: &[(usize, u64, Option<u32>, f64)]) -> Records {
        let record = |&(line, seed, fold, value)| CellRecord {
            cell: CellIndex { line, metric: 0 },
            seed,
            fold,
            value,
            again: false,
        };
        let records: Vec<CellRecord> = values.iter().map(record).collect();
        Records::new(&records).unwrap()
    }

    fn summaries(values: &[(usize, u64, Option<u32>, f64)]) -> BTreeMap<usize, Summary> {
        let summaries = records(values).summaries().unwrap().into_iter();
        summaries
            .map(|(cell, summary)| (cell.line, summary))
            .collect()
    }

    fn differences(values: &[(usize, u64, Option<u32>, f64)]) -> Vec<f64> {
        let [first, second] = [0, 1].map(|line| CellIndex { line, metric: 0 });
        let pairs = [(first, second)];
        records(values).differences(&pairs).unwrap().remove(0)
    }

    #[track_caller]
    fn close(left: &[f64], right: &[f64]) {
        let is_close = left.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(left.len() == right.len() && is_close, "{left:?} {right:?}");
    }

    #[test]
    fn each_cell_has_its_own_statistics() {
        let summaries = summaries(&[
            (0, 0, None, 0.1),
            (1, 0, None, 0.5),
            (0, 1, None, 0.3),
            (4, 0, None, 0.9),
        ]);
        assert_eq!(summaries.keys().copied().collect::<Vec<_>>(), [0, 1, 4]);
        let pair = summaries[&0];
        assert_eq!(pair.seeds, 2);
        assert!((pair.mean - 0.2).abs() < 1e-12);
        // The standard deviation of 0.1 and 0.3 is 0.2 / sqrt(2), the standard error 0.1.
        assert!((pair.half_width.unwrap() - 1.27062).abs() < 1e-5);
        assert_eq!(
            summaries[&4],
            Summary {
                mean: 0.9,
                half_width: None,
                over: Over::Seeds,
                over_seeds: None,
                seeds: 1
            }
        );
    }

    #[test]
    fn folds_are_averaged_before_seeds() {
        // Seed 0 has the mean 0.1 and seed 1 the mean 0.3, whatever the spread of their folds.
        let both = summaries(&[
            (0, 0, Some(0), 0.0),
            (0, 0, Some(1), 0.2),
            (0, 1, Some(0), 0.25),
            (0, 1, Some(1), 0.35),
        ]);
        assert_eq!(both[&0].seeds, 2);
        assert!((both[&0].mean - 0.2).abs() < 1e-12);
        assert!((both[&0].half_width.unwrap() - 1.27062).abs() < 1e-5);
        let one = summaries(&[(0, 7, Some(0), 0.0), (0, 7, Some(1), 0.2)]);
        assert_eq!(one[&0].half_width, None);
    }

    #[test]
    fn without_records_there_is_no_summary() {
        assert!(summaries(&[]).is_empty());
    }

    #[test]
    fn differences_are_averaged_over_the_folds_that_both_have() {
        let differences = differences(&[
            (0, 0, Some(0), 0.5),
            (0, 0, Some(1), 0.7),
            (0, 1, Some(0), 0.6),
            (0, 2, Some(0), 0.9),
            (1, 0, Some(0), 0.4),
            (1, 0, Some(1), 0.4),
            (1, 1, Some(0), 0.5),
            (1, 1, Some(1), 0.1),
        ]);
        close(&differences, &[0.2, 0.1]);
    }

    #[test]
    fn means_and_differences_use_all_runs_of_a_seed() {
        let values = [
            (0, 0, None, 0.5),
            (0, 0, None, 0.7),
            (0, 1, None, 0.4),
            (1, 0, None, 0.1),
            (1, 1, None, 0.1),
        ];
        close(&[summaries(&values)[&0].mean], &[0.5]);
        close(&differences(&values), &[0.5, 0.3]);
    }
}
