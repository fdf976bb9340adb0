//! The space of a search, and its coordinates.
//!
//! A [`Point`] holds values in the user's units. Strategies work on [`Unit`] coordinates, one for each dimension:
//! a float lies between 0 and 1 along its scale, an integer or a grid value at the middle of one of as many equal
//! parts, a choice likewise (without meaning to its order), and a dimension that is not active has none.

use std::{collections::BTreeMap, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::Known;

/// A value of a dimension, as in the sweep file.
pub type Value = serde_json::Value;

/// The values of the active dimensions, by name.
pub type Point = BTreeMap<String, Value>;

/// The coordinates of a point, in the order of the dimensions.
pub(super) type Unit = Vec<Option<f64>>;

/// What is searched: named dimensions, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space {
    /// The dimensions. A condition refers to an earlier one.
    pub dimensions: Vec<Dimension>,
}

/// One searched value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dimension {
    /// Its key in the sweep file.
    pub name: String,
    /// Where its values come from.
    pub range: Range,
    /// When it matters; always, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Condition>,
}

/// A dimension matters only where an earlier one has this value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The earlier dimension, a choice or a grid.
    pub name: String,
    /// One of its values.
    pub is: Value,
}

/// Where the values of a dimension come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Range {
    /// A float between two.
    Uniform([f64; 2]),
    /// A float between two positive ones, its logarithm uniform.
    LogUniform([f64; 2]),
    /// A whole number between two, both included.
    Int([i64; 2]),
    /// A whole number between two positive ones, both included, its logarithm about uniform.
    LogInt([i64; 2]),
    /// One of these, in an order that means something: `[8, 16, 32]`.
    Grid(Vec<Value>),
    /// One of these, in no order.
    Choice(Vec<Value>),
}

/// Why a space makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// Nothing to search.
    #[error("nothing is searched: give a value of a method a range, `{{ uniform = [a, b] }}`")]
    Empty,
    /// Two dimensions have one name.
    #[error("`{0}` is searched twice")]
    Twice(String),
    /// The bounds are not in order, or not numbers.
    #[error("`{name}`: the lower bound {low} must be a number below the upper bound {high}")]
    Bounds {
        /// The dimension.
        name: String,
        /// Its lower bound.
        low: f64,
        /// Its upper bound.
        high: f64,
    },
    /// A logarithmic range touches zero.
    #[error("`{name}`: the lower bound of a logarithmic range must be above 0, not {low}")]
    Logarithm {
        /// The dimension.
        name: String,
        /// Its lower bound.
        low: f64,
    },
    /// A list is empty or names a value twice.
    #[error("`{0}`: list at least one value, and each value once")]
    Values(String),
    /// A condition refers to nothing.
    #[error(
        "`{name}` depends on `{on}`, which is not a grid or choice above it with the value {is}"
    )]
    Condition {
        /// The dimension.
        name: String,
        /// What its condition refers to.
        on: String,
        /// The value that it should have.
        is: Value,
    },
}

/// A value of the best point that is close to a bound: the range was perhaps too narrow.
#[derive(Clone, Debug, PartialEq)]
pub struct AtBound {
    /// The dimension.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The bound that it is close to.
    pub bound: Value,
    /// Which of the two.
    pub side: Side,
}

/// A side of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The lower bound.
    Lower,
    /// The upper bound.
    Upper,
}

impl Range {
    /// How many values there are; none where they are not counted.
    pub(super) fn levels(&self) -> Option<usize> {
        match self {
            Range::Uniform(_) | Range::LogUniform(_) => None,
            Range::Int([low, high]) | Range::LogInt([low, high]) => Some(
                usize::try_from(high.abs_diff(*low))
                    .map_or(usize::MAX, |steps| steps.saturating_add(1)),
            ),
            Range::Grid(values) | Range::Choice(values) => Some(values.len()),
        }
    }

    pub(super) fn is_choice(&self) -> bool {
        matches!(self, Range::Choice(_))
    }

    fn bounds(&self) -> Option<(f64, f64, bool)> {
        match self {
            Range::Uniform([low, high]) => Some((*low, *high, false)),
            Range::LogUniform([low, high]) => Some((*low, *high, true)),
            Range::Int([low, high]) => Some((*low as f64, *high as f64, false)),
            Range::LogInt([low, high]) => Some((*low as f64, *high as f64, true)),
            Range::Grid(_) | Range::Choice(_) => None,
        }
    }

