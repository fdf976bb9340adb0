//! The search space and its coordinates.
//!
//! A [`TrialPoint`] holds values in the user's units. Strategies work with a [`UnitPoint`], which
//! has a coordinate for each dimension: a float is mapped to [0, 1] along its scale; integers, grid
//! values and choices divide [0, 1] into equal parts and are mapped to their middles; an inactive
//! dimension has no coordinate.

use std::{collections::BTreeMap, ops::ControlFlow};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Known;

/// The values of the active dimensions, by name.
pub type TrialPoint = BTreeMap<String, Value>;

/// The coordinates of a point, in order of the dimensions; none where a dimension is inactive.
pub(super) type UnitPoint = Vec<Option<f64>>;

/// Named dimensions, in order of the sweep file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space {
    /// The dimensions. A condition refers to an earlier one.
    pub dimensions: Vec<Dimension>,
}

/// A searched value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// Its key in the sweep file.
    pub name: String,
    /// Its values.
    pub range: SearchRange,
    /// When it is active; always, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<ActiveIf>,
}

/// A dimension is active only where an earlier one has this value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActiveIf {
    /// The earlier dimension, a choice or a grid.
    pub name: String,
    /// One of its values.
    pub is: Value,
}

/// The values of a dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SearchRange {
    /// A float between two bounds.
    Uniform([f64; 2]),
    /// A float between two positive bounds, uniform in its logarithm.
    LogUniform([f64; 2]),
    /// An integer between two bounds, both included.
    Int([i64; 2]),
    /// An integer between two positive bounds, both included, about uniform in its logarithm.
    LogInt([i64; 2]),
    /// One of these values, whose order is meaningful: `[8, 16, 32]`.
    Grid(Vec<Value>),
    /// One of these values, in no order.
    Choice(Vec<Value>),
}

/// Why a space is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// There are no dimensions.
    #[error("nothing is searched: give a value of a method a range, `{{ uniform = [a, b] }}`")]
    Empty,
    /// Two dimensions have the same name.
    #[error("`{0}` is searched twice")]
    Twice(String),
    /// The bounds are not in ascending order, or not finite.
    #[error("`{name}`: the lower bound {low} must be a number below the upper bound {high}")]
    Bounds {
        /// The dimension.
        name: String,
        /// Its lower bound.
        low: f64,
        /// Its upper bound.
        high: f64,
    },
    /// The lower bound of a logarithmic range is not positive.
    #[error("`{name}`: the lower bound of a logarithmic range must be above 0, not {low}")]
    Logarithm {
        /// The dimension.
        name: String,
        /// Its lower bound.
        low: f64,
    },
    /// The bounds are so close that their values have the same digits.
    #[error(
        "`{name}`: searched numbers have {DIGITS} digits, and there are fewer than {FEWEST} of them from {low} to {high}"
    )]
    Narrow {
        /// The dimension.
        name: String,
        /// Its lower bound.
        low: f64,
        /// Its upper bound.
        high: f64,
    },
    /// A list is empty or contains a value twice.
    #[error("`{0}`: list at least one value, and each value once")]
    Values(String),
    /// A condition refers to no earlier grid or choice with this value.
    #[error(
        "`{name}` depends on `{on}`, which is not a grid or choice above it with the value {is}"
    )]
    Condition {
        /// The dimension.
        name: String,
        /// The dimension of its condition.
        on: String,
        /// The value of its condition.
        is: Value,
    },
}

/// A selected value close to a bound: the range may be too narrow.
#[derive(Clone, Debug, PartialEq)]
pub struct AtBound {
    /// The dimension.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The bound.
    pub bound: Value,
    /// Which bound.
    pub side: BoundSide,
}

/// Lower or upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundSide {
    /// The lower bound.
    Lower,
    /// The upper bound.
    Upper,
}

impl SearchRange {
    /// Returns the number of values; none for floats.
    pub(super) fn levels(&self) -> Option<usize> {
        match self {
            SearchRange::Uniform(_) | SearchRange::LogUniform(_) => None,
            SearchRange::Int([low, high]) | SearchRange::LogInt([low, high]) => Some(
                usize::try_from(high.abs_diff(*low))
                    .map_or(usize::MAX, |steps| steps.saturating_add(1)),
            ),
            SearchRange::Grid(values) | SearchRange::Choice(values) => Some(values.len()),
        }
    }

    pub(super) fn is_choice(&self) -> bool {
        matches!(self, SearchRange::Choice(_))
    }

