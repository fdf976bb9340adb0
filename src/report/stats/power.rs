//! The power of a paired t test.

use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF};

use super::{Estimate, normal, t};

/// The power that further seeds are counted for.
const POWER: f64 = 0.8;

/// Intervals of the integral over the estimated deviation; a few would do.
const INTERVALS: usize = 512;

/// From this number of pairs on, the approximation is exact to a pair in thousands.
const MANY: f64 = 10_000.0;

/// Returns how many pairs a paired t test needs to detect a difference of `effect` standard
/// deviations at level `alpha` with probability `power`: the smallest number, at least 3. None if
/// `effect` is 0.
///
/// An effect observed in few pairs is uncertain: use this for planning, not as a result.
pub fn seeds_needed(effect: f64, alpha: f64, power: f64) -> Option<usize> {
    if effect == 0.0 || !effect.is_finite() {
        return None;
    }
    let estimate = approximation(effect, alpha, power);
    if estimate > MANY {
        return Some(estimate.ceil() as usize);
    }
    // The approximation is at most a pair or two off.
    let first = (estimate.floor() as usize).saturating_sub(3).max(3);
    (first..).find(|&pairs| power_of(effect, pairs, alpha) >= power)
}

/// Returns about how many seeds beyond `seeds` show a difference of the estimated size in a test at level
/// `level` whose p value is multiplied by `factor` because of other tests. At least one if the p value
/// is not below the level yet. None if there is no difference, or no spread.
pub fn more_for_difference(
    estimate: &Estimate,
    seeds: usize,
    factor: f64,
    level: f64,
) -> Option<usize> {
    let needed = seeds_needed(
        effect(estimate, estimate.mean, seeds)?,
        level / factor,
        POWER,
    )?;
    let is_settled = estimate.p() * factor < level;
    Some(missing(needed, seeds, is_settled))
}

/// Returns about how many seeds beyond `seeds` show that the difference is smaller than `within`, as
/// [`more_for_difference`] does. None if the estimated difference is not smaller, or there is no spread.
pub fn more_for_equality(
    estimate: &Estimate,
    within: f64,
    seeds: usize,
    factor: f64,
    level: f64,
) -> Option<usize> {
    let margin = within - estimate.mean.abs();
    if margin <= 0.0 {
        return None;
    }
    // One-sided at the level, which is two-sided at twice the level.
    let level_of_both = (2.0 * level / factor).min(1.0);
    let needed = seeds_needed(effect(estimate, margin, seeds)?, level_of_both, POWER)?;
    let is_settled = estimate.p_of_distance(within) * factor < level;
    Some(missing(needed, seeds, is_settled))
}

/// The size of a difference in standard deviations of one seed.
fn effect(estimate: &Estimate, size: f64, seeds: usize) -> Option<f64> {
    let deviation = estimate.error * (seeds as f64).sqrt();
    (deviation > 0.0).then_some(size / deviation)
}

fn missing(needed: usize, seeds: usize, is_settled: bool) -> usize {
    let least = usize::from(!is_settled);
    needed.saturating_sub(seeds).max(least)
}

/// The normal approximation with Guenther's correction (The American Statistician 35, 1981):
/// n = ((z(1 - alpha/2) + z(power)) / effect)² + z(1 - alpha/2)² / 2.
fn approximation(effect: f64, alpha: f64, power: f64) -> f64 {
    let level = normal().inverse_cdf(1.0 - alpha / 2.0);
    let sum = level + normal().inverse_cdf(power);
    (sum / effect) * (sum / effect) + 0.5 * level * level
}

/// Returns the probability that the test with this number of pairs is significant: that of a
/// noncentral t variable beyond the critical value, on either side.
///
/// With s the estimated deviation in units of the true one, the statistic exceeds t if a normal
/// variable exceeds t·s; the density of s is that of √(χ²/ν).
fn power_of(effect: f64, pairs: usize, alpha: f64) -> f64 {
    let freedom = pairs as f64 - 1.0;
    let (Some(student), Ok(chi_squared)) = (t(freedom), ChiSquared::new(freedom)) else {
        return 0.0;
    };
    let critical = student.inverse_cdf(1.0 - alpha / 2.0);
    let center = effect.abs() * (pairs as f64).sqrt();
    let spread = 10.0 / (2.0 * freedom).sqrt();
    let (low, high) = ((1.0 - spread).max(0.0), 1.0 + spread);
    let step = (high - low) / INTERVALS as f64;
    let beyond = |s: f64| {
        let density = 2.0 * freedom * s * chi_squared.ln_pdf(freedom * s * s).exp();
        let above = normal().cdf(center - critical * s);
        let below = normal().cdf(-center - critical * s);
        density * (above + below)
    };
    let at_middle = |interval: usize| beyond(low + (interval as f64 + 0.5) * step);
    step * (0..INTERVALS).map(at_middle).sum::<f64>()
}
