//! Comparison of two methods by paired results.

use statrs::distribution::ContinuousCDF;

use super::{
    Interval, deviation, mean, normal,
    ranks::{ranks, ties},
    student, t,
};

/// Interval, tests and effect sizes of the differences of two methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// Number of pairs.
    pub pairs: usize,
    /// The mean difference, first minus second, with its 95 % Student-t interval.
    pub difference: Interval,
    /// The paired t test; none if all differences are equal.
    pub t: Option<TTest>,
    /// The Wilcoxon signed-rank test; none if all differences are zero.
    pub wilcoxon: Option<Wilcoxon>,
    /// Cohen's d_z: the mean difference in standard deviations of the differences (Lakens 2013).
    pub cohen: Option<f64>,
    /// Corrected for the bias of small samples (Hedges 1981): d_z · (1 - 3 / (4(n - 1) - 1)). None for two pairs,
    /// for which the correction is 0.
    pub hedges: Option<f64>,
}

/// The result of a paired t test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// Statistic.
    pub t: f64,
    /// Two-sided p value.
    pub p: f64,
}

/// The result of a Wilcoxon signed-rank test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// The smaller of both rank sums.
    pub statistic: f64,
    /// Two-sided p value.
    pub p: f64,
    /// How the p value was computed.
    pub method: WilcoxonMethod,
    /// Matched-pairs rank-biserial correlation (Kerby 2014): the share of the rank sum in favor of the
    /// first minus that in favor of the second, from -1 to 1.
    pub rank_biserial: f64,
}

/// How a Wilcoxon p value is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WilcoxonMethod {
    /// The distribution over all signs of the ranks: for up to 50 differences without ties or zeros,
    /// or up to 13 of any kind.
    Exact,
    /// The normal approximation with tie correction, without zeros and continuity correction.
    Normal,
}

/// Compares `first` with `second`, pair by pair. None for fewer than two pairs.
///
/// # Panics
/// If the lengths differ.
pub fn paired(first: &[f64], second: &[f64]) -> Option<Paired> {
    let differences = differences(first, second);
    let difference = student(&differences, 0.95)?;
    let cohen = mean(&differences)
        .zip(deviation(&differences))
        .filter(|(_, s)| *s > 0.0)
        .map(|(mean, s)| mean / s);
    let correction = 1.0 - 3.0 / (4.0 * (differences.len() as f64 - 1.0) - 1.0);
    Some(Paired {
        pairs: differences.len(),
        difference,
        t: paired_t(first, second),
        wilcoxon: wilcoxon(first, second),
        cohen,
        hedges: cohen.filter(|_| correction > 0.0).map(|d| d * correction),
    })
}

fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    assert_eq!(first.len(), second.len(), "pairs have two sides");
    first.iter().zip(second).map(|(a, b)| a - b).collect()
}

/// The paired t test. None for fewer than two pairs or if all differences are equal.
///
/// # Panics
/// If the lengths differ.
pub fn paired_t(first: &[f64], second: &[f64]) -> Option<TTest> {
    let differences = differences(first, second);
    let mean = mean(&differences)?;
    let deviation = deviation(&differences).filter(|deviation| *deviation > 0.0)?;
    let statistic = mean / (deviation / (differences.len() as f64).sqrt());
    let student = t(differences.len() as f64 - 1.0)?;
    Some(TTest {
        t: statistic,
        p: 2.0 * student.cdf(-statistic.abs()),
    })
}

/// The Wilcoxon signed-rank test like `scipy.stats.wilcoxon`: without zeros, with an exact p value
/// where possible. None if all differences are zero.
///
/// # Panics
/// If the lengths differ.
pub fn wilcoxon(first: &[f64], second: &[f64]) -> Option<Wilcoxon> {
    let mut differences = differences(first, second);
    let all = differences.len();
    differences.retain(|difference| *difference != 0.0);
    if differences.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = differences
        .iter()
        .map(|difference| difference.abs())
        .collect();
    let ranks = ranks(&sizes);
    let up: f64 = ranks
        .iter()
        .zip(&differences)
        .filter(|(_, d)| **d > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let count = ranks.len();
    let tied = ties(&sizes);
    let total = count as f64 * (count as f64 + 1.0) / 2.0;
    let statistic = up.min(total - up);
    let exact = all <= 13 || (count == all && tied == 0.0 && count <= 50);
    let (p, method) = if exact {
        (exact_p(statistic, &ranks), WilcoxonMethod::Exact)
    } else {
        // n(n + 1)(2n + 1) / 24 minus (t³ - t) / 48 for every group of t ties.
        let variance = total * (2.0 * count as f64 + 1.0) / 12.0 - tied / 48.0;
        (
            2.0 * normal().cdf((statistic - total / 2.0) / variance.sqrt()),
            WilcoxonMethod::Normal,
        )
    };
    Some(Wilcoxon {
        statistic,
        p: p.min(1.0),
        method,
        rank_biserial: (2.0 * up - total) / total,
    })
}

/// Returns twice the fraction of all signs of the ranks whose positive sum is at most `statistic`.
fn exact_p(statistic: f64, ranks: &[f64]) -> f64 {
    // Ranks are multiples of 1/2: sums are counted in halves.
    let mut ways = vec![1.0];
    for rank in ranks.iter().map(|rank| (2.0 * rank) as usize) {
        let mut next = vec![0.0; ways.len() + rank];
        for (sum, number) in ways.iter().enumerate() {
            next[sum] += number;
            next[sum + rank] += number;
        }
        ways = next;
    }
    let at_most: f64 = ways.iter().take((2.0 * statistic) as usize + 1).sum();
    2.0 * at_most / ways.iter().sum::<f64>()
}
