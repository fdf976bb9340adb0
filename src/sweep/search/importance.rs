//! How much each searched value matters for being among the best trials: PED-ANOVA (Watanabe, Bansal and Hutter,
//! IJCAI 2023, with the whole study as the region), as optuna 5.0 computes it.
//!
//! For each dimension, the density of the best trials is compared with that of all trials, by Pearson's divergence on a
//! grid. A value that matters is narrowly distributed among the best and not among all. The densities are Parzen
//! estimates with Scott's bandwidth and a wide prior kernel. Trials are not independent draws: where a search
//! concentrates from its beginning, nothing can be said.
//!
//! Conditional dimensions follow arXiv 2601.20800 (theorem 4.2): trials without a value say nothing about it, and the
//! divergence of the others is weighted with the shares of both.

use libm::{ceil, erfc, log, pow, sqrt};
use serde_json::Value;

use super::space::{Dimension, SearchRange, Space, TrialPoint, same};

/// Fewer trials say nothing.
const FEWEST: usize = 20;

/// A tenth of the trials are the best, but at least this number.
const FEWEST_BEST: usize = 5;

/// The number of positions on the grid of a continuous dimension.
const POSITIONS: usize = 50;

/// How much a searched value matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The dimension.
    pub name: String,
    /// Its share of the divergence of all dimensions, from 0 to 1.
    pub share: f64,
}

/// Returns how much each dimension matters for being among the best of these trials, the most important first. None if
/// there are too few trials, if there is only one dimension, or if none matters.
pub fn importance(space: &Space, trials: &[(&TrialPoint, f64)]) -> Option<Vec<Importance>> {
    if trials.len() < FEWEST || space.dimensions.len() < 2 {
        return None;
    }
    let divergences = divergences(space, trials, number_of_best(trials.len()));
    let all: f64 = divergences.iter().sum();
    let shares = space.names().zip(&divergences);
    let mut importances: Vec<Importance> = shares
        .map(|(name, divergence)| Importance {
            name: name.to_owned(),
            share: divergence / all,
        })
        .collect();
    importances.sort_by(|one, other| other.share.total_cmp(&one.share));
    (all > 0.0).then_some(importances)
}

/// Returns how many of this number of trials are the best, ties apart.
pub fn number_of_best(trials: usize) -> usize {
    trials.div_ceil(10).max(FEWEST_BEST)
}

/// Returns the importance of each dimension before they are made to add up to 1.
fn divergences(space: &Space, trials: &[(&TrialPoint, f64)], best: usize) -> Vec<f64> {
    let mut scores: Vec<f64> = trials.iter().map(|(_, score)| *score).collect();
    scores.sort_by(|one, other| other.total_cmp(one));
    let least = scores[best - 1];
    let points = |from: f64| -> Vec<&TrialPoint> {
        let among = trials.iter().filter(|(_, score)| *score >= from);
        among.map(|(point, _)| *point).collect()
    };
    let (best, all) = (points(least), points(f64::NEG_INFINITY));
    let dimensions = space.dimensions.iter();
    dimensions
        .map(|dimension| of_dimension(dimension, &best, &all))
        .collect()
}

fn of_dimension(dimension: &Dimension, best: &[&TrialPoint], all: &[&TrialPoint]) -> f64 {
    let places = |points: &[&TrialPoint]| -> Vec<Place> {
        let values = points.iter().filter_map(|point| point.get(&dimension.name));
        values
            .filter_map(|value| place(&dimension.range, value))
            .collect()
    };
    let share = |part: usize, all: usize| part as f64 / all as f64;
    let (best_places, all_places) = (places(best), places(all));
    if best_places.is_empty() || all_places.len() < 2 {
        return 0.0;
    }
    let quantile = share(best.len(), all.len());
    let active_best = share(best_places.len(), best.len());
    let active = share(all_places.len(), all.len());
    let weight = quantile * quantile * active_best * active_best / active;
    weight * divergence(&dimension.range, &best_places, &all_places)
}

/// A position on the grid of a dimension.
type Place = usize;

/// Returns the number of positions on the grid of a dimension.
fn positions(range: &SearchRange) -> usize {
    match range {
        SearchRange::Uniform(_) | SearchRange::LogUniform(_) => POSITIONS,
        SearchRange::Int(_) | SearchRange::Grid(_) => levels(range).min(POSITIONS),
        SearchRange::LogInt(_) => {
            let doublings = log(levels(range) as f64) / std::f64::consts::LN_2;
            (ceil(doublings) as usize + 1).min(POSITIONS)
        }
        SearchRange::Choice(values) => values.len(),
    }
}

/// Returns the number of values of a dimension that has a list of them.
fn levels(range: &SearchRange) -> usize {
    range.levels().unwrap_or(POSITIONS)
}

