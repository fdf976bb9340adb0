//! The mean over seeds and classes, both of which are samples: how far it would move with other seeds and
//! other classes.
//!
//! Every seed is measured on every class, so the design is crossed: the score of a seed on a class is a
//! mean, an effect of the seed, an effect of the class and a rest. The variance of the grand mean is the
//! sum of what seeds and classes contribute to it (Owen, "The Pigeonhole Bootstrap", 2007, section 3). An
//! interval over seeds alone answers for these classes only, one over classes alone for these networks
//! only.

use super::{Estimate, Part, deviation, mean};

/// Estimates the mean of `scores[seed][class]`, in which each class counts as often as it has queries.
/// None for fewer than two seeds or classes.
///
/// # Panics
/// If the numbers of classes differ.
pub fn two_way(scores: &[Vec<f64>], queries: &[f64]) -> Option<Estimate> {
    if scores.len() < 2 || queries.len() < 2 {
        return None;
    }
    let scores = weighted(scores, queries);
    let (seeds, classes) = (scores.len() as f64, queries.len() as f64);
    let of_seeds: Vec<f64> = scores.iter().filter_map(|seed| mean(seed)).collect();
    let of_classes = means_of_classes(&scores);
    let mean = mean(&of_seeds)?;
    let over_seeds = deviation(&of_seeds)?.powi(2) / seeds;
    let over_classes = deviation(&of_classes)?.powi(2) / classes;
    let rest = rest(&scores, &of_seeds, &of_classes, mean) / (seeds * classes);
    Some(Estimate {
        mean,
        seeds: Part {
            variance: over_seeds,
            freedom: seeds - 1.0,
        },
        // The rest is in both; seeds keep it.
        classes: Part {
            variance: (over_classes - rest).max(0.0),
            freedom: classes - 1.0,
        },
    })
}

/// The scores such that the plain mean of each seed is its mean over queries. The number of queries of a
/// new class is random, too: this is the linear part of the ratio of both.
fn weighted(scores: &[Vec<f64>], queries: &[f64]) -> Vec<Vec<f64>> {
    let all: f64 = queries.iter().sum();
    let shares: Vec<f64> = queries.iter().map(|queries| queries / all).collect();
    let over_queries = |seed: &Vec<f64>| -> f64 {
        assert_eq!(seed.len(), shares.len(), "every seed has all classes");
        seed.iter()
            .zip(&shares)
            .map(|(score, share)| score * share)
            .sum()
    };
    let center = scores.iter().map(over_queries).sum::<f64>() / scores.len() as f64;
    let classes = queries.len() as f64;
    let of_seed = |seed: &Vec<f64>| {
        let scores = seed.iter().zip(&shares);
        scores
            .map(|(score, share)| center + classes * share * (score - center))
            .collect()
    };
    scores.iter().map(of_seed).collect()
}

fn means_of_classes(scores: &[Vec<f64>]) -> Vec<f64> {
    let mut sums = vec![0.0; scores[0].len()];
    for seed in scores {
        for (sum, score) in sums.iter_mut().zip(seed) {
            *sum += score;
        }
    }
    sums.iter().map(|sum| sum / scores.len() as f64).collect()
}

/// The mean square of what neither seeds nor classes explain.
fn rest(scores: &[Vec<f64>], of_seeds: &[f64], of_classes: &[f64], mean: f64) -> f64 {
    let mut squares = 0.0;
    for (seed, of_seed) in scores.iter().zip(of_seeds) {
        for (score, of_class) in seed.iter().zip(of_classes) {
            squares += (score - of_seed - of_class + mean).powi(2);
        }
    }
    squares / ((of_seeds.len() as f64 - 1.0) * (of_classes.len() as f64 - 1.0))
}
