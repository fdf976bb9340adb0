//! Which point of a method's search space the next trial evaluates.
//!
//! [`Search::suggest`] is a pure function of the space, the settings, the results so far and the
//! number of the trial: no clock, no state. Trial `t` is suggested from the results of trials
//! `0..=t-p`, where `p` is the declared parallelism; later trials count as pending even if they
//! have ended. An interrupted or resumed sweep therefore evaluates the same points. Arithmetic
//! avoids the mathematical functions of the platform, so every machine suggests the same points.
//!
//! Rules of all strategies:
//! - The objective is maximized.
//! - A pending trial has the value that the model expects ("kriging believer", Ginsbourger et al.
//!   2010) in `gp`, and is among the bad ones in `tpe`. No strategy repeats it.
//! - A pruned trial has the value that it would have reached, and is never selected.
//! - A failed trial is worse than every finished one: among the bad ones in `tpe`; the worst
//!   finished value, with more noise than any measurement, in `gp`.
//! - No point is suggested twice unless a hundred proposals find no other.
//! - Bounds may be edited between trials. `gp` keeps trials outside the new bounds, the others
//!   ignore them. All ignore values that the space can no longer express.
//! - Suggested numbers have six significant digits.

mod acquisition;
mod gp;
mod importance;
mod linear;
mod minimize;
mod prune;
#[cfg(test)]
mod replays;
mod rng;
mod space;
#[cfg(test)]
mod tests;
mod tpe;

use serde::{Deserialize, Serialize};

pub use importance::{Importance, importance, number_of_best};
pub use prune::Prune;
pub use space::{
    ActiveIf, AtBound, BoundSide, Dimension, SearchRange, Space, SpaceError, TrialPoint,
};

use rng::{SearchRng, Stream};
use space::UnitPoint;

/// How the points of a study are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Every combination of `grid`, `choice` and `int` values; the last dimension varies fastest.
    Grid,
    /// Independent uniform draws.
    Random,
    /// A Sobol sequence scrambled by the seed (Owen 1995; Burley 2020): uniform and evenly spread.
    Sobol,
    /// Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate (Falkner et al. 2018).
    Tpe,
    /// Expected improvement under a Gaussian process: for few and noisy trials, with more numbers
    /// than choices.
    Gp,
}

impl Strategy {
    /// Returns the name in the sweep file.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Grid => "grid",
            Strategy::Random => "random",
            Strategy::Sobol => "sobol",
            Strategy::Tpe => "tpe",
            Strategy::Gp => "gp",
        }
    }
}

/// The first seed of trials; those of the table are below.
pub const FIRST_SEED_OF_TRIALS: u64 = 1 << 32;

/// Settings of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How points are chosen.
    pub strategy: Strategy,
    /// Number of trials. A grid has at most as many as it has points.
    pub trials: usize,
    /// Seed of the random draws.
    #[serde(default)]
    pub seed: u64,
    /// Number of trials that run at a time; determines which results a suggestion uses.
    #[serde(default = "one")]
    pub parallelism: usize,
    /// Number of Sobol points before `tpe` and `gp` use results. Default: 10 for `tpe`, the number
    /// of dimensions but at least 5 for `gp`.
    #[serde(default)]
    pub startup: Option<usize>,
    /// When a trial ends before its last fold. Absent: never. Then all folds of a trial may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune: Option<Prune>,
    /// Number of times that the whole search is repeated, each with the next seed, its own trials and new
    /// seeds for what it selects.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(extend("default" = 1))]
    pub repeats: usize,
}

fn one() -> usize {
    1
}

fn is_one(repeats: &usize) -> bool {
    *repeats == 1
}

impl Settings {
    /// Returns the number of Sobol points before the model is used.
    fn startup(&self, dimensions: usize) -> usize {
        self.startup.unwrap_or(match self.strategy {
            Strategy::Grid | Strategy::Random | Strategy::Sobol => 0,
            Strategy::Tpe => 10,
            Strategy::Gp => dimensions.max(5),
        })
    }
}

