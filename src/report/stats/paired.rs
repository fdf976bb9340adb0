//! Two methods under the same conditions.

use statrs::distribution::ContinuousCDF;

use super::{
    Interval, deviation, mean, normal,
    ranks::{ranks, ties},
    student, t,
};

/// Everything about the differences of two methods.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// How many pairs.
    pub pairs: usize,
    /// The mean difference, first less second, and its 95 % Student-t interval.
    pub difference: Interval,
    /// The paired t test; none if all differences are equal.
    pub t: Option<TTest>,
    /// The Wilcoxon signed-rank test; none if all differences are zero.
    pub wilcoxon: Option<Wilcoxon>,
    /// Cohen's d for paired differences, their mean in standard deviations (Lakens 2013, d_z).
    pub cohen: Option<f64>,
    /// The same without its bias in small samples (Hedges 1981): d_z · (1 - 3 / (4(n - 1) - 1)).
    pub hedges: Option<f64>,
    /// How many pairs more would show a difference of this size, see [`seeds_needed`]; 0 if these do.
    pub more: Option<usize>,
}

/// The result of a paired t test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TTest {
    /// The statistic.
    pub t: f64,
    /// The two-sided p value.
    pub p: f64,
}

/// The result of a Wilcoxon signed-rank test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// The smaller of the two sums of ranks.
    pub statistic: f64,
    /// The two-sided p value.
    pub p: f64,
    /// How it was computed.
    pub method: WilcoxonMethod,
    /// The matched-pairs rank-biserial correlation (Kerby 2014): the share of the rank sum that speaks for the
    /// first less the share that speaks for the second, from -1 to 1.
    pub rank_biserial: f64,
}

/// Where a Wilcoxon p value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WilcoxonMethod {
    /// The distribution over all ways to sign the ranks: up to 50 differences, of which no two are equal and none is
    /// zero, or up to 13 of any kind.
    Exact,
    /// The normal approximation, corrected for ties; zeros are left out; no continuity correction.
    Normal,
}

/// The comparison of `first` with `second`, pair by pair. None for fewer than two pairs.
///
/// # Panics
/// If there are not as many of one as of the other.
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
        hedges: cohen.map(|d| d * correction),
        more: cohen
            .and_then(|d| seeds_needed(d, 0.05, 0.8))
            .map(|needed| needed.saturating_sub(differences.len())),
    })
}

fn differences(first: &[f64], second: &[f64]) -> Vec<f64> {
    assert_eq!(first.len(), second.len(), "pairs have two sides");
    first.iter().zip(second).map(|(a, b)| a - b).collect()
}

/// The paired t test. None for fewer than two pairs or if all differences are equal.
///
/// # Panics
/// If there are not as many of one as of the other.
pub fn paired_t(first: &[f64], second: &[f64]) -> Option<TTest> {
    let differences = differences(first, second);
    let (mean, deviation) = (
        mean(&differences)?,
        deviation(&differences).filter(|s| *s > 0.0)?,
    );
    let statistic = mean / (deviation / (differences.len() as f64).sqrt());
    let student = t(differences.len() as f64 - 1.0)?;
    Some(TTest {
        t: statistic,
        p: 2.0 * student.cdf(-statistic.abs()),
    })
}

/// The Wilcoxon signed-rank test as `scipy.stats.wilcoxon` has it: zeros are left out, the p value exact where it
/// can be. None if there is no difference at all.
///
/// # Panics
/// If there are not as many of one as of the other.
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
    let (count, tied) = (ranks.len(), ties(&sizes));
    let total = count as f64 * (count as f64 + 1.0) / 2.0;
    let statistic = up.min(total - up);
    let exact = all <= 13 || (count == all && tied == 0.0 && count <= 50);
    let (p, method) = if exact {
        (exact_p(statistic, &ranks), WilcoxonMethod::Exact)
    } else {
        // n(n + 1)(2n + 1) / 24, less (t³ - t) / 48 for every group of t equal ones.
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

/// Twice the share of the ways to sign the ranks that give a positive sum of at most `statistic`.
fn exact_p(statistic: f64, ranks: &[f64]) -> f64 {
    // Ranks are multiples of a half; sums are counted in halves.
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

/// How many pairs a paired t test needs to find a difference of `effect` standard deviations at the level `alpha`
/// with probability `power`: the smallest n, at least 3, with
/// n ≥ ((z(1 - alpha/2) + z(power)) / effect)² + z(1 - alpha/2)² / 2,
/// the normal approximation with Guenther's correction (The American Statistician 35, 1981). None for no effect.
///
/// The effect seen in few pairs is itself uncertain: this is a note for planning, not a result.
pub fn seeds_needed(effect: f64, alpha: f64, power: f64) -> Option<usize> {
    if effect == 0.0 || !effect.is_finite() {
        return None;
    }
    let level = normal().inverse_cdf(1.0 - alpha / 2.0);
    let sum = level + normal().inverse_cdf(power);
    let needed = (sum / effect) * (sum / effect) + 0.5 * level * level;
    Some((needed.ceil() as usize).max(3))
}
