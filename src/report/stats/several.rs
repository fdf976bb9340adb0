//! Tests for more than two methods.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{
    normal,
    ranks::{ranks, ties},
};

/// Adjusts p values for multiple testing (Holm 1979) and returns them in the same order. Rejecting
/// where the adjusted value is below a level keeps the probability of any false rejection below it.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut highest = 0.0f64;
    for (rank, &index) in order.iter().enumerate() {
        let remaining = (p.len() - rank) as f64;
        highest = highest.max(p[index] * remaining).min(1.0);
        adjusted[index] = highest;
    }
    adjusted
}

/// Adjusts the p values of the best row of each column against the other rows of the column, where the
/// best was found in the same data, and returns them in the same order.
///
/// Whichever rows are equal in truth, a false difference is then found with a probability of at most the
/// level. Holm's method over these comparisons alone does not keep it, as the best is the row with the
/// most luck: with ten equal rows it finds one in 14 % of all tables at a level of 5 %. This is
/// the step-down of Holm over all pairs of rows, in which each p value is multiplied by the number of
/// pairs that can still be equal at once (Shaffer, "Modified Sequentially Rejective Multiple Test
/// Procedures", 1986, method 2).
pub fn holm_with_best(columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut order = Vec::new();
    for (column, p) in columns.iter().enumerate() {
        order.extend((0..p.len()).map(|place| (column, place)));
    }
    order.sort_by(|a, b| columns[a.0][a.1].total_cmp(&columns[b.0][b.1]));
    let mut adjusted: Vec<Vec<f64>> = columns.iter().map(|p| vec![0.0; p.len()]).collect();
    let mut different = vec![0; columns.len()];
    let mut equal: f64 = columns.iter().map(|p| equal_pairs(p.len() + 1, 0)).sum();
    let mut highest = 0.0f64;
    for (column, place) in order {
        let rows = columns[column].len() + 1;
        let of_column = equal_pairs(rows, different[column]);
        let at_once = equal - of_column + equal_pairs_with_best(rows, different[column]);
        highest = highest.max(columns[column][place] * at_once).min(1.0);
        adjusted[column][place] = highest;
        different[column] += 1;
        equal += equal_pairs(rows, different[column]) - of_column;
    }
    adjusted
}

/// The most pairs of rows that can be equal at once if `different` rows differ from the best.
fn equal_pairs(rows: usize, different: usize) -> f64 {
    match different {
        0 => pairs(rows),
        // All but the best may be equal.
        _ => pairs(rows - 1),
    }
}

/// The same, if one more row is equal to the best.
fn equal_pairs_with_best(rows: usize, different: usize) -> f64 {
    let all = pairs(rows - different) + pairs(different);
    let only_one = 1.0 + pairs(rows - 2);
    all.max(only_one)
}

fn pairs(rows: usize) -> f64 {
    let rows = rows as f64;
    0.5 * rows * (rows - 1.0)
}

/// The result of a Friedman test.
#[derive(Clone, Debug, PartialEq)]
pub struct Friedman {
    /// Statistic, corrected for ties.
    pub chi_squared: f64,
    /// p value by the χ² distribution with k - 1 degrees of freedom for k methods.
    pub p: f64,
    /// Mean rank of each method over the data sets; 1 is the best.
    pub mean_ranks: Vec<f64>,
}

/// The Friedman test of whether methods differ over data sets. `scores[d][m]` is the score of method
/// m on data set d; higher is better. None for fewer than three methods or two data sets, or if all
/// scores are tied.
///
/// # Panics
/// If the numbers of scores of two data sets differ.
pub fn friedman(scores: &[Vec<f64>]) -> Option<Friedman> {
    let (sets, methods) = (scores.len() as f64, scores.first()?.len());
    if methods < 3 || scores.len() < 2 {
        return None;
    }
    let mut sums = vec![0.0; methods];
    let mut tied = 0.0;
    for row in scores {
        assert_eq!(
            row.len(),
            methods,
            "every data set has a score of every method"
        );
        let negative: Vec<f64> = row.iter().map(|score| -score).collect();
        for (sum, rank) in sums.iter_mut().zip(ranks(&negative)) {
            *sum += rank;
        }
        tied += ties(row);
    }
    let k = methods as f64;
    let correction = 1.0 - tied / (k * (k * k - 1.0) * sets);
    if correction <= 0.0 {
        return None;
    }
    let squares: f64 = sums.iter().map(|sum| sum * sum).sum();
    let chi_squared =
        (12.0 / (sets * k * (k + 1.0)) * squares - 3.0 * sets * (k + 1.0)) / correction;
    let p = ChiSquared::new(k - 1.0).ok()?.sf(chi_squared);
    Some(Friedman {
        chi_squared,
        p,
        mean_ranks: sums.iter().map(|sum| sum / sets).collect(),
    })
}

/// Returns the difference of mean ranks above which two methods differ at level `alpha` (Nemenyi
/// 1963; Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 2006):
/// q·√(k(k + 1) / 6N), where q is the quantile of the studentized range of k methods with infinite
/// degrees of freedom, divided by √2.
pub fn nemenyi_difference(methods: usize, sets: usize, alpha: f64) -> f64 {
    let (k, n) = (methods as f64, sets as f64);
    range_quantile(methods, 1.0 - alpha) / 2f64.sqrt() * (k * (k + 1.0) / (6.0 * n)).sqrt()
}

/// Returns the quantile of the range of `count` standard normal numbers, by bisection.
fn range_quantile(count: usize, probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if range_cdf(count, middle) < probability {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

/// Returns P(range ≤ q) = k ∫ φ(z) (Φ(z + q) - Φ(z))^(k-1) dz, where z is the smallest number. The
/// trapezoidal rule is exact to rounding for a smooth integrand that vanishes at both ends.
fn range_cdf(count: usize, q: f64) -> f64 {
    let steps = 800;
    let reach = 10.0;
    let width = (2.0 * reach + q) / f64::from(steps);
    let power = i32::try_from(count).unwrap_or(i32::MAX) - 1;
    let mut sum = 0.0;
    for step in 0..=steps {
        let z = -reach - q + f64::from(step) * width;
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        sum += density * (normal().cdf(z + q) - normal().cdf(z)).powi(power);
    }
    count as f64 * sum * width
}
