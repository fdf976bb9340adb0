//! Significance: which row of a column is the best, and which rows are not distinguishable from it.
//!
//! Two methods are compared by their differences on the same seeds and folds. The folds of a seed are
//! averaged: a seed with all its folds is one repetition, and only repetitions are independent.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;
use schema::Metric;

use crate::{
    key::CellIndex,
    measured::MeasuredRows,
    stats::{holm, paired_t},
};

/// The level of all tests.
pub(crate) const LEVEL: f64 = 0.05;

/// The fewest seeds for a paired test.
pub(crate) const FEWEST: usize = 3;

/// How a cell compares with the best of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Significance {
    /// It has the highest mean, alone or with others.
    Best,
    /// Its difference from the best is not significant.
    NotDistinguishable,
    /// It is significantly worse than the best.
    Worse,
    /// Fewer than three seeds in common with the best: no test is possible.
    TooFew,
}

/// A test of a cell against the best of its column.
struct Test {
    cell: CellIndex,
    p: f64,
}

/// Compares the cells of each column with the one that has the highest mean, by paired t tests whose
/// p values are adjusted by Holm over all columns of the same metric; other metrics are seldom more
/// than the same question asked again.
///
/// Cells without a value have no entry, nor those of a column with nothing to compare, or whose
/// highest mean is that of a single run, on which no claim is based.
pub(crate) fn significance(measured: &MeasuredRows<'_>) -> PolarsResult<Verdicts> {
    let pairs = pairs(measured);
    let differences = measured.records.differences(&pairs)?;
    let mut verdicts = Verdicts::default();
    let significance = &mut verdicts.significance;
    let mut families: BTreeMap<Metric, Vec<Test>> = BTreeMap::new();
    for ((best, cell), differences) in pairs.into_iter().zip(differences) {
        if measured.mean(best) == measured.mean(cell) {
            significance.insert(cell, Significance::Best);
            continue;
        }
        significance.insert(cell, Significance::TooFew);
        if let Some(p) = p_value(&differences) {
            let family = families.entry(measured.metric(cell)).or_default();
            family.push(Test { cell, p });
        }
    }
    for tests in families.into_values() {
        let p: Vec<f64> = tests.iter().map(|test| test.p).collect();
        for (test, adjusted) in tests.into_iter().zip(holm(&p)) {
            significance.insert(test.cell, verdict(adjusted));
            if test.p > 0.0 {
                verdicts.factors.insert(test.cell, adjusted / test.p);
            }
        }
    }
    Ok(verdicts)
}

/// How all cells compare with the best of their columns.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    significance: BTreeMap<CellIndex, Significance>,
    /// By how much Holm multiplied the p value of each test.
    factors: BTreeMap<CellIndex, f64>,
}

impl Verdicts {
    /// How a cell compares; none if it has no value or nothing to be compared with.
    pub(crate) fn of(&self, cell: CellIndex) -> Option<Significance> {
        self.significance.get(&cell).copied()
    }

    /// By how much the p value of a cell's test is multiplied because of the others.
    pub(crate) fn factor(&self, cell: CellIndex) -> f64 {
        self.factors.get(&cell).copied().unwrap_or(1.0)
    }
}

/// The best cell of each column with each cell of the column that has a value.
fn pairs(measured: &MeasuredRows<'_>) -> Vec<(CellIndex, CellIndex)> {
    let mut pairs = Vec::new();
    for mut column in measured.columns() {
        column.retain(|cell| measured.summaries.contains_key(cell));
        if let Some(best) = measured.best(&column)
            && is_claimed(measured, &column, best)
        {
            pairs.extend(column.into_iter().map(|cell| (best, cell)));
        }
    }
    pairs
}

/// True if the cell may be called the best: others are compared with it, and it is no single run.
fn is_claimed(measured: &MeasuredRows<'_>, column: &[CellIndex], best: CellIndex) -> bool {
    let is_single = measured.summaries[&best].seeds < 2;
    column.len() > 1 && !is_single
}

fn verdict(p: f64) -> Significance {
    if p < LEVEL {
        Significance::Worse
    } else {
        Significance::NotDistinguishable
    }
}

/// The p value of a paired t test; none for fewer than three differences.
fn p_value(differences: &[f64]) -> Option<f64> {
    if differences.len() < FEWEST {
        return None;
    }
    // Without any spread of the differences the answer is certain: no difference, or always the same.
    let same = differences.iter().all(|difference| *difference == 0.0);
    let test = paired_t(differences, &vec![0.0; differences.len()]);
    Some(test.map_or(if same { 1.0 } else { 0.0 }, |test| test.p))
}