    fn bounds(&self) -> Option<(f64, f64, bool)> {
        match self {
            SearchRange::Uniform([low, high]) => Some((*low, *high, false)),
            SearchRange::LogUniform([low, high]) => Some((*low, *high, true)),
            SearchRange::Int([low, high]) => Some((*low as f64, *high as f64, false)),
            SearchRange::LogInt([low, high]) => Some((*low as f64, *high as f64, true)),
            SearchRange::Grid(_) | SearchRange::Choice(_) => None,
        }
    }

    /// Returns the value at a coordinate.
    fn value(&self, unit: f64) -> Value {
        let between = |low: f64, high: f64| low + (high - low) * unit;
        match self {
            SearchRange::Uniform([low, high]) => rounded(between(*low, *high), *low, *high),
            SearchRange::LogUniform([low, high]) => rounded(
                libm::exp(between(libm::log(*low), libm::log(*high))),
                *low,
                *high,
            ),
            SearchRange::Int([low, high]) => {
                whole(between(*low as f64 - 0.5, *high as f64 + 0.5), *low, *high)
            }
            SearchRange::LogInt([low, high]) => {
                let (first, last) = (libm::log(*low as f64 - 0.5), libm::log(*high as f64 + 0.5));
                whole(libm::exp(between(first, last)), *low, *high)
            }
            SearchRange::Grid(values) | SearchRange::Choice(values) => {
                values[((unit * values.len() as f64) as usize).min(values.len() - 1)].clone()
            }
        }
    }

    /// Returns the coordinate of a value, outside [0, 1] if the value is out of bounds. None if it
    /// has no coordinate.
    fn unit(&self, value: &Value) -> Option<f64> {
        let within = |low: f64, high: f64, value: f64| (value - low) / (high - low);
        let unit = match self {
            SearchRange::Uniform([low, high]) => within(*low, *high, value.as_f64()?),
            SearchRange::LogUniform([low, high]) => within(
                libm::log(*low),
                libm::log(*high),
                libm::log(value.as_f64()?),
            ),
            SearchRange::Int([low, high]) => {
                within(*low as f64 - 0.5, *high as f64 + 0.5, value.as_f64()?)
            }
            SearchRange::LogInt([low, high]) => within(
                libm::log(*low as f64 - 0.5),
                libm::log(*high as f64 + 0.5),
                libm::log(value.as_f64()?),
            ),
            SearchRange::Grid(values) | SearchRange::Choice(values) => {
                let index = values.iter().position(|listed| same(listed, value))?;
                (index as f64 + 0.5) / values.len() as f64
            }
        };
        unit.is_finite().then_some(unit)
    }
}

/// Largest distance of a known coordinate from [0, 1]. Beyond it, distances are meaningless.
const OUTSIDE: f64 = 2.0;

