//! All records as one polars data frame, which tables, statistics and CSV files query.
//!
//! | column | type | content |
//! | --- | --- | --- |
//! | `line` | u32 | the line of the record, by position |
//! | `metric` | u32 | the metric, by position among those of the line |
//! | `repetition` | u64 | the seed; where the search of the line was repeated, the number of the search |
//! | `value` | f64 | the measured fraction |
//! | `again` | bool | true if the run is already counted under another seed |
//!
//! A repetition is a seed with all its folds, or a search with all its seeds: first the values of a
//! repetition are averaged, then the repetitions.
//! Folds of one seed share most of their training classes, so their spread says nothing about another
//! repetition. "A Metric Learning Reality Check" computes its intervals over repetitions likewise.

use std::collections::BTreeMap;

use polars::prelude::{Column, DataFrame, GroupsIndicator, PolarsResult, SortMultipleOptions};
use schema::Metric;

use crate::{
    Row,
    gather::RowRuns,
    key::CellIndex,
    moments::Moments,
    repetition::{ByCondition, Condition, Pair, are_searches, by_repetition, pairs},
    summary::Summary,
};

/// A finite value that a finished run measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CellRecord {
    pub(crate) cell: CellIndex,
    pub(crate) condition: Condition,
    pub(crate) value: f64,
    pub(crate) again: bool,
}

/// All records of a table.
pub(crate) struct Records {
    frame: DataFrame,
    /// The value under each condition: the mean, should several runs have it.
    values: BTreeMap<CellIndex, ByCondition<f64>>,
}

impl Records {
    pub(crate) fn of(lines: &[RowRuns<'_>]) -> PolarsResult<Records> {
        let mut records = Vec::new();
        for (line, runs) in lines.iter().enumerate() {
            for metric in 0..runs.metrics.len() {
                add(
                    &mut records,
                    CellIndex { line, metric },
                    runs,
                    Row::measured,
                );
            }
        }
        Records::new(&records)
    }

    pub(crate) fn new(records: &[CellRecord]) -> PolarsResult<Records> {
        let lines = records.iter().map(|record| record.cell.line as u32);
        let metrics = records.iter().map(|record| record.cell.metric as u32);
        let repetitions = records
            .iter()
            .map(|record| record.condition.repetition.number());
        let values = records.iter().map(|record| record.value);
        let again = records.iter().map(|record| record.again);
        let columns = vec![
            Column::new("line".into(), lines.collect::<Vec<u32>>()),
            Column::new("metric".into(), metrics.collect::<Vec<u32>>()),
            Column::new("repetition".into(), repetitions.collect::<Vec<u64>>()),
            Column::new("value".into(), values.collect::<Vec<f64>>()),
            Column::new("again".into(), again.collect::<Vec<bool>>()),
        ];
        let frame = DataFrame::new(records.len(), columns)?;
        let values = values_of(records);
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
            &["line", "metric", "repetition", "value"],
        )?;
        let repetitions = aggregate(&records, &["line", "metric", "repetition"])?;
        let repetitions = sorted(&repetitions, &["line", "metric", "value", "repetition"])?;
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

    /// The difference of the first cell from the second in each repetition that both have: the mean over the
    /// folds that both have.
    pub(crate) fn differences(&self, first: CellIndex, second: CellIndex) -> Vec<f64> {
        let pairs = self.paired(first, second);
        pairs.iter().map(difference).collect()
    }

    /// What was measured in a cell.
    pub(crate) fn of_cell(&self, cell: CellIndex) -> Option<&ByCondition<f64>> {
        self.values.get(&cell)
    }

    /// The mean of each repetition of a cell.
    pub(crate) fn means_of_repetitions(&self, cell: CellIndex) -> Vec<f64> {
        let repetitions = self.of_cell(cell).map(by_repetition).unwrap_or_default();
        let mean = |values: Vec<&f64>| values.iter().copied().sum::<f64>() / values.len() as f64;
        repetitions.into_iter().map(mean).collect()
    }

    /// True if the repetitions of a cell are searches.
    pub(crate) fn are_searches(&self, cell: CellIndex) -> bool {
        self.of_cell(cell).is_some_and(are_searches)
    }

    /// The differences of two cells on each fold, and the number of folds. None without folds, or if seeds
    /// differ in their number of folds.
    pub(crate) fn differences_of_folds(
        &self,
        first: CellIndex,
        second: CellIndex,
    ) -> Option<(Vec<f64>, usize)> {
        if self.are_searches(first) || self.are_searches(second) {
            return None;
        }
        let of_seeds: Vec<Vec<f64>> = self
            .paired(first, second)
            .iter()
            .map(differences_in)
            .collect();
        let folds = of_seeds.first()?.len();
        let is_complete = folds > 1 && of_seeds.iter().all(|seed| seed.len() == folds);
        is_complete.then(|| (of_seeds.concat(), folds))
    }

    fn paired(&self, first: CellIndex, second: CellIndex) -> Vec<Pair<'_, f64>> {
        match (self.values.get(&first), self.values.get(&second)) {
            (Some(first), Some(second)) => pairs(first, second),
            _ => Vec::new(),
        }
    }
}

