//! Comparisons of rows by what they measured under the same conditions: the one place from which marks,
//! claims and statistics take their intervals, their p values and the number of seeds still needed.
//!
//! Two methods are compared by their differences on the same seeds and folds. The folds of a seed are
//! averaged: a seed with all its folds is one repetition, and only repetitions are independent. Where
//! searches are repeated, so is a search with all its seeds. The p
//! values of one metric are adjusted together over all data sets; other metrics are seldom more than the
//! same question asked again.

use std::collections::BTreeMap;

use rayon::prelude::*;
use schema::Metric;

use crate::{
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    repetition::Repetitions,
    stats::{Estimate, Posterior, holm, holm_with_best, more_for_difference, more_for_equality},
};

/// The level of all tests.
pub(crate) const LEVEL: f64 = 0.05;

/// The fewest seeds for a paired test.
pub(crate) const FEWEST: usize = 3;

/// What each row is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against<'a> {
    /// The best of its column, which is found in the same data.
    Best,
    /// The method of this name under the same axis values.
    Method(&'a str),
}

/// A cell and its reference on the seeds and folds that both have.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) reference: CellIndex,
    /// The repetitions that both have.
    pub(crate) repetitions: Repetitions,
    /// The difference in each of them: the cell minus the reference.
    pub(crate) differences: Vec<f64>,
    /// Their mean, over seeds and classes if the scores of each class are known, else over seeds. None for
    /// fewer than two seeds.
    pub(crate) difference: Option<Estimate>,
    /// Whether there is a difference. None for fewer than three seeds.
    pub(crate) test: Option<Test>,
    /// Whether the difference is too small to matter, if the sweep says what matters.
    pub(crate) equality: Option<Equality>,
}

/// A test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) p: f64,
    /// Adjusted because of the other tests.
    pub(crate) adjusted: f64,
}

/// Whether a difference is within a region of practical equality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Equality {
    /// The largest difference that does not matter, as a fraction.
    pub(crate) within: f64,
    /// Two one-sided tests.
    pub(crate) test: Test,
    /// How likely the difference is below the region, inside, and above: the Bayesian t test, correlated if
    /// there are folds.
    pub(crate) posterior: Posterior,
}

impl Test {
    pub(crate) fn is_significant(&self) -> bool {
        self.adjusted < LEVEL
    }

    fn alone(p: f64) -> Test {
        Test { p, adjusted: p }
    }

    /// By how much the p value is multiplied because of the other tests.
    fn factor(&self) -> f64 {
        if self.p > 0.0 {
            self.adjusted / self.p
        } else {
            1.0
        }
    }
}

impl Comparison {
    /// Compares by the differences of each class, too, if they are known.
    fn new(
        reference: CellIndex,
        differences: Vec<f64>,
        are_searches: bool,
        by_class: Option<Estimate>,
    ) -> Comparison {
        let difference = by_class.or_else(|| Estimate::of(&differences));
        let is_tested = differences.len() >= FEWEST;
        let test = difference.filter(|_| is_tested);
        Comparison {
            reference,
            difference,
            test: test.map(|estimate| Test::alone(estimate.p())),
            equality: None,
            repetitions: Repetitions {
                count: differences.len(),
                are_searches,
            },
            differences,
        }
    }

    /// About as many further seeds would show a difference, if the estimate is right. None if none would, or
    /// there is no test.
    pub(crate) fn more_for_difference(&self) -> Option<usize> {
        let factor = self.test?.factor();
        more_for_difference(&self.difference?, factor, LEVEL)
    }

    /// About as many further seeds would show that the difference does not matter, likewise.
    pub(crate) fn more_for_equality(&self) -> Option<usize> {
        let Equality { within, test, .. } = self.equality?;
        more_for_equality(&self.difference?, within, test.factor(), LEVEL)
    }
}

/// The comparison of each cell that has a value and a reference other than itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparisons(BTreeMap<CellIndex, Comparison>);

impl Comparisons {
    /// Compares all cells. `within` is the largest difference that does not matter, as a fraction.
    pub(crate) fn of(
        measured: &MeasuredRows<'_>,
        against: Against<'_>,
        within: Option<f64>,
    ) -> Comparisons {
        let pairs = pairs(measured, against);
        let compared = pairs.into_par_iter().map(|(cell, reference)| {
            let records = &measured.records;
            let by_class = measured.by_class.difference(cell, reference);
            let comparison = Comparison::new(
                reference,
                records.differences(cell, reference),
                records.are_searches(cell) || records.are_searches(reference),
                by_class,
            );
            (cell, comparison)
        });
        let mut all = Comparisons(compared.collect());
        all.adjust(measured, against);
        if let Some(within) = within {
            all.test_equality(measured, within);
            all.judge_equality(measured);
        }
        all
    }