impl Space {
    /// Returns the names of all dimensions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.dimensions
            .iter()
            .map(|dimension| dimension.name.as_str())
    }

    /// Returns the first dimension whose values cannot be listed.
    pub(super) fn first_continuous(&self) -> Option<&Dimension> {
        self.dimensions
            .iter()
            .find(|dimension| dimension.range.levels().is_none())
    }

    pub(super) fn check(&self) -> Result<(), SpaceError> {
        if self.dimensions.is_empty() {
            return Err(SpaceError::Empty);
        }
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let above = &self.dimensions[..index];
            if above.iter().any(|other| other.name == dimension.name) {
                return Err(SpaceError::Twice(dimension.name.clone()));
            }
            dimension.check()?;
            if let Some(condition) = &dimension.when
                && !above.iter().any(|other| condition.can_hold(other))
            {
                let ActiveIf { name: on, is } = condition.clone();
                return Err(SpaceError::Condition {
                    name: dimension.name.clone(),
                    on,
                    is,
                });
            }
        }
        Ok(())
    }

    /// Returns the point with these coordinates, each moved to the middle of its part.
    pub(super) fn unit(&self, mut number: impl FnMut(usize) -> f64) -> UnitPoint {
        // Inactive dimensions take a number too, so that every dimension always gets the same one.
        let mut unit: UnitPoint = (0..self.dimensions.len())
            .map(|index| Some(self.snap(index, number(index))))
            .collect();
        self.deactivate(&mut unit);
        unit
    }

    /// Returns the middle of the part that contains the coordinate, or the coordinate of a float.
    pub(super) fn snap(&self, index: usize, unit: f64) -> f64 {
        match self.dimensions[index].range.levels() {
            None => unit,
            Some(levels) => {
                let part = (unit * levels as f64)
                    .floor()
                    .clamp(0.0, levels as f64 - 1.0);
                (part + 0.5) / levels as f64
            }
        }
    }

    /// Removes the coordinates of inactive dimensions; sets those of newly active ones to 1/2.
    pub(super) fn deactivate(&self, unit: &mut UnitPoint) {
        for (index, dimension) in self.dimensions.iter().enumerate() {
            let Some(condition) = &dimension.when else {
                continue;
            };
            let on = self.dimensions[..index]
                .iter()
                .position(|other| other.name == condition.name);
            let active = on.is_some_and(|on| {
                unit[on].is_some_and(|at| same(&self.dimensions[on].range.value(at), &condition.is))
            });
            unit[index] = if active {
                unit[index].or(Some(self.snap(index, 0.5)))
            } else {
                None
            };
        }
    }

    pub(super) fn decode(&self, unit: &UnitPoint) -> TrialPoint {
        let value = |(dimension, unit): (&Dimension, &Option<f64>)| {
            Some((dimension.name.clone(), dimension.range.value((*unit)?)))
        };
        self.dimensions.iter().zip(unit).filter_map(value).collect()
    }

    /// Returns the coordinates of a point; none if an active value is absent or has no coordinate.
    pub(super) fn encode(&self, point: &TrialPoint) -> Option<UnitPoint> {
        let mut unit = UnitPoint::new();
        for dimension in &self.dimensions {
            let active = dimension.when.as_ref().is_none_or(|condition| {
                point
                    .get(&condition.name)
                    .is_some_and(|value| same(value, &condition.is))
            });
            let at = if active {
                Some(dimension.range.unit(point.get(&dimension.name)?)?)
            } else {
                None
            };
            if at.is_some_and(|at| !(-OUTSIDE..=1.0 + OUTSIDE).contains(&at)) {
                return None;
            }
            unit.push(at);
        }
        Some(unit)
    }

    /// Returns the first of a hundred proposals that is not a known point, or the last proposal.
    pub(super) fn new_unit(
        &self,
        known: &[Known],
        mut propose: impl FnMut() -> UnitPoint,
    ) -> UnitPoint {
        let mut unit = propose();
        for _ in 0..100 {
            if !self.is_known(known, &unit) {
                break;
            }
            unit = propose();
        }
        unit
    }

    pub(super) fn is_known(&self, known: &[Known], unit: &UnitPoint) -> bool {
        let point = self.decode(unit);
        known.iter().any(|known| self.decode(&known.unit) == point)
    }

    /// Returns the number of combinations of values, or `most` if there are more.
    pub(super) fn grid_size(&self, most: usize) -> usize {
        // Without conditions it is a product; with conditions the combinations are counted.
        if self
            .dimensions
            .iter()
            .all(|dimension| dimension.when.is_none())
        {
            let levels = self
                .dimensions
                .iter()
                .map(|dimension| dimension.range.levels().unwrap_or(usize::MAX));
            return levels.fold(1, usize::saturating_mul).min(most);
        }
        let mut size = 0;
        let _ = self.walk(&mut UnitPoint::new(), &mut |_| {
            size += 1;
            match size < most {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        size
    }

    /// Returns the combination with this number; the last dimension varies fastest.
    pub(super) fn grid_point(&self, number: usize) -> TrialPoint {
        let mut index = 0;
        let mut found = TrialPoint::new();
        let _ = self.walk(&mut UnitPoint::new(), &mut |unit| {
            if index == number {
                found = self.decode(unit);
                return ControlFlow::Break(());
            }
            index += 1;
            ControlFlow::Continue(())
        });
        found
    }

    /// Visits combinations in order until `visit` breaks.
    fn walk(
        &self,
        prefix: &mut UnitPoint,
        visit: &mut impl FnMut(&UnitPoint) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let index = prefix.len();
        let Some(dimension) = self.dimensions.get(index) else {
            return visit(prefix);
        };
        let mut padded = prefix.clone();
        padded.resize(self.dimensions.len(), Some(0.5));
        self.deactivate(&mut padded);
        let levels = padded[index].and_then(|_| dimension.range.levels());
        for level in 0..levels.unwrap_or(1) {
            prefix.push(levels.map(|levels| (level as f64 + 0.5) / levels as f64));
            let flow = self.walk(prefix, visit);
            prefix.pop();
            flow?;
        }
        ControlFlow::Continue(())
    }

    /// Returns the values of `point` that are near a bound: within `share` of the width of their
    /// range, along its scale. A grid is near at its first and last value, a choice never.
    pub fn at_bounds(&self, point: &TrialPoint, share: f64) -> Vec<AtBound> {
        self.dimensions
            .iter()
            .filter_map(|dimension| dimension.at_bound(point.get(&dimension.name)?, share))
            .collect()
    }
}

impl Dimension {
    fn check(&self) -> Result<(), SpaceError> {
        let name = || self.name.clone();
        match &self.range {
            SearchRange::Grid(values) | SearchRange::Choice(values) => {
                let repeated = (1..values.len())
                    .any(|index| values[..index].iter().any(|v| same(v, &values[index])));
                if values.is_empty() || repeated {
                    Err(SpaceError::Values(name()))
                } else {
                    Ok(())
                }
            }
            SearchRange::Uniform(_)
            | SearchRange::LogUniform(_)
            | SearchRange::Int(_)
            | SearchRange::LogInt(_) => {
                let Some((low, high, logarithmic)) = self.range.bounds() else {
                    return Ok(());
                };
                if !(low < high && (high - low).is_finite()) {
                    return Err(SpaceError::Bounds {
                        name: name(),
                        low,
                        high,
                    });
                }
                if logarithmic && low <= 0.0 {
                    return Err(SpaceError::Logarithm { name: name(), low });
                }
                if self.range.levels().is_none() && is_narrow(low, high) {
                    return Err(SpaceError::Narrow {
                        name: name(),
                        low,
                        high,
                    });
                }
                Ok(())
            }
        }
    }

    /// Returns the lowest and the highest value; none for a choice, and if there is only one value.
    pub fn bounds(&self) -> Option<[Value; 2]> {
        match &self.range {
            SearchRange::Choice(_) => None,
            SearchRange::Grid(values) if values.len() < 2 => None,
            SearchRange::Grid(values) => Some([values.first()?.clone(), values.last()?.clone()]),
            SearchRange::Int(bounds) | SearchRange::LogInt(bounds) => Some(bounds.map(Value::from)),
            SearchRange::Uniform(bounds) | SearchRange::LogUniform(bounds) => {
                Some(bounds.map(Value::from))
            }
        }
    }

    /// Returns where a value is between the bounds, from 0 to 1 along the scale of the range.
    pub fn between_bounds(&self, value: &Value) -> Option<f64> {
        let [low, high] = self.bounds()?;
        let [first, last] = [self.range.unit(&low)?, self.range.unit(&high)?];
        Some((self.range.unit(value)? - first) / (last - first))
    }

    fn at_bound(&self, value: &Value, share: f64) -> Option<AtBound> {
        let [low, high] = self.bounds()?;
        let at = self.between_bounds(value)?;
        let (side, bound) = if at <= share {
            (BoundSide::Lower, low)
        } else if at >= 1.0 - share {
            (BoundSide::Upper, high)
        } else {
            return None;
        };
        Some(AtBound {
            name: self.name.clone(),
            value: value.clone(),
            bound,
            side,
        })
    }
}

impl ActiveIf {
    fn can_hold(&self, on: &Dimension) -> bool {
        match &on.range {
            SearchRange::Grid(values) | SearchRange::Choice(values) => {
                on.name == self.name && values.iter().any(|value| same(value, &self.is))
            }
            SearchRange::Uniform(_)
            | SearchRange::LogUniform(_)
            | SearchRange::Int(_)
            | SearchRange::LogInt(_) => false,
        }
    }
}

/// True if two values are equal; `1` equals `1.0`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => a == b,
    }
}

/// Significant digits of a searched number.
const DIGITS: usize = 6;

/// Fewer numbers than this are no range.
const FEWEST: f64 = 10.0;

/// True if there are fewer than [`FEWEST`] numbers of [`DIGITS`] digits between two bounds.
fn is_narrow(low: f64, high: f64) -> bool {
    let largest = low.abs().max(high.abs());
    let step = libm::pow(
        10.0,
        libm::floor(libm::log10(largest)) + 1.0 - DIGITS as f64,
    );
    (high - low) / step < FEWEST
}

/// Returns the number with six significant digits, within the bounds.
fn rounded(value: f64, low: f64, high: f64) -> Value {
    let short: f64 = format!("{value:.0$e}", DIGITS - 1).parse().unwrap_or(value);
    short.clamp(low, high).into()
}

fn whole(value: f64, low: i64, high: i64) -> Value {
    ((value + 0.5).floor() as i64).clamp(low, high).into()
}