#[cfg(test)]
mod tests {
    use schema::{Dataset, Evaluated, Own, RunId};

    use super::{
        Significance::{Best, NotDistinguishable, TooFew, Worse},
        *,
    };
    use crate::{Row, RunState};

    /// Seeds with what was measured.
    type Values<'a> = &'a [(u64, f64)];

    fn row(column: usize, line: usize, metric: Metric, seed: u64, value: f64) -> Row {
        let run: RunId = format!("{column:04x}{line:04x}{seed:08x}").parse().unwrap();
        Row {
            dataset: Dataset::Own(Own {
                name: format!("data{column}"),
            }),
            method: format!("method{line}"),
            is_baseline: false,
            settings: Vec::new(),
            seed,
            fold: None,
            together: None,
            run,
            state: RunState::Finished(Evaluated {
                classes: 2,
                images: 4,
                gallery: None,
                without_positive: 0,
                scores: [(metric, value)].into(),
                ..Evaluated::default()
            }),
        }
    }

    /// A data set with one metric for each column, a method for each of its values.
    fn in_columns(columns: &[(Metric, &[Values<'_>])]) -> Vec<Vec<Option<Significance>>> {
        let mut rows = Vec::new();
        for (column, (metric, lines)) in columns.iter().enumerate() {
            for (line, values) in lines.iter().enumerate() {
                for &(seed, value) in *values {
                    rows.push(row(column, line, *metric, seed, value));
                }
            }
        }
        let metrics = |dataset: &Dataset| {
            let number: usize = dataset.name()[4..].parse().unwrap();
            vec![columns[number].0]
        };
        let measured = MeasuredRows::of(&rows, &metrics).unwrap();
        let found = significance(&measured).unwrap();
        let columns = measured.columns().into_iter();
        columns
            .map(|cells| cells.iter().map(|cell| found.of(*cell)).collect())
            .collect()
    }

    fn in_column(lines: &[Values<'_>]) -> Vec<Option<Significance>> {
        in_columns(&[(Metric::MapAtR, lines)]).remove(0)
    }

    #[test]
    fn the_best_of_a_column_is_marked_with_all_that_may_equal_it() {
        let column: [Values<'_>; 4] = [
            &[(0, 0.50), (1, 0.52), (2, 0.51), (3, 0.53), (4, 0.52)],
            &[(0, 0.51), (1, 0.51), (2, 0.52), (3, 0.52), (4, 0.51)],
            &[(0, 0.40), (1, 0.43), (2, 0.41), (3, 0.42), (4, 0.42)],
            &[(0, 0.1), (1, 0.2)],
        ];
        let expected = [
            Some(Best),
            Some(NotDistinguishable),
            Some(Worse),
            Some(TooFew),
        ];
        assert_eq!(in_column(&column), expected);
        // Seeds that only one of two has are not compared.
        let shifted: [Values<'_>; 2] = [&[(0, 0.5), (1, 0.6), (2, 0.7)], &[(2, 0.69), (3, 0.7)]];
        assert_eq!(in_column(&shifted), [Some(TooFew), Some(Best)]);
        let equal: [Values<'_>; 2] = [
            &[(0, 0.5), (1, 0.6), (2, 0.7)],
            &[(0, 0.6), (1, 0.5), (2, 0.7)],
        ];
        assert_eq!(in_column(&equal), [Some(Best), Some(Best)]);
    }

    #[test]
    fn more_columns_make_every_test_stricter() {
        // t = 0.1 / (0.04 / sqrt 3) = 4.33, p = 0.0494 with two degrees of freedom: significant alone,
        // and not of two.
        let column: [Values<'_>; 2] = [
            &[(0, 0.56), (1, 0.60), (2, 0.64)],
            &[(0, 0.50), (1, 0.50), (2, 0.50)],
        ];
        assert_eq!(in_column(&column), [Some(Best), Some(Worse)]);
        let one = (Metric::MapAtR, &column[..]);
        let both = [Some(Best), Some(NotDistinguishable)];
        assert_eq!(in_columns(&[one, one]), [both, both]);
        // By another metric it is the same question.
        let other = (Metric::RPrecision, &column[..]);
        let worse = [Some(Best), Some(Worse)];
        assert_eq!(in_columns(&[one, other]), [worse, worse]);
    }

    #[test]
    fn a_single_run_is_never_the_best() {
        assert_eq!(in_column(&[&[(0, 0.9)], &[(0, 0.5)]]), [None, None]);
        assert_eq!(in_column(&[&[(0, 0.9), (1, 0.8)]]), [None]);
    }
}