/// A suggested point and its outcome. The number of the trial is its index in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// The point.
    pub point: TrialPoint,
    /// The outcome.
    pub outcome: TrialOutcome,
}

/// The outcome of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TrialOutcome {
    /// It was measured.
    Finished {
        /// The objective, the mean over folds; higher is better.
        mean: f64,
        /// Standard error of the mean, if there are several folds.
        sem: Option<f64>,
    },
    /// It ended before its last fold: it had no chance to become the best.
    Pruned {
        /// What it would have reached on all folds.
        expected: f64,
    },
    /// One of its runs failed, diverged or returned a value that is not finite.
    Failed,
    /// It has not ended.
    Pending,
}

/// What a trial does after some of its folds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// It is trained on the next fold.
    GoOn,
    /// It ends with this outcome.
    End(TrialOutcome),
}

/// What the next trial does.
#[derive(Clone, Debug, PartialEq)]
pub enum Suggestion {
    /// Evaluate this point.
    Try(TrialPoint),
    /// Wait until this trial has ended.
    Wait {
        /// The first trial whose result is needed and missing.
        trial: usize,
    },
    /// There is no such trial: all trials, or all points of the grid, are suggested.
    Exhausted,
}

/// Maximum number of trials: the points of the Sobol sequence.
const MOST_TRIALS: usize = 1 << 16;

/// Why a search is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// The space is invalid.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A grid search over a continuous range.
    #[error(
        "a grid search cannot try all values of `{0}`: list them, `{{ grid = [..] }}`, or choose another strategy"
    )]
    Continuous(String),
    /// A setting is 0.
    #[error("`{0}` must be at least 1")]
    Zero(&'static str),
    /// More trials than the Sobol sequence has points.
    #[error("a search has at most {MOST_TRIALS} trials")]
    ManyTrials,
    /// More dimensions than the Sobol sequence has.
    #[error("a search has at most {} dimensions", sobol_burley::NUM_DIMENSIONS)]
    ManyDimensions,
}

impl SearchError {
    /// Returns the dimension at fault, if it is a single one.
    pub fn dimension(&self) -> Option<&String> {
        match self {
            SearchError::Space(
                SpaceError::Twice(name)
                | SpaceError::Bounds { name, .. }
                | SpaceError::Logarithm { name, .. }
                | SpaceError::Narrow { name, .. }
                | SpaceError::Values(name)
                | SpaceError::Condition { name, .. },
            )
            | SearchError::Continuous(name) => Some(name),
            SearchError::Space(SpaceError::Empty)
            | SearchError::Zero(_)
            | SearchError::ManyTrials
            | SearchError::ManyDimensions => None,
        }
    }

    /// Returns the key of `[search]` at fault, if it is one.
    pub fn setting(&self) -> Option<&'static str> {
        match self {
            SearchError::Zero(setting) => Some(setting),
            SearchError::ManyTrials => Some("trials"),
            SearchError::Space(_) | SearchError::Continuous(_) | SearchError::ManyDimensions => {
                None
            }
        }
    }
}

/// A search of a space.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    space: Space,
    settings: Settings,
}

impl Search {
    /// Creates the search.
    ///
    /// # Errors
    /// If the space or the settings are invalid, or do not suit each other.
    pub fn new(space: Space, settings: Settings) -> Result<Search, SearchError> {
        space.check()?;
        if settings.trials == 0 {
            return Err(SearchError::Zero("trials"));
        }
        if settings.parallelism == 0 {
            return Err(SearchError::Zero("parallelism"));
        }
        if settings.repeats == 0 {
            return Err(SearchError::Zero("repeats"));
        }
        if settings.strategy == Strategy::Grid
            && let Some(dimension) = space.first_continuous()
        {
            return Err(SearchError::Continuous(dimension.name.clone()));
        }
        if space.dimensions.len() > sobol_burley::NUM_DIMENSIONS as usize {
            return Err(SearchError::ManyDimensions);
        }
        if settings.trials > MOST_TRIALS {
            return Err(SearchError::ManyTrials);
        }
        Ok(Search { space, settings })
    }

