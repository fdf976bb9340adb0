//! Ranges of settings: which values a part accepts.

use std::ops::Bound;

use schemars::{Schema, transform::Transform};
use serde_json::{Map, Value};

/// An interval of numbers. Ends are written with [`above`], [`at_least`], [`Range::at_most`] and
/// [`Range::below`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    low: Bound<f64>,
    high: Bound<f64>,
}

/// Returns the range of numbers greater than `low`.
pub(crate) const fn above(low: f64) -> Range {
    Range {
        low: Bound::Excluded(low),
        high: Bound::Unbounded,
    }
}

/// Returns the range of numbers not less than `low`.
pub(crate) const fn at_least(low: f64) -> Range {
    Range {
        low: Bound::Included(low),
        high: Bound::Unbounded,
    }
}

impl Range {
    /// Returns this range without the numbers greater than `high`.
    pub(crate) const fn at_most(self, high: f64) -> Range {
        Range {
            high: Bound::Included(high),
            ..self
        }
    }

    /// Returns this range without `high` and the numbers greater than it.
    pub(crate) const fn below(self, high: f64) -> Range {
        Range {
            high: Bound::Excluded(high),
            ..self
        }
    }

    /// Checks that a number is in this range.
    fn check(&self, number: f64) -> Result<(), String> {
        if std::ops::RangeBounds::contains(&(self.low, self.high), &number) {
            Ok(())
        } else {
            Err(self.expected())
        }
    }

    /// Returns the message for a number that is out of this range.
    fn expected(&self) -> String {
        let low = match self.low {
            Bound::Included(low) => format!(" of at least {low}"),
            Bound::Excluded(low) => format!(" above {low}"),
            Bound::Unbounded => String::new(),
        };
        let high = match self.high {
            Bound::Included(high) => format!(" and at most {high}"),
            Bound::Excluded(high) => format!(" and below {high}"),
            Bound::Unbounded => String::new(),
        };
        format!("expected a number{low}{high}")
    }
}

/// Writes the range into the JSON Schema of a setting, or of the values of a list.
impl Transform for Range {
    fn transform(&mut self, schema: &mut Schema) {
        match schema.get_mut("items").and_then(Value::as_object_mut) {
            Some(items) => self.write(items),
            None => self.write(schema.ensure_object()),
        }
    }
}

impl Range {
    fn write(&self, schema: &mut Map<String, Value>) {
        let bounds = [
            (self.low, "minimum", "exclusiveMinimum"),
            (self.high, "maximum", "exclusiveMaximum"),
        ];
        for (bound, included, excluded) in bounds {
            match bound {
                Bound::Included(value) => schema.insert(included.to_owned(), value.into()),
                Bound::Excluded(value) => schema.insert(excluded.to_owned(), value.into()),
                Bound::Unbounded => None,
            };
        }
    }
}

/// The type of a setting.
pub trait Setting {
    /// Checks that the value is in all of these ranges.
    ///
    /// # Errors
    /// If it is not: the message says what is expected. Choices and switches are never out of range.
    fn check(&self, _ranges: &[Range]) -> Result<(), String> {
        Ok(())
    }
}

impl Setting for f64 {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        if !self.is_finite() {
            return Err("expected a finite number".to_owned());
        }
        ranges.iter().try_for_each(|range| range.check(*self))
    }
}

impl Setting for u32 {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        f64::from(*self).check(ranges)
    }
}

impl Setting for u64 {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        (*self as f64).check(ranges)
    }
}

impl Setting for bool {}

/// A list has at least one value, and each is in the ranges.
impl<T: Setting> Setting for Vec<T> {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        if self.is_empty() {
            return Err("expected at least one value".to_owned());
        }
        self.iter().try_for_each(|value| value.check(ranges))
    }
}

/// An absent setting is never out of range.
impl<T: Setting> Setting for Option<T> {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        self.iter().try_for_each(|value| value.check(ranges))
    }
}

/// Two numbers are an interval: the first is not greater than the second.
impl Setting for [f64; 2] {
    fn check(&self, ranges: &[Range]) -> Result<(), String> {
        let [low, high] = self;
        low.check(ranges)?;
        high.check(ranges)?;
        if low > high {
            return Err(format!(
                "no number is in the range from {low} to {high}: write the smaller one first"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_range_count_as_written() {
        let share = [above(0.0).at_most(1.0)];
        assert!(1.0.check(&share).is_ok() && 0.0.check(&share).is_err());
        let degrees = [at_least(0.0).below(90.0)];
        assert!(0.0.check(&degrees).is_ok() && 90.0.check(&degrees).is_err());
        assert_eq!(
            2.0.check(&share).unwrap_err(),
            "expected a number above 0 and at most 1"
        );
    }

    #[test]
    fn numbers_are_finite() {
        for number in [f64::NAN, f64::INFINITY] {
            assert!(number.check(&[]).is_err() && number.check(&[above(0.0)]).is_err());
            assert!([0.0, number].check(&[]).is_err());
        }
    }

    #[test]
    fn lists_and_intervals_are_not_empty() {
        assert!(Vec::<u32>::new().check(&[]).is_err());
        assert!(vec![1_u32, 0].check(&[above(0.0)]).is_err());
        assert!([2.0, 1.0].check(&[]).is_err() && [1.0, 1.0].check(&[]).is_ok());
        assert!(None::<f64>.check(&[above(0.0)]).is_ok());
    }
}