    /// From a coordinate to a value.
    fn value(&self, unit: f64) -> Value {
        let between = |low: f64, high: f64| low + (high - low) * unit;
        match self {
            Range::Uniform([low, high]) => rounded(between(*low, *high), *low, *high),
            Range::LogUniform([low, high]) => rounded(
                libm::exp(between(libm::log(*low), libm::log(*high))),
                *low,
                *high,
            ),
            Range::Int([low, high]) => {
                whole(between(*low as f64 - 0.5, *high as f64 + 0.5), *low, *high)
            }
            Range::LogInt([low, high]) => {
                let (first, last) = (libm::log(*low as f64 - 0.5), libm::log(*high as f64 + 0.5));
                whole(libm::exp(between(first, last)), *low, *high)
            }
            Range::Grid(values) | Range::Choice(values) => {
                values[((unit * values.len() as f64) as usize).min(values.len() - 1)].clone()
            }
        }
    }

    /// From a value to its coordinate; beyond 0 and 1 outside the bounds. None if it has none.
    fn unit(&self, value: &Value) -> Option<f64> {
        let within = |low: f64, high: f64, value: f64| (value - low) / (high - low);
        let unit = match self {
            Range::Uniform([low, high]) => within(*low, *high, value.as_f64()?),
            Range::LogUniform([low, high]) => within(
                libm::log(*low),
                libm::log(*high),
                libm::log(value.as_f64()?),
            ),
            Range::Int([low, high]) => {
                within(*low as f64 - 0.5, *high as f64 + 0.5, value.as_f64()?)
            }
            Range::LogInt([low, high]) => within(
                libm::log(*low as f64 - 0.5),
                libm::log(*high as f64 + 0.5),
                libm::log(value.as_f64()?),
            ),
            Range::Grid(values) | Range::Choice(values) => {
                let place = values.iter().position(|listed| same(listed, value))?;
                (place as f64 + 0.5) / values.len() as f64
            }
        };
        unit.is_finite().then_some(unit)
    }
}

/// A coordinate that no dimension goes beyond far enough to make distances meaningless.
const OUTSIDE: f64 = 2.0;

