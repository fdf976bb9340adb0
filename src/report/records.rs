//! What was measured in each cell, by what it was measured under: the values that tables, statistics and CSV
//! files are computed from.
//!
//! A repetition is a seed with all its folds, or a search with all its seeds; [`frame`] summarizes those of a cell.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;
use rayon::prelude::*;

use crate::{
    Row,
    frame::{self, Record},
    gather::RowRuns,
    key::CellIndex,
    moments::Moments,
    repetition::{ByCondition, Condition, Pair, are_searches, by_repetition, pairs},
    summary::Summary,
};

/// The records of all cells in which anything was measured.
pub(crate) struct Records {
    /// The value under each condition: the mean, should several runs have it.
    values: BTreeMap<CellIndex, ByCondition<f64>>,
    summaries: BTreeMap<CellIndex, Summary>,
}

impl Records {
    pub(crate) fn of(lines: &[RowRuns<'_>]) -> PolarsResult<Records> {
        let lines = lines.par_iter().enumerate();
        let of_lines: Vec<Vec<_>> = lines.map(|(line, runs)| of_line(line, runs)).collect();
        Records::new(of_lines.into_iter().flatten().collect())
    }

    fn new(cells: Vec<(CellIndex, Vec<Record>)>) -> PolarsResult<Records> {
        let records: Vec<&[Record]> = cells.iter().map(|(_, records)| &records[..]).collect();
        let summaries = frame::summaries(&records)?;
        let indices = cells.iter().map(|(cell, _)| *cell);
        let summaries = indices.zip(summaries);
        let summaries = summaries.filter_map(|(cell, summary)| Some((cell, summary?)));
        let values = cells
            .par_iter()
            .map(|(cell, records)| (*cell, values(records)));
        Ok(Records {
            summaries: summaries.collect(),
            values: values.collect(),
        })
    }

    /// The summary of each cell.
    pub(crate) fn summaries(&self) -> &BTreeMap<CellIndex, Summary> {
        &self.summaries
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
        match (self.of_cell(first), self.of_cell(second)) {
            (Some(first), Some(second)) => pairs(first, second),
            _ => Vec::new(),
        }
    }
}

/// The records of the cells of a line in which anything was measured.
fn of_line(line: usize, runs: &RowRuns<'_>) -> Vec<(CellIndex, Vec<Record>)> {
    let metrics = runs.metrics.iter().enumerate();
    let cells = metrics.map(|(metric, &measured)| {
        let records = of_metric(runs, |row| row.measured(measured));
        (CellIndex { line, metric }, records)
    });
    cells.filter(|(_, records)| !records.is_empty()).collect()
}

/// What the runs of a line measured, as `value_of` reads it.
pub(crate) fn of_metric(runs: &RowRuns<'_>, value_of: impl Fn(&Row) -> Option<f64>) -> Vec<Record> {
    let once = runs.runs.iter().map(|row| (row, false));
    let again = runs.repeats.iter().map(|row| (row, true));
    let records = once.chain(again).filter_map(|(row, again)| {
        Some(Record {
            condition: Condition::of(row),
            value: value_of(row)?,
            again,
        })
    });
    records.collect()
}

/// The value under each condition.
fn values(records: &[Record]) -> ByCondition<f64> {
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| record.condition);
    let conditions = sorted.chunk_by(|a, b| a.condition == b.condition);
    ByCondition::of(conditions.map(|records| {
        let values = records.iter().map(|record| record.value);
        (records[0].condition, mean(values))
    }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{repetition::Repetition, summary::Over};

    fn records(values: &[(usize, u64, Option<u32>, f64)]) -> Records {
        let mut cells: BTreeMap<CellIndex, Vec<Record>> = BTreeMap::new();
        for &(line, seed, fold, value) in values {
            let of_cell = cells.entry(CellIndex { line, metric: 0 }).or_default();
            of_cell.push(Record {
                condition: Condition {
                    repetition: Repetition::Seed(seed),
                    seed,
                    fold,
                },
                value,
                again: false,
            });
        }
        Records::new(cells.into_iter().collect()).unwrap()
    }

    fn summaries(values: &[(usize, u64, Option<u32>, f64)]) -> BTreeMap<usize, Summary> {
        let records = records(values);
        let summaries = records.summaries().iter();
        summaries
            .map(|(cell, summary)| (cell.line, *summary))
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
        let record = |number, seed, value| Record {
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
        let summary = frame::summaries(&[&records]).unwrap()[0].unwrap();
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
