//! Which point of a method's search space the next trial tries.
//!
//! [`Search::suggest`] is a pure function of the space, the settings, the results so far and the number of the
//! trial: no clock, no state, no generator. Trial `t` is suggested from the results of trials `0..=t-p`, `p` being
//! the declared parallelism; the trials after those count as pending even if they have ended in the meantime. An
//! interrupted, resumed or luckier sweep therefore asks for the same trials. Arithmetic avoids the platform's own
//! mathematical functions, so that another machine asks for the same trials too.
//!
//! The rules that all strategies share:
//! - The objective is maximised.
//! - A pending trial counts as one that turned out as the model expects (Ginsbourger et al. 2010, "kriging
//!   believer") in `gp`, as a bad one in `tpe`, and is not tried again in any.
//! - A failed trial is worse than every finished one, never 0: in `tpe` it is among the bad, in `gp` it has the
//!   worst finished value, less certain than any measurement.
//! - No point is suggested twice while a moderate effort finds another: equal recipes are equal runs.
//! - Bounds may be edited between trials. A trial outside the new bounds stays what it is to `gp`, which sees
//!   beyond them; the others forget it. A value that the space cannot express any more is forgotten by all.
//! - A suggested number has six significant digits.

mod acquisition;
mod draw;
mod gp;
mod linear;
mod minimise;
mod prune;
mod space;
#[cfg(test)]
mod tests;
mod tpe;

use serde::{Deserialize, Serialize};

pub use prune::{Asha, Curve, MedianRule, Pruning};
pub use space::{AtBound, Condition, Dimension, Point, Range, Side, Space, SpaceError, Value};

use draw::{Draws, Purpose};
use space::Unit;

/// How the points of a study are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Strategy {
    /// Every combination of `grid`, `choice` and `int` values, the last dimension fastest.
    Grid,
    /// Independent uniform draws.
    Random,
    /// A Sobol sequence, scrambled by the seed (Owen 1995; Burley 2020): uniform, and evenly spread.
    Sobol,
    /// Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate (Falkner et al. 2018).
    Tpe,
    /// Expected improvement under a Gaussian process: few trials, numbers more than choices, noise.
    Gp,
}

impl Strategy {
    /// As the file has it.
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

/// What a study is told beside its space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How points are chosen.
    pub strategy: Strategy,
    /// How many trials there are. A grid has at most as many as it has points.
    pub trials: usize,
    /// Names the random draws.
    #[serde(default)]
    pub seed: u64,
    /// How many trials run at a time; determines which results a suggestion knows.
    #[serde(default = "one")]
    pub parallelism: usize,
    /// How many Sobol points come before `tpe` and `gp` look at results: [`Settings::startup`] if absent.
    #[serde(default)]
    pub startup: Option<usize>,
}

fn one() -> usize {
    1
}

impl Settings {
    /// The number of Sobol points before the model takes over, in a space with `dimensions`: what is set, or else
    /// 10 for `tpe` and, for `gp`, as many as there are dimensions but at least 5.
    pub fn startup(&self, dimensions: usize) -> usize {
        self.startup.unwrap_or(match self.strategy {
            Strategy::Grid | Strategy::Random | Strategy::Sobol => 0,
            Strategy::Tpe => 10,
            Strategy::Gp => dimensions.max(5),
        })
    }
}

/// One point that was suggested, and what became of it. Its number is its place in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The point.
    pub point: Point,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was measured.
    Finished {
        /// The objective: the mean over folds. Higher is better.
        mean: f64,
        /// The standard error of that mean, if there are several folds.
        sem: Option<f64>,
    },
    /// Any of its runs failed, diverged or gave no finite number.
    Failed,
    /// It has not ended.
    Pending,
}

/// What to do about a trial.
#[derive(Clone, Debug, PartialEq)]
pub enum Suggestion {
    /// Try this point.
    Try(Point),
    /// Ask again when this trial has ended.
    Wait {
        /// The first trial whose result is needed and not there.
        trial: usize,
    },
    /// There is no such trial: the number of trials or the grid is exhausted.
    Exhausted,
}

/// Why there can be no search.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// The space makes no sense.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// A grid cannot hold all numbers between two.
    #[error(
        "a grid search cannot try all values of `{0}`: list them, `{{ grid = [..] }}`, or choose another strategy"
    )]
    Continuous(String),
    /// Nothing to do.
    #[error("`{0}` must be at least 1")]
    Zero(&'static str),
    /// The Sobol sequence ends there.
    #[error(
        "a Sobol sequence has at most {} dimensions and 65536 points",
        sobol_burley::NUM_DIMENSIONS
    )]
    TooLarge,
}

impl SearchError {
    /// The dimension that is at fault, if it is a single one.
    pub fn dimension(&self) -> Option<&String> {
        match self {
            SearchError::Space(
                SpaceError::Twice(name)
                | SpaceError::Bounds { name, .. }
                | SpaceError::Logarithm { name, .. }
                | SpaceError::Values(name)
                | SpaceError::Condition { name, .. },
            )
            | SearchError::Continuous(name) => Some(name),
            SearchError::Space(SpaceError::Empty)
            | SearchError::Zero(_)
            | SearchError::TooLarge => None,
        }
    }
}

/// A search: a space and how to go through it.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    space: Space,
    settings: Settings,
}