/// The mean difference in one repetition.
fn difference(pair: &Pair<'_, f64>) -> f64 {
    match pair.is_matched {
        true => mean(differences_in(pair)),
        false => {
            let [first, second] =
                [&pair.first, &pair.second].map(|values| mean(values.iter().copied().copied()));
            first - second
        }
    }
}

/// The differences of the values at the same positions.
fn differences_in(pair: &Pair<'_, f64>) -> Vec<f64> {
    let values = pair.first.iter().zip(&pair.second);
    values.map(|(own, other)| **own - **other).collect()
}

fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut moments = Moments::default();
    values.into_iter().for_each(|value| moments.add(value));
    moments.mean()
}

/// Adds what the runs of a line measured of one of its metrics, as `value_of` reads it.
pub(crate) fn add(
    records: &mut Vec<CellRecord>,
    cell: CellIndex,
    runs: &RowRuns<'_>,
    value_of: impl Fn(&Row, Metric) -> Option<f64>,
) {
    let once = runs.runs.iter().map(|row| (row, false));
    let again = runs.repeats.iter().map(|row| (row, true));
    for (row, again) in once.chain(again) {
        if let Some(value) = value_of(row, runs.metrics[cell.metric]) {
            records.push(CellRecord {
                cell,
                condition: Condition::of(row),
                value,
                again,
            });
        }
    }
}

/// The value of each cell under each condition.
fn values_of(records: &[CellRecord]) -> BTreeMap<CellIndex, ByCondition<f64>> {
    let mut all: BTreeMap<CellIndex, ByCondition<Moments>> = BTreeMap::new();
    for record in records {
        let of_cell = all.entry(record.cell).or_default();
        of_cell
            .entry(record.condition)
            .or_default()
            .add(record.value);
    }
    let means = |values: ByCondition<Moments>| {
        let values = values.into_iter();
        values
            .map(|(condition, moments)| (condition, moments.mean()))
            .collect()
    };
    all.into_iter()
        .map(|(cell, values)| (cell, means(values)))
        .collect()
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
    use crate::{repetition::Repetition, summary::Over};

    fn records(values: &[(usize, u64, Option<u32>, f64)]) -> Records {
        let record = |&(line, seed, fold, value)| CellRecord {
            cell: CellIndex { line, metric: 0 },
            condition: Condition {
                repetition: Repetition::Seed(seed),
                seed,
                fold,
            },
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
        records(values).differences(first, second)
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
    fn a_search_with_all_its_seeds_is_one_repetition() {
        let record = |number, seed, value| CellRecord {
            cell: CellIndex { line: 0, metric: 0 },
            condition: Condition {
                repetition: Repetition::Search(number),
                seed,
                fold: None,
            },
            value,
            again: false,
        };
        let records = [
            record(0, 0, 0.0),
            record(0, 1, 0.2),
            record(1, 2, 0.25),
            record(1, 3, 0.35),
        ];
        let records = Records::new(&records).unwrap();
        let summary = records.summaries().unwrap().into_values().next().unwrap();
        assert_eq!(summary.seeds, 2);
        assert!((summary.mean - 0.2).abs() < 1e-12);
        assert!((summary.half_width.unwrap() - 1.27062).abs() < 1e-5);
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
