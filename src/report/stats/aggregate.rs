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
    let values = sets.concat();
    let mean = interquartile_mean(&values)?;
    let ranked = Ranked::of(&values);
    let mut ranks = ranked.ranks.as_slice();
    let mut strata = Vec::with_capacity(sets.len());
    for runs in sets {
        let (stratum, rest) = ranks.split_at(runs.len());
        strata.push(stratum);
        ranks = rest;
    }
    let mut times = vec![0; values.len()];
    let mut means: Vec<f64> = (0..replicates)
        .map(|number| ranked.resampled(&strata, Replicate::new(seed, number), &mut times))
        .collect();
    means.sort_by(f64::total_cmp);
    Some(Interval {
        mean,
        low: quantile(&means, 0.025),
        high: quantile(&means, 0.975),
    })
}

/// Values in ascending order, and the place of each among them: a replicate then only counts how often it
/// drew each, and needs no sorting.
struct Ranked {
    sorted: Vec<f64>,
    ranks: Vec<usize>,
}

impl Ranked {
    fn of(values: &[f64]) -> Ranked {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        let mut ranks = vec![0; values.len()];
        for (rank, place) in order.iter().enumerate() {
            ranks[*place] = rank;
        }
        Ranked {
            sorted: order.into_iter().map(|place| values[place]).collect(),
            ranks,
        }
    }

    /// The interquartile mean of as many values, drawn from each stratum of ranks. `times` is room for how often
    /// each is drawn.
    fn resampled(&self, strata: &[&[usize]], mut replicate: Replicate, times: &mut [usize]) -> f64 {
        times.fill(0);
        for ranks in strata {
            for rank in replicate.of(ranks) {
                times[rank] += 1;
            }
        }
        let cut = self.sorted.len() / 4;
        let end = self.sorted.len() - cut;
        let (mut sum, mut drawn) = (0.0, 0);
        for (value, times) in self.sorted.iter().zip(times) {
            let (first, next) = (drawn, drawn + *times);
            let taken = next.min(end).saturating_sub(first.max(cut));
            sum += value * taken as f64;
            drawn = next;
        }
        sum / (end - cut) as f64
    }
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
