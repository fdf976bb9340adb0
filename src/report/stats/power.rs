//! The power of a paired t test.

use statrs::{distribution::ContinuousCDF, function::gamma::ln_gamma};

use super::{Estimate, normal, t};

/// The power that further seeds are counted for.
const POWER: f64 = 0.8;

/// Half the width of the integral over the estimated deviation, in standard deviations of that.
const REACH: f64 = 8.0;

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
    let ratio = quantiles(alpha, power) / effect;
    let guess = ratio * ratio + correction(alpha);
    smallest(guess, |pairs| {
        let center = effect.abs() * (pairs as f64).sqrt();
        power_of(center, pairs as f64 - 1.0, alpha) >= power
    })
}

/// Returns about how many more seeds show a difference of the estimated size in a test at level `level`
/// whose p value is multiplied by `factor` because of other tests. At least one if the p value is not
/// below the level yet. None if no number of seeds would: there is no difference, or no spread over
/// seeds, or the classes leave it open.
pub fn more_for_difference(estimate: &Estimate, factor: f64, level: f64) -> Option<usize> {
    let is_settled = estimate.p() * factor < level;
    more(estimate, estimate.mean.abs(), level / factor, is_settled)
}

/// Returns about how many more seeds show that the difference is smaller than `within`, as
/// [`more_for_difference`] does. None also if the estimated difference is not smaller.
pub fn more_for_equality(
    estimate: &Estimate,
    within: f64,
    factor: f64,
    level: f64,
) -> Option<usize> {
    let margin = within - estimate.mean.abs();
    let is_settled = estimate.p_of_distance(within) * factor < level;
    // One-sided at the level, which is two-sided at twice the level.
    let level_of_both = (2.0 * level / factor).min(1.0);
    more(estimate, margin, level_of_both, is_settled)
}

/// The seeds beyond those of the estimate that show a distance of this size.
fn more(estimate: &Estimate, size: f64, alpha: f64, is_settled: bool) -> Option<usize> {
    let seeds = estimate.seeds.freedom as usize + 1;
    if is_settled {
        return Some(0);
    }
    if size <= 0.0 || estimate.seeds.variance == 0.0 {
        return None;
    }
    let error = size / quantiles(alpha, POWER);
    let of_seeds = error * error - estimate.classes.variance;
    if of_seeds <= 0.0 {
        return None;
    }
    let of_one = estimate.seeds.variance * seeds as f64;
    let guess = of_one / of_seeds + correction(alpha);
    let needed = smallest(guess, |seeds| {
        let then = estimate.with_seeds(seeds);
        power_of(size / then.error(), then.freedom(), alpha) >= POWER
    })?;
    Some(needed.saturating_sub(seeds).max(1))
}

/// The smallest number with a property that larger ones have, too, near a guess; at least 3. For a high
/// guess, the guess itself. None if no number up to that has it.
fn smallest(guess: f64, has: impl Fn(usize) -> bool) -> Option<usize> {
    if guess > MANY {
        return Some(guess.ceil() as usize);
    }
    // The guess is at most a few too high.
    let mut without = (guess.floor() as usize).saturating_sub(3).max(3);
    if has(without) {
        return Some(without);
    }
    let mut with = without + 1;
    while !has(with) {
        (without, with) = (with, with + 2 * (with - without));
        if with as f64 > 2.0 * MANY {
            return None;
        }
    }
    while with - without > 1 {
        let middle = without + (with - without) / 2;
        if has(middle) {
            with = middle;
        } else {
            without = middle;
        }
    }
    Some(with)
}

/// The distance, in standard errors, that a two-sided test of a normal variable at level `alpha` detects
/// with probability `power`.
fn quantiles(alpha: f64, power: f64) -> f64 {
    normal().inverse_cdf(1.0 - alpha / 2.0) + normal().inverse_cdf(power)
}

/// How many pairs more a t test needs (Guenther, The American Statistician 35, 1981).
fn correction(alpha: f64) -> f64 {
    0.5 * normal().inverse_cdf(1.0 - alpha / 2.0).powi(2)
}

/// Returns the probability that a test is significant whose true mean is `center` standard errors from 0:
/// that of a noncentral t variable beyond the critical value, on either side.
///
/// With s the estimated deviation in units of the true one, the statistic exceeds t if a normal
/// variable exceeds t·s; the density of s is that of √(χ²/ν).
fn power_of(center: f64, freedom: f64, alpha: f64) -> f64 {
    let Some(student) = t(freedom) else {
        return 0.0;
    };
    let critical = student.inverse_cdf(1.0 - alpha / 2.0);
    let spread = REACH / (2.0 * freedom).sqrt();
    let (low, high) = ((1.0 - spread).max(0.0), 1.0 + spread);
    let intervals = intervals(freedom);
    let step = (high - low) / intervals as f64;
    let half = 0.5 * freedom;
    let constant = half * half.ln() - ln_gamma(half);
    let beyond = |s: f64| {
        let density = 2.0 * (constant + (freedom - 1.0) * s.ln() - half * s * s).exp();
        let above = normal().cdf(center - critical * s);
        let below = normal().cdf(-center - critical * s);
        density * (above + below)
    };
    let at_middle = |interval: usize| beyond(low + (interval as f64 + 0.5) * step);
    step * (0..intervals).map(at_middle).sum::<f64>()
}

/// The intervals of the midpoint rule. With ten values or more the integrand is smooth and vanishes at both
/// ends, and a few intervals are exact to 1e-13; with fewer, it ends steeply at 0.
fn intervals(freedom: f64) -> usize {
    if freedom < 9.0 { 512 } else { 64 }
}
