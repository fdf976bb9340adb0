//! Who is best, and who cannot be told from the best.
//!
//! Two methods are compared by their differences on the same seeds and folds. The folds of a seed are averaged: a seed
//! with all its folds is one repetition, and only repetitions are independent.

use std::collections::BTreeMap;

use crate::{
    gather::Results,
    stats::{holm, mean, paired_t},
    summary::Summary,
};

/// The level of all tests.
pub(crate) const LEVEL: f64 = 0.05;

/// The fewest seeds that a paired test is made with.
pub(crate) const FEWEST: usize = 3;

/// How a method stands to the best of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has the highest mean, alone or with others.
    Best,
    /// Its difference from the best is not significant.
    NotDistinguishable,
    /// It is significantly worse than the best.
    Worse,
    /// Fewer than three seeds in common with the best: nothing can be said.
    TooFew,
}

/// What is compared in a column.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) results: &'a Results,
    pub(crate) summary: Option<&'a Summary>,
    /// Whether nothing was trained, so that a single run is all there can be.
    pub(crate) is_baseline: bool,
}

/// A comparison with the best of a column, by the position of both.
struct Test {
    number: usize,
    place: usize,
    p: f64,
}

/// How the candidates of each column stand to the one with the highest mean: paired t tests, their p values adjusted
/// by Holm over all columns of one family. A family is a metric: others seldom are more than the same question asked again.
/// None where there is no value, nothing to compare it with, or where the highest mean is from
/// a single run, of which nothing is claimed.
pub(crate) fn standings<F: Ord>(columns: &[(F, Vec<Candidate<'_>>)]) -> Vec<Vec<Option<Standing>>> {
    let mut standings: Vec<Vec<Option<Standing>>> = columns
        .iter()
        .map(|(_, column)| vec![None; column.len()])
        .collect();
    let mut families: BTreeMap<&F, Vec<Test>> = BTreeMap::new();
    for (number, (family, column)) in columns.iter().enumerate() {
        let Some(best) = best(column).filter(|&best| is_claimed(column, best)) else {
            continue;
        };
        for (place, candidate) in column.iter().enumerate() {
            let Some(summary) = candidate.summary else {
                continue;
            };
            let p = p_value(&differences(column[best].results, candidate.results));
            let is_best = column[best]
                .summary
                .is_some_and(|highest| highest.mean == summary.mean);
            standings[number][place] = Some(if is_best {
                Standing::Best
            } else {
                Standing::TooFew
            });
            if let Some(p) = p.filter(|_| !is_best) {
                families
                    .entry(family)
                    .or_default()
                    .push(Test { number, place, p });
            }
        }
    }
    for tests in families.into_values() {
        let adjusted = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>());
        for (Test { number, place, .. }, p) in tests.into_iter().zip(adjusted) {
            standings[number][place] = Some(if p < LEVEL {
                Standing::Worse
            } else {
                Standing::NotDistinguishable
            });
        }
    }
    standings
}

/// The first candidate with the highest mean.
pub(crate) fn best(column: &[Candidate<'_>]) -> Option<usize> {
    let means = column
        .iter()
        .enumerate()
        .filter_map(|(place, candidate)| Some((place, candidate.summary?.mean)));
    means
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(place, _)| place)
}

/// Whether it may be called the best: it has something to be better than, and not by a single run.
fn is_claimed(column: &[Candidate<'_>], best: usize) -> bool {
    let measured = column
        .iter()
        .filter(|candidate| candidate.summary.is_some())
        .count();
    let is_single = column[best]
        .summary
        .is_some_and(|summary| summary.seeds < 2);
    measured > 1 && (column[best].is_baseline || !is_single)
}

/// By how much the first is above the second, for each seed that both have: the mean over the folds that both have.
pub(crate) fn differences(first: &Results, second: &Results) -> Vec<f64> {
    let mut of_seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (&(seed, fold), value) in first {
        let other = second.get(&(seed, fold));
        of_seeds
            .entry(seed)
            .or_default()
            .extend(other.map(|other| value - other));
    }
    of_seeds
        .values()
        .filter_map(|differences| mean(differences))
        .collect()
}

/// None for fewer than three differences.
pub(crate) fn p_value(differences: &[f64]) -> Option<f64> {
    if differences.len() < FEWEST {
        return None;
    }
    // Without any spread of the differences there is no doubt: none at all, or always the same.
    let same = differences.iter().all(|difference| *difference == 0.0);
    let test = paired_t(differences, &vec![0.0; differences.len()]);
    Some(test.map_or(if same { 1.0 } else { 0.0 }, |test| test.p))
}

#[cfg(test)]
mod tests {
    use super::{
        Standing::{Best, NotDistinguishable, TooFew, Worse},
        *,
    };

    fn results(values: &[(u64, Option<u32>, f64)]) -> Results {
        values
            .iter()
            .map(|&(seed, fold, value)| ((seed, fold), value))
            .collect()
    }

    fn of_seeds(values: &[f64]) -> Results {
        (0..)
            .zip(values)
            .map(|(seed, value)| ((seed, None), *value))
            .collect()
    }

    fn summary(results: &Results) -> Option<Summary> {
        let values: Vec<f64> = results.values().copied().collect();
        Some(Summary {
            mean: mean(&values)?,
            half_width: None,
            seeds: values.len() as u32,
        })
    }

    fn standings_of(columns: &[&[Results]]) -> Vec<Vec<Option<Standing>>> {
        standings_in(&vec![0; columns.len()], columns)
    }

    fn standings_in(families: &[u32], columns: &[&[Results]]) -> Vec<Vec<Option<Standing>>> {
        let summaries: Vec<Vec<Option<Summary>>> = columns
            .iter()
            .map(|column| column.iter().map(summary).collect())
            .collect();
        let mut candidates: Vec<(u32, Vec<Candidate<'_>>)> = Vec::new();
        for ((family, column), summaries) in families.iter().zip(columns).zip(&summaries) {
            let pairs = column.iter().zip(summaries);
            let candidate = |(results, summary)| Candidate {
                results,
                summary: Option::as_ref(summary),
                is_baseline: false,
            };
            candidates.push((*family, pairs.map(candidate).collect()));
        }
        standings(&candidates)
    }

    #[test]
    fn the_best_of_a_column_is_marked_with_what_may_equal_it() {
        let column = [
            of_seeds(&[0.50, 0.52, 0.51, 0.53, 0.52]),
            of_seeds(&[0.51, 0.51, 0.52, 0.52, 0.51]),
            of_seeds(&[0.40, 0.43, 0.41, 0.42, 0.42]),
            of_seeds(&[0.1, 0.2]),
            of_seeds(&[]),
        ];
        let expected = [
            Some(Best),
            Some(NotDistinguishable),
            Some(Worse),
            Some(TooFew),
            None,
        ];
        assert_eq!(standings_of(&[&column]), [expected]);
        // Conditions that only one of two has are not compared.
        let shifted = [
            of_seeds(&[0.5, 0.6, 0.7]),
            results(&[(2, None, 0.69), (3, None, 0.7)]),
        ];
        assert_eq!(standings_of(&[&shifted]), [[Some(TooFew), Some(Best)]]);
        let equal = [of_seeds(&[0.5, 0.6, 0.7]), of_seeds(&[0.6, 0.5, 0.7])];
        assert_eq!(standings_of(&[&equal]), [[Some(Best), Some(Best)]]);
    }

    #[test]
    fn more_columns_make_every_test_stricter() {
        // t = 0.1 / (0.04 / sqrt 3) = 4.33, p = 0.0494 with two degrees of freedom: significant alone, and not of two.
        let column = [of_seeds(&[0.56, 0.60, 0.64]), of_seeds(&[0.50, 0.50, 0.50])];
        assert_eq!(standings_of(&[&column]), [[Some(Best), Some(Worse)]]);
        let both = [Some(Best), Some(NotDistinguishable)];
        assert_eq!(standings_of(&[&column, &column]), [both, both]);
        // By another metric it is the same question.
        let worse = [Some(Best), Some(Worse)];
        assert_eq!(standings_in(&[0, 1], &[&column, &column]), [worse, worse]);
    }

    #[test]
    fn folds_are_one_repetition_and_only_common_ones_count() {
        let first = results(&[
            (0, Some(0), 0.5),
            (0, Some(1), 0.7),
            (1, Some(0), 0.6),
            (2, Some(0), 0.9),
        ]);
        let second = results(&[
            (0, Some(0), 0.4),
            (0, Some(1), 0.4),
            (1, Some(0), 0.5),
            (1, Some(1), 0.1),
        ]);
        let differences = differences(&first, &second);
        assert_eq!(differences.len(), 2);
        assert!(
            (differences[0] - 0.2).abs() < 1e-12 && (differences[1] - 0.1).abs() < 1e-12,
            "{differences:?}"
        );
    }

    #[test]
    fn a_single_run_is_never_the_best() {
        assert_eq!(
            standings_of(&[&[of_seeds(&[0.9]), of_seeds(&[0.5])]]),
            [[None, None]]
        );
        assert_eq!(standings_of(&[&[of_seeds(&[0.9, 0.8])]]), [[None]]);
    }
}