/// Returns where on the grid a value is; none if it is not in the range.
fn place(range: &SearchRange, value: &Value) -> Option<Place> {
    let listed = |values: &[Value]| values.iter().position(|other| same(other, value));
    let number = || value.as_f64().filter(|number| number.is_finite());
    let between = |low: f64, high: f64, number: f64| {
        let last = positions(range).checked_sub(1).filter(|last| *last > 0)?;
        let step = (high - low) / last as f64;
        // A value between two positions belongs to the lower one.
        let nearest = ceil((number - low) / step - 0.5);
        Some(nearest.clamp(0.0, last as f64) as Place)
    };
    match range {
        SearchRange::Uniform([low, high]) => between(*low, *high, number()?),
        SearchRange::LogUniform([low, high]) => between(log(*low), log(*high), log(number()?)),
        SearchRange::Int([low, high]) => between(*low as f64, *high as f64, number()?),
        SearchRange::LogInt([low, high]) => {
            between(log(*low as f64), log(*high as f64), log(number()?))
        }
        SearchRange::Grid(values) => {
            between(0.0, values.len() as f64 - 1.0, listed(values)? as f64)
        }
        SearchRange::Choice(values) => listed(values).filter(|_| values.len() > 1),
    }
}

/// Returns Pearson's divergence of the density of the best trials from that of all.
fn divergence(range: &SearchRange, best: &[Place], all: &[Place]) -> f64 {
    let [best, all] = [best, all].map(|places| density(range, places));
    let terms = best.iter().zip(&all);
    terms
        .map(|(best, all)| all * (best / all - 1.0) * (best / all - 1.0))
        .sum()
}

/// Returns the Parzen estimate of the probability of each position.
fn density(range: &SearchRange, places: &[Place]) -> Vec<f64> {
    const FLOOR: f64 = 1e-12;
    let mut counts = vec![0.0; positions(range)];
    places.iter().for_each(|place| counts[*place] += 1.0);
    let kernels = match range.is_choice() {
        true => kernels_of_choice(&counts),
        false => kernels_of_numbers(&counts),
    };
    // The prior is one more kernel, with the weight of one trial.
    let all = places.len() as f64 + 1.0;
    let probability = |position: usize| -> f64 {
        let masses = kernels
            .iter()
            .map(|(weight, masses)| weight * masses[position]);
        masses.sum::<f64>() / all + FLOOR
    };
    (0..counts.len()).map(probability).collect()
}

/// A kernel: its weight, and its mass at each position.
type Kernel = (f64, Vec<f64>);

/// Returns the kernels of a choice: each prefers its own value, the last one none.
fn kernels_of_choice(counts: &[f64]) -> Vec<Kernel> {
    let values = counts.len();
    let own: Vec<usize> = (0..values).filter(|value| counts[*value] > 0.0).collect();
    let elsewhere = 1.0 / (own.len() as f64 + 1.0);
    let sum = 1.0 + elsewhere * values as f64;
    let mut kernels: Vec<Kernel> = Vec::new();
    for value in own {
        let mut masses = vec![elsewhere / sum; values];
        masses[value] = (1.0 + elsewhere) / sum;
        kernels.push((counts[value], masses));
    }
    kernels.push((1.0, vec![1.0 / values as f64; values]));
    kernels
}

/// Returns the kernels of numbers: normal distributions around the positions that occur, truncated to the grid, and a wide
/// one in the middle.
fn kernels_of_numbers(counts: &[f64]) -> Vec<Kernel> {
    let width = bandwidth(counts);
    let last = counts.len() as f64 - 1.0;
    let mut kernels: Vec<Kernel> = Vec::new();
    for (position, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        kernels.push((*count, masses(position as f64, width, counts.len())));
    }
    kernels.push((1.0, masses(0.5 * last, last + 1.0, counts.len())));
    kernels
}

/// Returns the bandwidth by Scott's rule, at least so wide that a kernel has 90 % of its mass at its own position.
fn bandwidth(counts: &[f64]) -> f64 {
    const LEAST: f64 = 0.5 / 1.64;
    let all: f64 = counts.iter().sum();
    let places = || (0..counts.len()).map(|place| place as f64).zip(counts);
    let mean = places().map(|(place, count)| place * count).sum::<f64>() / all;
    let squares: f64 = places()
        .map(|(place, count)| (place - mean) * (place - mean) * count)
        .sum();
    let deviation = sqrt(squares / (all - 1.0).max(1.0));
    let range = quartile_range(counts);
    (1.059 * (range / 1.34).min(deviation) * pow(all, -0.2)).max(LEAST)
}

