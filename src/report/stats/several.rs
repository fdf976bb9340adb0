//! More than two methods at a time.

use statrs::distribution::{ChiSquared, ContinuousCDF};

use super::{
    normal,
    ranks::{ranks, ties},
};

/// p values adjusted for their number (Holm 1979), in the order given: reject where the adjusted value is below
/// the level, and the chance of any false rejection is below the level.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut highest) = (vec![0.0; p.len()], 0.0f64);
    for (place, &number) in order.iter().enumerate() {
        highest = highest.max(p[number] * (p.len() - place) as f64).min(1.0);
        adjusted[number] = highest;
    }
    adjusted
}

/// The result of a Friedman test.
#[derive(Clone, Debug, PartialEq)]
pub struct Friedman {
    /// The statistic, corrected for ties.
    pub chi_squared: f64,
    /// Its p value by the χ² distribution with one degree of freedom less than there are methods.
    pub p: f64,
    /// The mean rank of each method over the data sets; 1 is the best.
    pub mean_ranks: Vec<f64>,
}

/// The Friedman test: do the methods differ over the data sets? `scores[d][m]` is the score of method m on data
/// set d; higher is better. None for fewer than three methods or two data sets, or if everything is tied.
///
/// # Panics
/// If a data set has not as many scores as the first.
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
        sums.iter_mut()
            .zip(ranks(&negative))
            .for_each(|(sum, rank)| *sum += rank);
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

/// The difference of mean ranks from which two methods differ at the level `alpha` (Nemenyi 1963; Demšar, "Statistical
/// Comparisons of Classifiers over Multiple Data Sets", JMLR 2006): q·√(k(k + 1) / 6N), q being the quantile of the
/// Studentised range of `methods` with infinite degrees of freedom, divided by √2.
pub fn nemenyi_difference(methods: usize, sets: usize, alpha: f64) -> f64 {
    let (k, n) = (methods as f64, sets as f64);
    range_quantile(methods, 1.0 - alpha) / 2f64.sqrt() * (k * (k + 1.0) / (6.0 * n)).sqrt()
}

/// The quantile of the range of `count` independent standard normal numbers, by bisection.
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

/// P(range ≤ q) = k ∫ φ(z) (Φ(z + q) - Φ(z))^(k-1) dz, z being the lowest. By the trapezoidal rule, which on a
/// smooth integrand that vanishes at both ends is exact to rounding.
fn range_cdf(count: usize, q: f64) -> f64 {
    let (steps, reach) = (800, 10.0);
    let width = (2.0 * reach + q) / f64::from(steps);
    let power = i32::try_from(count).unwrap_or(i32::MAX) - 1;
    let integrand = |z: f64| {
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        density * (normal().cdf(z + q) - normal().cdf(z)).powi(power)
    };
    let sum: f64 = (0..=steps)
        .map(|step| integrand(-reach - q + f64::from(step) * width))
        .sum();
    count as f64 * sum * width
}
