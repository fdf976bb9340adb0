//! Aggregates over several data sets (Agarwal et al., "Deep Reinforcement Learning at the Edge of the
//! Statistical Precipice", NeurIPS 2021).

use super::{
    Interval,
    bootstrap::{Replicate, quantile},
};

/// Returns the interquartile mean: the mean of the middle half of all values, like
/// `scipy.stats.trim_mean(values, 0.25)`. None without values.
pub fn interquartile_mean(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    super::mean(&sorted[cut..sorted.len() - cut])
}

/// Returns the interquartile mean of the scores on all data sets and its 95 % interval by the stratified
/// bootstrap: the runs of each data set are resampled. None if a data set has no runs.
pub fn interquartile_mean_over(
    sets: &[Vec<f64>],
    replicates: usize,
    seed: u64,
) -> Option<Interval> {
    if sets.iter().any(Vec::is_empty) {
        return None;
    }
    let mean = interquartile_mean(&sets.concat())?;
    let mut means = Vec::with_capacity(replicates);
    for number in 0..replicates {
        let mut replicate = Replicate::new(seed, number);
        let mut drawn = Vec::new();
        for runs in sets {
            drawn.extend(replicate.of(runs));
        }
        means.extend(interquartile_mean(&drawn));
    }
    means.sort_by(f64::total_cmp);
    Some(Interval {
        mean,
        low: quantile(&means, 0.025),
        high: quantile(&means, 0.975),
    })
}

/// Returns the share of runs that reach each of these scores: the mean over data sets of the share of the
/// runs of each.
pub fn performance_profile(sets: &[Vec<f64>], scores: &[f64]) -> Vec<f64> {
    let share = |runs: &Vec<f64>, score: f64| {
        runs.iter().filter(|value| **value >= score).count() as f64 / runs.len() as f64
    };
    let of_score =
        |&score| sets.iter().map(|runs| share(runs, score)).sum::<f64>() / sets.len() as f64;
    scores.iter().map(of_score).collect()
}
