//! Significance: which row of a column is the best, and which rows are equal to it or not
//! distinguishable from it.

use std::collections::BTreeMap;

use crate::{
    comparison::{Comparisons, Equality},
    key::CellIndex,
    measured::MeasuredRows,
};

/// How a cell compares with the best of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Significance {
    /// It has the highest mean, alone or with others.
    Best,
    /// Its difference from the best is too small to matter, significantly so.
    Equal,
    /// Its difference from the best is not significant.
    NotDistinguishable,
    /// It is significantly worse than the best.
    Worse,
    /// Fewer than three seeds in common with the best: no test is possible.
    TooFew,
}

/// How all cells compare with the best of their columns.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(BTreeMap<CellIndex, Significance>);

impl Verdicts {
    /// How a cell compares; none if it has no value or nothing to be compared with.
    pub(crate) fn of(&self, cell: CellIndex) -> Option<Significance> {
        self.0.get(&cell).copied()
    }
}

/// Judges the cells of each column by their comparisons with the one that has the highest mean.
///
/// Cells without a value have no entry, nor those of a column with nothing to compare, or whose
/// highest mean is that of a single run, on which no claim is based.
pub(crate) fn significance(measured: &MeasuredRows<'_>, comparisons: &Comparisons) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for mut column in measured.columns() {
        column.retain(|cell| measured.summaries.contains_key(cell));
        if let Some(best) = measured.best(&column)
            && is_claimed(measured, &column, best)
        {
            for cell in column {
                let verdict = verdict(measured, comparisons, best, cell);
                verdicts.0.insert(cell, verdict);
            }
        }
    }
    verdicts
}

/// True if the cell may be called the best: others are compared with it, and it is no single run.
fn is_claimed(measured: &MeasuredRows<'_>, column: &[CellIndex], best: CellIndex) -> bool {
    let is_single = measured.summaries[&best].seeds < 2;
    column.len() > 1 && !is_single
}

fn verdict(
    measured: &MeasuredRows<'_>,
    comparisons: &Comparisons,
    best: CellIndex,
    cell: CellIndex,
) -> Significance {
    if measured.mean(best) == measured.mean(cell) {
        return Significance::Best;
    }
    let comparison = comparisons.get(cell);
    let Some((comparison, test)) = comparison.and_then(|found| Some((found, found.test?))) else {
        return Significance::TooFew;
    };
    let is_equal = |equality: &Equality| equality.test.is_significant();
    if comparison.equality.as_ref().is_some_and(is_equal) {
        Significance::Equal
    } else if test.is_significant() {
        Significance::Worse
    } else {
        Significance::NotDistinguishable
    }
}

#[cfg(test)]
mod tests {
    use schema::{Dataset, Metric};

    use super::{
        Significance::{Best, NotDistinguishable, TooFew, Worse},
        *,
    };
    use crate::{
        Compare,
        comparison::Against,
        tests::{measured, row},
    };

    /// Seeds with what was measured.
    type Values<'a> = &'a [(u64, f64)];

    /// A data set with one metric for each column, a method for each of its values.
    fn in_columns(columns: &[(Metric, &[Values<'_>])]) -> Vec<Vec<Option<Significance>>> {
        let mut rows = Vec::new();
        for (column, (metric, lines)) in columns.iter().enumerate() {
            for (line, values) in lines.iter().enumerate() {
                for &(seed, value) in *values {
                    let (dataset, method) = (format!("data{column}"), format!("method{line}"));
                    rows.push(row(&dataset, &method, seed, measured([(*metric, value)])));
                }
            }
        }
        let metrics = |dataset: &Dataset| {
            let number: usize = dataset.name()[4..].parse().unwrap();
            vec![columns[number].0]
        };
        let measured = MeasuredRows::of(&rows, &metrics, None, &Compare::Rows).unwrap();
        let comparisons = Comparisons::of(&measured, Against::Best, None);
        let found = significance(&measured, &comparisons);
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