    pub(crate) fn get(&self, cell: CellIndex) -> Option<&Comparison> {
        self.0.get(&cell)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All comparisons in the order of their cells.
    pub(crate) fn par_iter(&self) -> impl ParallelIterator<Item = (CellIndex, &Comparison)> {
        self.0
            .par_iter()
            .map(|(cell, comparison)| (*cell, comparison))
    }

    fn adjust(&mut self, measured: &MeasuredRows<'_>, against: Against<'_>) {
        for columns in self.families(measured).into_values() {
            let columns: Vec<Vec<&mut Test>> = columns.into_values().collect();
            let p = |tests: &Vec<&mut Test>| tests.iter().map(|test| test.p).collect();
            let p: Vec<Vec<f64>> = columns.iter().map(p).collect();
            let adjusted = match against {
                Against::Best => holm_with_best(&p).concat(),
                Against::Method(_) => holm(&p.concat()),
            };
            for (test, adjusted) in columns.into_iter().flatten().zip(adjusted) {
                test.adjusted = adjusted;
            }
        }
    }

    /// The tests of each metric, by the cells that are compared with each other.
    fn families(
        &mut self,
        measured: &MeasuredRows<'_>,
    ) -> BTreeMap<Metric, BTreeMap<(Panel, RowKey), Vec<&mut Test>>> {
        let mut families = BTreeMap::<_, BTreeMap<_, Vec<&mut Test>>>::new();
        for (cell, comparison) in &mut self.0 {
            if let Some(test) = &mut comparison.test {
                let family = families.entry(measured.metric(*cell)).or_default();
                let column = family.entry(measured.group(*cell)).or_default();
                column.push(test);
            }
        }
        families
    }

    /// Tests whether differences are within a region, adjusted by Holm over the comparisons of a metric.
    ///
    /// That suffices even where the best is found in the same data: the best has had luck, so its
    /// distance from the others appears larger than it is.
    fn test_equality(&mut self, measured: &MeasuredRows<'_>, within: f64) {
        let mut families: BTreeMap<Metric, Vec<&mut Test>> = BTreeMap::new();
        for (cell, comparison) in &mut self.0 {
            let Some(difference) = comparison.difference.filter(|_| comparison.test.is_some())
            else {
                continue;
            };
            let equality = comparison.equality.insert(Equality {
                within,
                test: Test::alone(difference.p_of_distance(within)),
                posterior: difference.posterior(within),
            });
            let family = families.entry(measured.metric(*cell)).or_default();
            family.push(&mut equality.test);
        }
        for tests in families.into_values() {
            let p: Vec<f64> = tests.iter().map(|test| test.p).collect();
            for (test, adjusted) in tests.into_iter().zip(holm(&p)) {
                test.adjusted = adjusted;
            }
        }
    }

    /// Where there are folds, computes the posterior from the differences of each fold.
    fn judge_equality(&mut self, measured: &MeasuredRows<'_>) {
        for (cell, comparison) in &mut self.0 {
            let Some(equality) = &mut comparison.equality else {
                continue;
            };
            let of_folds = measured
                .records
                .differences_of_folds(*cell, comparison.reference)
                .and_then(|(differences, folds)| Estimate::of_folds(&differences, folds));
            if let Some(estimate) = of_folds {
                equality.posterior = estimate.posterior(equality.within);
            }
        }
    }
}

/// Each cell that has a value, with its reference.
fn pairs(measured: &MeasuredRows<'_>, against: Against<'_>) -> Vec<(CellIndex, CellIndex)> {
    let mut pairs = Vec::new();
    for mut column in measured.columns() {
        column.retain(|cell| measured.summaries.contains_key(cell));
        let best = measured.best(&column);
        let references = match against {
            Against::Best => Vec::new(),
            Against::Method(name) => of_method(measured, &column, name),
        };
        for &cell in &column {
            let reference = match against {
                Against::Best => best,
                Against::Method(_) => best_of(measured, &references, cell),
            };
            let other = reference.filter(|reference| *reference != cell);
            pairs.extend(other.map(|reference| (cell, reference)));
        }
    }
    pairs
}

/// The cells of a method.
fn of_method(measured: &MeasuredRows<'_>, column: &[CellIndex], method: &str) -> Vec<CellIndex> {
    let cells = column.iter().copied();
    let is_of_method = |cell: &CellIndex| {
        let key = &measured.line(*cell).key;
        measured.names.is_method(key, method)
    };
    cells.filter(is_of_method).collect()
}

/// The best of some cells under the same axis values as a cell.
fn best_of(
    measured: &MeasuredRows<'_>,
    references: &[CellIndex],
    cell: CellIndex,
) -> Option<CellIndex> {
    let key = &measured.line(cell).key;
    let mut candidates = references.to_vec();
    candidates.retain(|other| are_compatible(key, &measured.line(*other).key));
    measured.best(&candidates)
}

/// True if two rows have the same value of every axis that applies to both.
pub(crate) fn are_compatible(one: &RowKey, other: &RowKey) -> bool {
    let mut values = one.values.iter().zip(&other.values);
    values.all(|(a, b)| a.is_none() || b.is_none() || a == b)
}
