//! Whether a trial goes on to its next fold, or has no chance to become the best.
//!
//! A pruned search trains a trial on one fold after the other and decides in between. A decision uses
//! results alone: those of the trial itself, and the final ones of the trials that its point was
//! suggested from. Interruptions and the order in which runs end change nothing. Only trials are pruned:
//! what the table shows is trained on all folds.

use serde::{Deserialize, Serialize};

/// When a trial ends before its last fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prune {
    /// Its mean is below the median of the earlier trials on as many folds, once there are four (Golovin et
    /// al., "Google Vizier", 2017).
    Median,
    /// After a fold, it is not among the best fifth of the trials that came as far: asynchronous successive
    /// halving (ASHA, Li et al. 2020) with a rung at every fold.
    Asha,
    /// It is worse than the best trial so far on the folds done, by a one-sided Wilcoxon signed-rank test at
    /// the level of 0.25: after two folds, if it was worse on both.
    Race,
}

/// The fewest earlier trials that have a median.
const FEWEST: usize = 4;

/// One trial of this number goes on from a rung of ASHA.
const REDUCTION: usize = 5;

/// The level of the test in a race. Pruning the best trial by mistake costs little, as the next best is
/// nearly as good; a strict level would save nothing with the usual 4 folds.
const LEVEL: f64 = 0.25;

/// The scores of a trial on its folds.
pub(super) type Scores<'a> = &'a [f64];

impl Prune {
    /// Returns how it limits the folds of a trial, for a caption.
    pub fn in_words(self) -> &'static str {
        match self {
            Prune::Median => " unless it is below the median of earlier trials",
            Prune::Asha => " unless it is not among the best fifth after one of them",
            Prune::Race => " unless it loses to the best trial so far",
        }
    }

    /// True if a trial with these scores on its first folds goes on. `others` are the scores of
    /// earlier trials, `best` those of the best trial that finished.
    pub(super) fn goes_on(self, own: Scores<'_>, others: &[Scores<'_>], best: Scores<'_>) -> bool {
        let mut means = Vec::new();
        for other in others {
            means.extend(other.get(..own.len()).map(mean));
        }
        match self {
            Prune::Median => means.len() < FEWEST || mean(own) >= median(&mut means),
            Prune::Asha => is_among_best(mean(own), &means),
            Prune::Race => p_of_loss(own, best) > LEVEL,
        }
    }
}

fn mean(scores: Scores<'_>) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => 0.5 * (values[middle - 1] + values[middle]),
        _ => values[middle],
    }
}

/// True if a mean is among the best fifth of all, itself included; the best one always is.
fn is_among_best(own: f64, others: &[f64]) -> bool {
    let better = others.iter().filter(|other| **other > own).count();
    let places = ((others.len() + 1) / REDUCTION).max(1);
    better < places
}

/// The p value of the hypothesis that a trial is as good as the best on the folds of both.
fn p_of_loss(own: Scores<'_>, best: Scores<'_>) -> f64 {
    let folds = own.len().min(best.len());
    let (own, best) = (&own[..folds], &best[..folds]);
    let Some(test) = report::stats::wilcoxon(own, best) else {
        return 1.0;
    };
    match mean(own) < mean(best) {
        true => 0.5 * test.p,
        false => 1.0,
    }
}

/// What a pruned trial would have reached, given the best trial on all folds: folds differ in difficulty, so
/// it is measured by its distance from the best on the folds that it has.
pub(super) fn expected(own: Scores<'_>, best: Scores<'_>) -> f64 {
    match best.get(..own.len()) {
        Some(same) => mean(best) + mean(own) - mean(same),
        None => mean(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEST: Scores<'_> = &[0.5, 0.6, 0.4, 0.5];

    #[test]
    fn a_trial_below_the_median_of_four_ends() {
        let others: Vec<Scores<'_>> = vec![&[0.1], &[0.2], &[0.3], &[0.4, 0.4]];
        let goes_on = |own, others: &[Scores<'_>]| Prune::Median.goes_on(own, others, BEST);
        assert!(!goes_on(&[0.24], &others));
        assert!(goes_on(&[0.26], &others));
        assert!(goes_on(&[0.0], &others[..3]));
        // One other trial has two folds.
        assert!(goes_on(&[0.0, 0.0], &others));
    }

    #[test]
    fn a_fifth_of_the_trials_goes_on_from_each_fold() {
        let others: Vec<Scores<'_>> =
            vec![&[0.1], &[0.2], &[0.3], &[0.4], &[0.5], &[0.6, 0.6], &[0.7]];
        let goes_on = |own, others: &[Scores<'_>]| Prune::Asha.goes_on(own, others, BEST);
        assert!(goes_on(&[0.75], &others));
        assert!(!goes_on(&[0.65], &others));
        assert!(goes_on(&[0.6], &others[..1]) && !goes_on(&[0.0], &others[..1]));
        // One other trial has two folds.
        assert!(goes_on(&[0.6, 0.7], &others) && !goes_on(&[0.6, 0.5], &others));
    }

    #[test]
    fn a_race_ends_with_the_second_fold_lost() {
        let goes_on = |own| Prune::Race.goes_on(own, &[], BEST);
        assert!(goes_on(&[0.4]));
        assert!(!goes_on(&[0.4, 0.5]));
        assert!(goes_on(&[0.4, 0.7]));
        assert!(goes_on(&[0.55, 0.5, 0.39]));
        assert!(!goes_on(&[0.51, 0.5, 0.3]));
        assert!(goes_on(BEST));
    }

    #[test]
    fn the_expected_score_takes_the_difficulty_of_folds_into_account() {
        assert!((expected(&[0.4], BEST) - 0.4).abs() < 1e-12);
        assert!((expected(&[0.6, 0.6], BEST) - 0.55).abs() < 1e-12);
        assert!((expected(&[0.6], &[]) - 0.6).abs() < 1e-12);
    }
}
