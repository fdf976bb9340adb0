//! The bootstrap over queries and over classes: how far a score depends on which images were asked for.
//!
//! Draws come from a counter-based generator (SplitMix64 of seed, replicate and draw: Steele et al. 2014), so that an
//! interval is the same each time. The interval is BCa (Efron 1987), or plain percentile where BCa is not defined.

use statrs::distribution::ContinuousCDF;

use super::{Interval, mean, normal};

/// A score with its bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampled {
    /// The score of the sample itself, and the ends of the interval.
    pub interval: Interval,
    /// The standard deviation of the replicates.
    pub error: f64,
}

/// The class of a query, by number.
pub type ClassOf = u32;

/// The mean over queries, every query drawn on its own. `replicates` is best 2000 or more. None for fewer than two.
pub fn over_queries(
    values: &[f64],
    confidence: f64,
    replicates: usize,
    seed: u64,
) -> Option<Resampled> {
    let sample: Vec<(f64, f64)> = values.iter().map(|value| (*value, 1.0)).collect();
    bootstrap(&sample, confidence, replicates, seed)
}

/// The mean over queries, all queries of a class drawn together: what another sample of classes would have given.
/// Its interval is the wider one and the one that speaks of new classes. None for fewer than two classes.
///
/// # Panics
/// If there are not as many classes as values.
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
    bootstrap(
        &sums.into_values().collect::<Vec<_>>(),
        confidence,
        replicates,
        seed,
    )
}

/// The ratio of sums Σa / Σb over units (a, b) that are drawn together, with its interval. None for fewer than two
/// units or no replicates.
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
    let shares = bca_shares(units, score, &scores, confidence).unwrap_or_else(|| {
        let tail = 0.5 - 0.5 * confidence;
        (tail, 1.0 - tail)
    });
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
    let mut state = mix(seed ^ mix(replicate as u64));
    ratio((0..units.len()).map(|_| {
        state = state.wrapping_add(GOLDEN);
        // The upper half of the product is uniform below the number of units, up to a bias of one in 2⁶⁴.
        units[((u128::from(mix(state)) * units.len() as u128) >> 64) as usize]
    }))
}

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// Which quantiles of the replicates bound the BCa interval; none where all replicates lie on one side.
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

/// The skewness of the influence of single units, by leaving each out in turn.
fn acceleration(units: &[(f64, f64)]) -> Option<f64> {
    let (a, b) = units
        .iter()
        .fold((0.0, 0.0), |(a, b), unit| (a + unit.0, b + unit.1));
    let without: Vec<f64> = units
        .iter()
        .map(|unit| (a - unit.0) / (b - unit.1))
        .collect();
    let centre = mean(&without)?;
    let sum = |power: i32| {
        without
            .iter()
            .map(|value| (centre - value).powi(power))
            .sum::<f64>()
    };
    let squares = sum(2);
    (squares > 0.0).then(|| sum(3) / (6.0 * squares.powf(1.5)))
}

/// The quantile of sorted values, between neighbours linearly.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + part * (sorted[above] - sorted[below])
}
