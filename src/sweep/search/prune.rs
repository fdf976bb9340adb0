//! When a trial may stop early, as pure functions of validation curves.
//!
//! Pruning is an option of the search and off for whatever a table reports. Like a suggestion, a decision must
//! not depend on timing: the caller hands in the curves of the trials whose results a suggestion would know.

use serde::{Deserialize, Serialize};

/// The validation scores of a trial: (step, score), steps ascending, higher is better.
pub type Curve = [(u64, f64)];

/// A rule to stop a trial early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Pruning {
    /// See [`MedianRule`].
    Median(MedianRule),
    /// See [`Asha`].
    Asha(Asha),
}

impl Pruning {
    /// Whether the trial with the curve `own` should stop, given those of earlier trials.
    pub fn stops(&self, own: &Curve, others: &[&Curve]) -> bool {
        match self {
            Pruning::Median(rule) => rule.stops(own, others),
            Pruning::Asha(rule) => rule.stops(own, others),
        }
    }
}

/// Stop if the best score so far is below the median of what others had on average up to the same step
/// (Golovin et al. 2017, "Google Vizier", section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MedianRule {
    /// No trial stops before this many others have come as far.
    pub trials: usize,
    /// No trial stops before this step.
    pub steps: u64,
}

impl Default for MedianRule {
    fn default() -> MedianRule {
        MedianRule {
            trials: 5,
            steps: 0,
        }
    }
}

impl MedianRule {
    /// Whether the trial with the curve `own` should stop.
    pub fn stops(&self, own: &Curve, others: &[&Curve]) -> bool {
        let Some(&(step, _)) = own.last().filter(|(step, _)| *step >= self.steps) else {
            return false;
        };
        let as_far = others
            .iter()
            .filter(|curve| curve.last().is_some_and(|(last, _)| *last >= step));
        let mut means: Vec<f64> = as_far.filter_map(|curve| mean_up_to(curve, step)).collect();
        if means.len() < self.trials.max(1) {
            return false;
        }
        means.sort_by(f64::total_cmp);
        let middle = means.len() / 2;
        let median = if means.len() % 2 == 1 {
            means[middle]
        } else {
            0.5 * (means[middle - 1] + means[middle])
        };
        highest_up_to(own, step).is_some_and(|highest| highest < median)
    }
}

/// Stop at rung k, step `first · factor^k`, unless among the best `1 / factor` that reached it (Li et al. 2020, "A
/// System for Massively Parallel Hyperparameter Tuning"; stopping form, in which nothing is ever resumed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asha {
    /// The step of the first rung; at least 1.
    pub first: u64,
    /// One of so many goes on; at least 2.
    #[serde(default = "three")]
    pub factor: u64,
}

fn three() -> u64 {
    3
}

impl Asha {
    /// Whether the trial with the curve `own` should stop.
    pub fn stops(&self, own: &Curve, others: &[&Curve]) -> bool {
        let Some(&(step, _)) = own.last() else {
            return false;
        };
        self.rungs(step).any(|rung| {
            let Some(score) = highest_up_to(own, rung) else {
                return false;
            };
            let reached = others
                .iter()
                .filter(|curve| curve.last().is_some_and(|(last, _)| *last >= rung));
            let scores: Vec<f64> = reached
                .filter_map(|curve| highest_up_to(curve, rung))
                .collect();
            let better = scores.iter().filter(|other| **other > score).count() as u64;
            // With fewer than `factor` at the rung only the best goes on.
            better >= ((scores.len() as u64 + 1) / self.factor.max(2)).max(1)
        })
    }

    fn rungs(&self, until: u64) -> impl Iterator<Item = u64> {
        let factor = self.factor.max(2);
        std::iter::successors(Some(self.first.max(1)), move |rung| {
            rung.checked_mul(factor)
        })
        .take_while(move |rung| *rung <= until)
    }
}

fn mean_up_to(curve: &Curve, step: u64) -> Option<f64> {
    let scores: Vec<f64> = curve
        .iter()
        .filter(|(at, _)| *at <= step)
        .map(|(_, score)| *score)
        .collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

fn highest_up_to(curve: &Curve, step: u64) -> Option<f64> {
    curve
        .iter()
        .filter(|(at, _)| *at <= step)
        .map(|(_, score)| *score)
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_below_the_median_of_the_running_means_stops() {
        let rule = MedianRule {
            trials: 3,
            steps: 0,
        };
        let (low, middle, high) = (
            [(1, 0.1), (2, 0.3)],
            [(1, 0.3), (2, 0.5)],
            [(1, 0.5), (2, 0.7)],
        );
        let others: [&Curve; 3] = [&low, &middle, &high];
        // The means up to step 2 are 0.2, 0.4 and 0.6; the median is 0.4.
        assert!(rule.stops(&[(1, 0.39), (2, 0.35)], &others));
        assert!(!rule.stops(&[(1, 0.41), (2, 0.1)], &others));
        assert!(
            !rule.stops(&[(1, 0.0)], &others[..2]),
            "too few to judge by"
        );
        assert!(
            !MedianRule {
                trials: 3,
                steps: 2
            }
            .stops(&[(1, 0.0)], &others),
            "too early"
        );
    }

    #[test]
    fn a_third_goes_on_at_each_rung() {
        let rule = Asha {
            first: 10,
            factor: 3,
        };
        let curves: Vec<Vec<(u64, f64)>> = (0..5).map(|i| vec![(10, f64::from(i))]).collect();
        let others: Vec<&Curve> = curves.iter().map(Vec::as_slice).collect();
        // Six trials reach the first rung, so the best two go on.
        assert!(!rule.stops(&[(10, 3.5)], &others));
        assert!(rule.stops(&[(10, 2.5)], &others));
        assert!(!rule.stops(&[(9, 0.0)], &others), "before the rung");
        assert!(
            !rule.stops(&[(30, 9.0)], &others),
            "the first at the second rung"
        );
        assert!(!rule.stops(&[(10, 0.0)], &[]));
    }
}