    /// Returns a repetition of the search, counted from 0: the search with another seed.
    pub fn repetition(&self, number: usize) -> Search {
        let mut search = self.clone();
        search.settings.seed = search.settings.seed.wrapping_add(number as u64);
        search
    }

    /// Returns the space.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Returns the settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the number of trials: the declared number, or all points of a smaller grid.
    pub fn trials(&self) -> usize {
        match self.settings.strategy {
            Strategy::Grid => self.space.grid_size(self.settings.trials),
            Strategy::Random | Strategy::Sobol | Strategy::Tpe | Strategy::Gp => {
                self.settings.trials
            }
        }
    }

    /// Returns what trial `trial` does, given the earlier trials.
    ///
    /// Uses the points of all earlier trials in `history`, and the outcomes of those at least
    /// `parallelism` trials ago.
    pub fn suggest(&self, history: &[TrialRecord], trial: usize) -> Suggestion {
        if trial >= self.trials() {
            return Suggestion::Exhausted;
        }
        if self.settings.strategy == Strategy::Grid {
            return Suggestion::Try(self.space.grid_point(trial));
        }
        if let Some(missing) = self.missing(history, trial) {
            return Suggestion::Wait { trial: missing };
        }
        let known = self.known(history, trial);
        Suggestion::Try(self.space.decode(&self.unit(&known, trial)))
    }

    /// Decides whether a trial goes on after its first folds, given the scores of each trial on its folds and
    /// the outcomes. None while an earlier trial has not ended whose result the decision uses.
    pub fn decide(
        &self,
        history: &[TrialRecord],
        scores: &[Vec<f64>],
        trial: usize,
    ) -> Option<Decision> {
        let Some(prune) = self.settings.prune else {
            return Some(Decision::GoOn);
        };
        let known = self.known_outcomes(trial).min(trial);
        let history = &history[..known];
        let is_pending = |trial: &TrialRecord| trial.outcome == TrialOutcome::Pending;
        if history.iter().any(is_pending) {
            return None;
        }
        let Some(best) = best(history) else {
            return Some(Decision::GoOn);
        };
        let has_scores = |trial: &TrialRecord| trial.outcome != TrialOutcome::Failed;
        let of_others = history.iter().zip(scores);
        let of_others = of_others.filter(|(trial, _)| has_scores(trial));
        let others: Vec<&[f64]> = of_others.map(|(_, scores)| &scores[..]).collect();
        let (own, best) = (&scores[trial], &scores[best]);
        Some(match prune.goes_on(own, &others, best) {
            true => Decision::GoOn,
            false => Decision::End(TrialOutcome::Pruned {
                expected: prune::expected(own, best),
            }),
        })
    }

    /// Returns the first earlier trial whose point or needed result is missing.
    fn missing(&self, history: &[TrialRecord], trial: usize) -> Option<usize> {
        let needed = self.outcomes_needed(trial);
        (0..trial).find(|&earlier| match history.get(earlier) {
            None => true,
            Some(trial) => earlier < needed && trial.outcome == TrialOutcome::Pending,
        })
    }

    /// Returns how many of the first trials must have an outcome before this one is suggested.
    pub fn outcomes_needed(&self, trial: usize) -> usize {
        let learns = matches!(self.settings.strategy, Strategy::Tpe | Strategy::Gp);
        if learns && self.is_past_startup(trial) {
            self.known_outcomes(trial)
        } else {
            0
        }
    }

    /// Returns how many of the first trials have an outcome that this trial may use.
    fn known_outcomes(&self, trial: usize) -> usize {
        (trial + 1).saturating_sub(self.settings.parallelism)
    }