impl Search {
    /// The search of `space` as `settings` has it.
    ///
    /// # Errors
    /// If the space makes no sense, or not with this strategy.
    pub fn new(space: Space, settings: Settings) -> Result<Search, SearchError> {
        space.check()?;
        for (name, value) in [
            ("trials", settings.trials),
            ("parallelism", settings.parallelism),
        ] {
            if value == 0 {
                return Err(SearchError::Zero(name));
            }
        }
        if settings.strategy == Strategy::Grid
            && let Some(dimension) = space
                .dimensions
                .iter()
                .find(|dimension| dimension.range.levels().is_none())
        {
            return Err(SearchError::Continuous(dimension.name.clone()));
        }
        if space.dimensions.len() > sobol_burley::NUM_DIMENSIONS as usize
            || settings.trials > 1 << 16
        {
            return Err(SearchError::TooLarge);
        }
        Ok(Search { space, settings })
    }

    /// The space that is searched.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// How it is gone through.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many trials the search has: the declared number, or all points of a smaller grid.
    pub fn trials(&self) -> usize {
        match self.settings.strategy {
            Strategy::Grid => self.settings.trials.min(self.space.grid_size()),
            Strategy::Random | Strategy::Sobol | Strategy::Tpe | Strategy::Gp => {
                self.settings.trials
            }
        }
    }

    /// What trial `trial` tries, given what became of those before it.
    ///
    /// Of `history` the points of all earlier trials are used and the outcomes of those that ended `parallelism`
    /// trials ago; the rest may say anything and changes nothing.
    pub fn suggest(&self, history: &[Trial], trial: usize) -> Suggestion {
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

    /// The first earlier trial of which something is needed that is not there.
    fn missing(&self, history: &[Trial], trial: usize) -> Option<usize> {
        let needed = (trial + 1).saturating_sub(self.settings.parallelism);
        let looks_at_results = matches!(self.settings.strategy, Strategy::Tpe | Strategy::Gp)
            && trial >= self.settings.startup(self.space.dimensions.len());
        (0..trial).find(|&earlier| match history.get(earlier) {
            None => true,
            Some(trial) => {
                looks_at_results && earlier < needed && trial.outcome == Outcome::Pending
            }
        })
    }

    /// The earlier trials in the coordinates of the space, without what this suggestion must not know.
    fn known(&self, history: &[Trial], trial: usize) -> Vec<Known> {
        let needed = (trial + 1).saturating_sub(self.settings.parallelism);
        let outcome = |number: usize, outcome| match outcome {
            _ if number >= needed => Outcome::Pending,
            Outcome::Finished { mean, .. } if !mean.is_finite() => Outcome::Failed,
            Outcome::Finished { .. } | Outcome::Failed | Outcome::Pending => outcome,
        };
        history[..trial]
            .iter()
            .enumerate()
            .filter_map(|(number, trial)| {
                let unit = self.space.encode(&trial.point)?;
                Some(Known {
                    unit,
                    outcome: outcome(number, trial.outcome),
                })
            })
            .collect()
    }

    fn unit(&self, known: &[Known], trial: usize) -> Unit {
        let finished = known
            .iter()
            .filter(|known| matches!(known.outcome, Outcome::Finished { .. }))
            .count();
        let ready = trial >= self.settings.startup(self.space.dimensions.len()) && finished > 1;
        let draws = |purpose| Draws::new(self.settings.seed, trial, purpose);
        match self.settings.strategy {
            Strategy::Tpe if ready => tpe::suggest(&self.space, known, &mut draws(Purpose::Tpe)),
            Strategy::Gp if ready => gp::suggest(&self.space, known, &mut draws(Purpose::Gp)),
            Strategy::Grid | Strategy::Random => {
                let draws = &mut draws(Purpose::Random);
                self.space
                    .new_unit(known, || self.space.unit(|_| draws.uniform()))
            }
            Strategy::Sobol | Strategy::Tpe | Strategy::Gp => self.sobol(known, trial),
        }
    }

    /// The Sobol point of this trial, or a random one if it was tried already.
    fn sobol(&self, known: &[Known], trial: usize) -> Unit {
        let scramble = draw::Draws::new(self.settings.seed, 0, Purpose::Sobol).next_u32();
        let place = |dimension: usize| {
            f64::from(sobol_burley::sample(
                index(trial),
                index(dimension),
                scramble,
            ))
            .clamp(0.0, 1.0 - f64::EPSILON)
        };
        let mut draws = Draws::new(self.settings.seed, trial, Purpose::Random);
        let mut first = true;
        self.space.new_unit(known, || {
            let unit = self.space.unit(|dimension| {
                if first {
                    place(dimension)
                } else {
                    draws.uniform()
                }
            });
            first = false;
            unit
        })
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("checked when the search was made")
}

/// An earlier trial as a suggestion may know it.
#[derive(Clone, Debug)]
struct Known {
    unit: Unit,
    outcome: Outcome,
}

impl Known {
    fn mean(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Finished { mean, .. } => Some(mean),
            Outcome::Failed | Outcome::Pending => None,
        }
    }
}

/// The best finished trial: its number, the earliest among equals. By the measured mean, not by a model's.
pub fn best(history: &[Trial]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (number, trial) in history.iter().enumerate() {
        if let Outcome::Finished { mean, .. } = trial.outcome
            && mean.is_finite()
            && best.is_none_or(|(_, highest)| mean > highest)
        {
            best = Some((number, mean));
        }
    }
    best.map(|(number, _)| number)
}