impl Space {
    /// The names of all dimensions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.dimensions
            .iter()
            .map(|dimension| dimension.name.as_str())
    }

    pub(super) fn check(&self) -> Result<(), SpaceError> {
        if self.dimensions.is_empty() {
            return Err(SpaceError::Empty);
        }
        for (place, dimension) in self.dimensions.iter().enumerate() {
            let above = &self.dimensions[..place];
            if above.iter().any(|other| other.name == dimension.name) {
                return Err(SpaceError::Twice(dimension.name.clone()));
            }
            dimension.check()?;
            if let Some(condition) = &dimension.when
                && !above.iter().any(|other| condition.can_hold(other))
            {
                let Condition { name: on, is } = condition.clone();
                return Err(SpaceError::Condition {
                    name: dimension.name.clone(),
                    on,
                    is,
                });
            }
        }
        Ok(())
    }

    /// The coordinates with these numbers, each at the middle of its part where there are parts.
    pub(super) fn unit(&self, mut number: impl FnMut(usize) -> f64) -> Unit {
        // Every dimension takes its number, active or not, so that it always gets the same one.
        let mut unit: Unit = (0..self.dimensions.len())
            .map(|place| Some(self.snap(place, number(place))))
            .collect();
        self.deactivate(&mut unit);
        unit
    }

    /// This coordinate, or the middle of the part that it lies in.
    pub(super) fn snap(&self, place: usize, unit: f64) -> f64 {
        match self.dimensions[place].range.levels() {
            None => unit,
            Some(levels) => {
                let part = (unit * levels as f64)
                    .floor()
                    .clamp(0.0, levels as f64 - 1.0);
                (part + 0.5) / levels as f64
            }
        }
    }

    /// Takes their coordinate from the dimensions that do not matter, and gives 1/2 to those that now do.
    pub(super) fn deactivate(&self, unit: &mut Unit) {
        for (place, dimension) in self.dimensions.iter().enumerate() {
            let Some(condition) = &dimension.when else {
                continue;
            };
            let on = self.dimensions[..place]
                .iter()
                .position(|other| other.name == condition.name);
            let active = on.is_some_and(|on| {
                unit[on].is_some_and(|at| same(&self.dimensions[on].range.value(at), &condition.is))
            });
            unit[place] = if active {
                unit[place].or(Some(self.snap(place, 0.5)))
            } else {
                None
            };
        }
    }

    pub(super) fn decode(&self, unit: &Unit) -> Point {
        let value = |(dimension, unit): (&Dimension, &Option<f64>)| {
            Some((dimension.name.clone(), dimension.range.value((*unit)?)))
        };
        self.dimensions.iter().zip(unit).filter_map(value).collect()
    }

    /// The coordinates of a point; none if a value that matters is absent or cannot be expressed.
    pub(super) fn encode(&self, point: &Point) -> Option<Unit> {
        let mut unit = Unit::new();
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

    /// The first of a hundred proposals that is none of the known points, or the last of them.
    pub(super) fn new_unit(&self, known: &[Known], mut propose: impl FnMut() -> Unit) -> Unit {
        let mut unit = propose();
        for _ in 0..100 {
            if !self.is_known(known, &unit) {
                break;
            }
            unit = propose();
        }
        unit
    }

    pub(super) fn is_known(&self, known: &[Known], unit: &Unit) -> bool {
        let point = self.decode(unit);
        known.iter().any(|known| self.decode(&known.unit) == point)
    }

    /// How many combinations of values there are.
    pub(super) fn grid_size(&self) -> usize {
        // With conditions the combinations must be walked; without, they are a product.
        if self
            .dimensions
            .iter()
            .all(|dimension| dimension.when.is_none())
        {
            let levels = self
                .dimensions
                .iter()
                .map(|dimension| dimension.range.levels().unwrap_or(usize::MAX));
            return levels.fold(1, usize::saturating_mul);
        }
        let mut size = 0;
        let _ = self.walk(&mut Unit::new(), &mut |_| {
            size += 1;
            ControlFlow::Continue(())
        });
        size
    }

    /// The combination with this number, the last dimension fastest.
    pub(super) fn grid_point(&self, number: usize) -> Point {
        let (mut place, mut found) = (0, Point::new());
        let _ = self.walk(&mut Unit::new(), &mut |unit| {
            if place == number {
                found = self.decode(unit);
                return ControlFlow::Break(());
            }
            place += 1;
            ControlFlow::Continue(())
        });
        found
    }

    /// Visits combinations in order until the visitor has enough.
    fn walk(
        &self,
        prefix: &mut Unit,
        visit: &mut impl FnMut(&Unit) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let place = prefix.len();
        let Some(dimension) = self.dimensions.get(place) else {
            return visit(prefix);
        };
        let mut padded = prefix.clone();
        padded.resize(self.dimensions.len(), Some(0.5));
        self.deactivate(&mut padded);
        let levels = padded[place].and_then(|_| dimension.range.levels());
        for level in 0..levels.unwrap_or(1) {
            prefix.push(levels.map(|levels| (level as f64 + 0.5) / levels as f64));
            let flow = self.walk(prefix, visit);
            prefix.pop();
            flow?;
        }
        ControlFlow::Continue(())
    }

    /// The values of `point` within `share` of the width of their range, along its scale, of a bound.
    ///
    /// Grids count at their first and last value, choices never.
    pub fn at_bounds(&self, point: &Point, share: f64) -> Vec<AtBound> {
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
            Range::Grid(values) | Range::Choice(values) => {
                let repeated = (1..values.len())
                    .any(|place| values[..place].iter().any(|v| same(v, &values[place])));
                if values.is_empty() || repeated {
                    Err(SpaceError::Values(name()))
                } else {
                    Ok(())
                }
            }
            Range::Uniform(_) | Range::LogUniform(_) | Range::Int(_) | Range::LogInt(_) => {
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
                    Err(SpaceError::Logarithm { name: name(), low })
                } else {
                    Ok(())
                }
            }
        }
    }

    fn at_bound(&self, value: &Value, share: f64) -> Option<AtBound> {
        let (low, high) = match &self.range {
            Range::Choice(_) => return None,
            Range::Grid(values) if values.len() < 2 => return None,
            Range::Grid(values) => (values.first()?.clone(), values.last()?.clone()),
            Range::Int([low, high]) | Range::LogInt([low, high]) => ((*low).into(), (*high).into()),
            Range::Uniform([low, high]) | Range::LogUniform([low, high]) => {
                ((*low).into(), (*high).into())
            }
        };
        let (first, last, at) = (
            self.range.unit(&low)?,
            self.range.unit(&high)?,
            self.range.unit(value)?,
        );
        let at = (at - first) / (last - first);
        let (side, bound) = if at <= share {
            (Side::Lower, low)
        } else if at >= 1.0 - share {
            (Side::Upper, high)
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

impl Condition {
    fn can_hold(&self, on: &Dimension) -> bool {
        match &on.range {
            Range::Grid(values) | Range::Choice(values) => {
                on.name == self.name && values.iter().any(|value| same(value, &self.is))
            }
            Range::Uniform(_) | Range::LogUniform(_) | Range::Int(_) | Range::LogInt(_) => false,
        }
    }
}

/// Whether two values are the same; `1` and `1.0` are.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        (Some(_), None) | (None, Some(_)) => false,
        (None, None) => a == b,
    }
}

/// A number with six significant digits, within the bounds.
fn rounded(value: f64, low: f64, high: f64) -> Value {
    let short: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    short.clamp(low, high).into()
}

fn whole(value: f64, low: i64, high: i64) -> Value {
    ((value + 0.5).floor() as i64).clamp(low, high).into()
}