    fn is_past_startup(&self, trial: usize) -> bool {
        trial >= self.settings.startup(self.space.dimensions.len())
    }

    /// Returns the earlier trials in coordinates, as far as this trial may use them.
    fn known(&self, history: &[TrialRecord], trial: usize) -> Vec<Known> {
        let usable = self.known_outcomes(trial);
        let mut known = Vec::new();
        for (number, trial) in history[..trial].iter().enumerate() {
            let Some(unit) = self.space.encode(&trial.point) else {
                continue;
            };
            let outcome = match trial.outcome {
                _ if number >= usable => TrialOutcome::Pending,
                TrialOutcome::Finished { mean, .. } if !mean.is_finite() => TrialOutcome::Failed,
                outcome @ (TrialOutcome::Finished { .. }
                | TrialOutcome::Pruned { .. }
                | TrialOutcome::Failed
                | TrialOutcome::Pending) => outcome,
            };
            known.push(Known { unit, outcome });
        }
        known
    }

    fn unit(&self, known: &[Known], trial: usize) -> UnitPoint {
        let finished = known.iter().filter(|known| known.mean().is_some()).count();
        let ready = self.is_past_startup(trial) && finished > 1;
        match self.settings.strategy {
            Strategy::Tpe if ready => {
                tpe::suggest(&self.space, known, &mut self.rng(trial, Stream::Tpe))
            }
            Strategy::Gp if ready => {
                gp::suggest(&self.space, known, &mut self.rng(trial, Stream::Gp))
            }
            Strategy::Grid | Strategy::Random => {
                let mut rng = self.rng(trial, Stream::Random);
                self.space
                    .new_unit(known, || self.space.unit(|_| rng.uniform()))
            }
            Strategy::Sobol | Strategy::Tpe | Strategy::Gp => self.sobol(known, trial),
        }
    }

    fn rng(&self, trial: usize, stream: Stream) -> SearchRng {
        SearchRng::new(self.settings.seed, trial, stream)
    }

    /// Returns the Sobol point of this trial, or a random one if it was suggested before.
    fn sobol(&self, known: &[Known], trial: usize) -> UnitPoint {
        let scramble = self.rng(0, Stream::Sobol).next_u32();
        let mut sobol = Some(
            self.space
                .unit(|dimension| sobol_coordinate(trial, dimension, scramble)),
        );
        let mut rng = self.rng(trial, Stream::Random);
        self.space.new_unit(known, || {
            sobol
                .take()
                .unwrap_or_else(|| self.space.unit(|_| rng.uniform()))
        })
    }
}

fn sobol_coordinate(trial: usize, dimension: usize, scramble: u32) -> f64 {
    let trial = u32::try_from(trial).expect("checked by `Search::new`");
    let dimension = u32::try_from(dimension).expect("checked by `Search::new`");
    let coordinate = f64::from(sobol_burley::sample(trial, dimension, scramble));
    coordinate.clamp(0.0, 1.0 - f64::EPSILON)
}

/// An earlier trial, as far as a suggestion may use it.
#[derive(Clone, Debug)]
struct Known {
    unit: UnitPoint,
    outcome: TrialOutcome,
}

impl Known {
    fn mean(&self) -> Option<f64> {
        match self.outcome {
            TrialOutcome::Finished { mean, .. } | TrialOutcome::Pruned { expected: mean } => {
                Some(mean)
            }
            TrialOutcome::Failed | TrialOutcome::Pending => None,
        }
    }
}

/// Returns the number of the best finished trial by its measured mean, the earliest among equals.
pub fn best(history: &[TrialRecord]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (number, trial) in history.iter().enumerate() {
        if let TrialOutcome::Finished { mean, .. } = trial.outcome
            && mean.is_finite()
            && best.is_none_or(|(_, highest)| mean > highest)
        {
            best = Some((number, mean));
        }
    }
    best.map(|(number, _)| number)
}
