//! The plane of a figure: scales, grids and names beside them.

use crate::drawing::{Anchor, Ink, Mark, Point, line, words};

pub(super) const WIDTH: f64 = 480.0;
/// Names longer than this are cut.
const LONGEST: usize = 24;

/// A plane with a scale on each side: where values are on a sheet.
pub(super) struct Plane {
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plane {
    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        let share = |(low, high): (f64, f64), value: f64| (value - low) / (high - low);
        (
            self.left + (self.right - self.left) * share(self.x, x),
            self.bottom + (self.top - self.bottom) * share(self.y, y),
        )
    }

    /// Lines at round values, with the values below them.
    pub(super) fn vertical_grid(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (value, label) in ticks(self.x, 5) {
            let (x, _) = self.at(value, self.y.0);
            marks.push(line(&[(x, self.top), (x, self.bottom)], 1.0, Ink::Faint));
            marks.push(words((x, self.bottom + 17.0), Anchor::Around, &label));
        }
        marks
    }

    /// Lines at round values, with the values before them.
    pub(super) fn horizontal_grid(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (value, label) in ticks(self.y, 4) {
            let (_, y) = self.at(self.x.0, value);
            marks.push(line(&[(self.left, y), (self.right, y)], 1.0, Ink::Faint));
            marks.push(words((self.left - 7.0, y + 4.0), Anchor::Before, &label));
        }
        marks
    }
}

/// About `count` round values in a range, each as it is printed.
fn ticks((low, high): (f64, f64), count: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / count as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let digits = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let values = (first..=last).map(|number| number as f64 * step);
    values
        .map(|value| (value, format!("{value:.digits$}")))
        .collect()
}

/// The range of some values with a margin; a range of some width if they are all equal.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    let margin = match high - low {
        width if width > 0.0 => 0.05 * width,
        _ => (0.05 * high.abs()).max(1e-3),
    };
    (low <= high).then_some((low - margin, high + margin))
}

pub(super) fn cut(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let kept: String = name.chars().take(LONGEST - 1).collect();
    format!("{}…", kept.trim_end())
}

/// The end of a key, which tells more than its beginning.
pub(super) fn ending(key: &str) -> String {
    let length = key.chars().count();
    if length <= LONGEST {
        return key.to_owned();
    }
    let kept: String = key.chars().skip(length - (LONGEST - 1)).collect();
    format!("…{kept}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |range| -> Vec<String> {
            ticks(range, 5)
                .into_iter()
                .map(|(_, label)| label)
                .collect()
        };
        assert_eq!(labels((28.2, 35.0)), ["30", "32", "34"]);
        assert_eq!(
            labels((0.0, 1.0)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels((-0.05, 0.05)),
            ["-0.04", "-0.02", "0.00", "0.02", "0.04"]
        );
    }

    #[test]
    fn equal_values_have_a_range() {
        assert_eq!(range([2.0, 2.0].into_iter()), Some((1.9, 2.1)));
        assert_eq!(range([f64::NAN].into_iter()), None);
    }
}
