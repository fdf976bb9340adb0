//! The bootstrap over queries and over classes: how much a score depends on the sample of images.
//!
//! The interval is BCa (Efron 1987), or the percentile interval where BCa is undefined. Draws come
//! from SplitMix64 (Steele et al. 2014) seeded by seed and replicate, so an interval is
//! reproducible. Separate from the generators of `dml::random` and `sweep::search`, on which this
//! crate does not depend; published intervals follow from this stream.

use statrs::distribution::ContinuousCDF;

use super::{Interval, mean, normal};

/// A score with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampled {
    /// The score of the sample and the ends of its interval.
    pub interval: Interval,
    /// Standard deviation of the replicates.
    pub error: f64,
}

/// Index of the class of a query.
pub type ClassOf = u32;

/// Bootstraps the mean over queries, drawn one by one. Use 2,000 replicates or more. None for fewer
/// than two queries.
pub fn over_queries(
    values: &[f64],
    confidence: f64,
    replicates: usize,
    seed: u64,
) -> Option<Resampled> {
    let sample: Vec<(f64, f64)> = values.iter().map(|value| (*value, 1.0)).collect();
    bootstrap(&sample, confidence, replicates, seed)
}

/// Bootstraps the mean over queries, drawn class by class. This interval covers new classes and is
/// the wider one. None for fewer than two classes.
///
/// # Panics
/// If the numbers of values and classes differ.
pub fn over_classes(
    values: &[f64],
    classes: &[ClassOf],
    confidence: f64,
    replicates: usize,
    seed: u64,
) -> Option<Resampled> {
    assert_eq!(values.len(), classes.len(), "every query has a class");
    let mut sums = std::collections::BTreeMap::<ClassOf, (f64, f64)>::new();
    for (value, class) in values.iter().zip(classes) {
        let (sum, count) = sums.entry(*class).or_default();
        *sum += value;
        *count += 1.0;
    }
    let units: Vec<(f64, f64)> = sums.into_values().collect();
    bootstrap(&units, confidence, replicates, seed)
}

/// Bootstraps the ratio Σa / Σb over units (a, b). None for fewer than two units or replicates.
pub fn bootstrap(
    units: &[(f64, f64)],
    confidence: f64,
    replicates: usize,
    seed: u64,
) -> Option<Resampled> {
    if units.len() < 2 || replicates < 2 {
        return None;
    }
    let score = ratio(units.iter().copied());
    let mut scores: Vec<f64> = (0..replicates)
        .map(|replicate| resampled(units, seed, replicate))
        .collect();
    scores.sort_by(f64::total_cmp);
    let error = super::deviation(&scores)?;
    let tail = 0.5 - 0.5 * confidence;
    let shares = bca_shares(units, score, &scores, confidence).unwrap_or((tail, 1.0 - tail));
    let interval = Interval {
        mean: score,
        low: quantile(&scores, shares.0),
        high: quantile(&scores, shares.1),
    };
    Some(Resampled { interval, error })
}

fn ratio(units: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (a, b) = units.fold((0.0, 0.0), |(a, b), unit| (a + unit.0, b + unit.1));
    a / b
}

fn resampled(units: &[(f64, f64)], seed: u64, replicate: usize) -> f64 {
    ratio(Replicate::new(seed, replicate).of(units))
}

/// The draws of one replicate.
pub(super) struct Replicate(u64);

impl Replicate {
    pub(super) fn new(seed: u64, number: usize) -> Replicate {
        Replicate(mix(seed ^ mix(number as u64)))
    }

    /// As many units as there are, drawn with replacement.
    pub(super) fn of<T: Copy>(&mut self, units: &[T]) -> impl Iterator<Item = T> {
        (0..units.len()).map(|_| {
            self.0 = self.0.wrapping_add(GOLDEN);
            // The high 64 bits of the product are uniform below the number of units.
            units[((u128::from(mix(self.0)) * units.len() as u128) >> 64) as usize]
        })
    }
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Returns the number that the generator gives for a state.
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Returns the quantiles of the replicates that bound the BCa interval. None if all replicates are on
/// one side of the score.
fn bca_shares(
    units: &[(f64, f64)],
    score: f64,
    scores: &[f64],
    confidence: f64,
) -> Option<(f64, f64)> {
    let below = scores.iter().filter(|other| **other < score).count() as f64;
    let equal = scores.iter().filter(|other| **other == score).count() as f64;
    let share = (below + 0.5 * equal) / scores.len() as f64;
    let acceleration = acceleration(units)?;
    if !(share > 0.0 && share < 1.0) {
        return None;
    }
    let bias = normal().inverse_cdf(share);
    let corrected = |tail: f64| {
        let shifted = bias + normal().inverse_cdf(tail);
        normal().cdf(bias + shifted / (1.0 - acceleration * shifted))
    };
    Some((
        corrected(0.5 - 0.5 * confidence),
        corrected(0.5 + 0.5 * confidence),
    ))
}

/// Returns the acceleration: the skewness of the jackknife, by leaving out each unit in turn.
fn acceleration(units: &[(f64, f64)]) -> Option<f64> {
    let (a, b) = units
        .iter()
        .fold((0.0, 0.0), |(a, b), unit| (a + unit.0, b + unit.1));
    let without: Vec<f64> = units
        .iter()
        .map(|unit| (a - unit.0) / (b - unit.1))
        .collect();
    let center = mean(&without)?;
    let differences = without.iter().map(|value| center - value);
    let squares: f64 = differences.clone().map(|value| value.powi(2)).sum();
    let cubes: f64 = differences.map(|value| value.powi(3)).sum();
    (squares > 0.0).then(|| cubes / (6.0 * squares.powf(1.5)))
}

/// Returns the quantile of sorted values, linearly interpolated.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + position.fract() * (sorted[above] - sorted[below])
}