/// Returns the distance of the third quartile from the first one.
fn quartile_range(counts: &[f64]) -> f64 {
    let mut sum = 0.0;
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for (place, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        sum += count;
        sums.push((place as f64, sum));
    }
    let first = sums
        .iter()
        .find(|(_, below)| *below >= libm::floor(sum / 4.0));
    let third = sums
        .iter()
        .find(|(_, below)| *below > libm::floor(sum * 3.0 / 4.0));
    match (first, third.or(sums.last())) {
        (Some((first, _)), Some((third, _))) => third - first,
        (None, _) | (_, None) => 0.0,
    }
}

/// Returns the masses of a normal distribution around each of these positions, truncated to all of them.
fn masses(mean: f64, width: f64, positions: usize) -> Vec<f64> {
    let mass = |low: f64, high: f64| normal_mass((low - mean) / width, (high - mean) / width);
    let all = mass(-0.5, positions as f64 - 0.5);
    let at = |place: usize| mass(place as f64 - 0.5, place as f64 + 0.5) / all;
    (0..positions).map(at).collect()
}

/// Returns the mass of the standard normal distribution between two values.
fn normal_mass(low: f64, high: f64) -> f64 {
    // Both tails are computed on the left, where small numbers keep their digits.
    let below = |value: f64| 0.5 * erfc(-value / std::f64::consts::SQRT_2);
    match low > 0.0 {
        true => below(-low) - below(-high),
        false => below(high) - below(low),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        drawn: Vec<Drawn>,
        /// By the name of a published search.
        recorded: BTreeMap<String, f64>,
    }

    #[derive(Deserialize)]
    struct Drawn {
        space: Space,
        trials: Vec<(TrialPoint, f64)>,
        importances: Vec<f64>,
    }

    /// A published search of one value.
    #[derive(Deserialize)]
    struct Recorded {
        ranges: BTreeMap<String, (f64, f64, String)>,
        /// The values, their scores and the deviations of these.
        obs_1d: [Vec<f64>; 3],
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("testdata/importance.json")).unwrap()
    }

    fn found(space: &Space, trials: &[(TrialPoint, f64)]) -> Vec<f64> {
        let trials: Vec<(&TrialPoint, f64)> = trials
            .iter()
            .map(|(point, score)| (point, *score))
            .collect();
        divergences(space, &trials, number_of_best(trials.len()))
    }

    #[test]
    fn importances_are_those_of_optuna() {
        for case in golden().drawn {
            let found = found(&case.space, &case.trials);
            for (found, expected) in found.iter().zip(&case.importances) {
                assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            }
        }
    }

    #[test]
    fn importances_in_published_searches_are_those_of_optuna() {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/mlrc_bayesopt");
        if !folder.is_dir() {
            eprintln!("skipped: no published searches");
            return;
        }
        for (name, expected) in golden().recorded {
            let file = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
            let search: Recorded = serde_json::from_str(&file).unwrap();
            let (key, (low, high, scale)) = search.ranges.into_iter().next().unwrap();
            let kind = if scale == "log" {
                "log_uniform"
            } else {
                "uniform"
            };
            let space = json!([{ "name": key, "range": { kind: [low, high] } }]);
            let [values, scores, _] = search.obs_1d;
            let trials: Vec<(TrialPoint, f64)> = values
                .iter()
                .zip(scores)
                .map(|(value, score)| {
                    ([(key.clone(), json!(value.clamp(low, high)))].into(), score)
                })
                .collect();
            let found = found(&serde_json::from_value(space).unwrap(), &trials)[0];
            assert!(
                (found - expected).abs() < 1e-9,
                "{name}: {found} {expected}"
            );
        }
    }

    #[test]
    fn the_value_that_decides_is_the_most_important_and_few_trials_say_nothing() {
        let space: Space = serde_json::from_value(json!([
            { "name": "idle", "range": { "uniform": [0.0, 1.0] } },
            { "name": "decisive", "range": { "uniform": [0.0, 1.0] } },
        ]))
        .unwrap();
        let trials: Vec<(TrialPoint, f64)> = (0..60)
            .map(|number| {
                let [idle, decisive] = [7, 11].map(|step| f64::from(number * step % 60) / 59.0);
                let point = [
                    ("idle".to_owned(), json!(idle)),
                    ("decisive".to_owned(), json!(decisive)),
                ];
                (point.into(), -(decisive - 0.3).abs())
            })
            .collect();
        let pairs: Vec<(&TrialPoint, f64)> = trials
            .iter()
            .map(|(point, score)| (point, *score))
            .collect();
        let importances = importance(&space, &pairs).unwrap();
        assert_eq!(importances[0].name, "decisive");
        assert!(importances[0].share > 0.8, "{importances:?}");
        assert_eq!(importance(&space, &pairs[..FEWEST - 1]), None);
    }
}
