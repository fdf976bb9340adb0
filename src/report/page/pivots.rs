//! Pivot tables as figures: a line for each row over the values of the axis.

use super::plane::{Plane, WIDTH, cut, range};
use crate::{
    drawing::{Anchor, Drawing, Ink, Mark, Point, line, words},
    model::{Cell, Pivot, Value},
};

/// The names of the rows, by the number of their color.
pub(super) fn labels(pivot: &Pivot) -> Vec<String> {
    let named = pivot.lines.iter().map(|line| {
        let names: Vec<&str> = line.names().map(String::as_str).collect();
        let shown: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
        shown.join(", ")
    });
    named.collect()
}

/// The means of each row by the values of the axis, in percent, with their intervals. None if there are fewer than two
/// values.
pub(super) fn figure(pivot: &Pivot) -> Option<Drawing> {
    const HEIGHT: f64 = 260.0;
    let lines: Vec<Vec<Mean>> = pivot.lines.iter().map(|line| means(&line.cells)).collect();
    let ends = lines
        .iter()
        .flatten()
        .flat_map(|mean| [mean.low, mean.high]);
    if pivot.values.len() < 2 {
        return None;
    }
    let last = pivot.values.len() as f64 - 1.0;
    let plane = Plane {
        x: (-0.3, last + 0.3),
        y: range(ends)?,
        left: 52.0,
        right: WIDTH - 12.0,
        top: 8.0,
        bottom: HEIGHT - 44.0,
    };
    let mut marks = plane.horizontal_grid();
    for (position, value) in pivot.values.iter().enumerate() {
        let (x, _) = plane.at(position as f64, plane.y.0);
        marks.push(words((x, plane.bottom + 17.0), Anchor::Around, &cut(value)));
    }
    let middle = 0.5 * (plane.left + plane.right);
    marks.push(words((middle, HEIGHT - 6.0), Anchor::Around, &pivot.axis));
    for (number, means) in lines.iter().enumerate() {
        // Rows beside each other, so that their intervals do not cover each other.
        let share = (number as f64 + 0.5) / lines.len() as f64 - 0.5;
        marks.extend(row(means, &plane, 0.3 * share, Ink::Series(number)));
    }
    Some(Drawing {
        width: WIDTH,
        height: HEIGHT,
        title: format!("{} by {}", pivot.metric.heading(), pivot.axis),
        marks,
    })
}

/// A mean in percent with the ends of its interval.
struct Mean {
    position: f64,
    mean: f64,
    low: f64,
    high: f64,
}

/// The means that were measured.
fn means(cells: &[Option<Cell>]) -> Vec<Mean> {
    let mut means = Vec::new();
    for (position, cell) in cells.iter().enumerate() {
        if let Some(Value::Measured(summary)) = cell.as_ref().map(|cell| &cell.value) {
            let half_width = summary.half_width.unwrap_or(0.0);
            means.push(Mean {
                position: position as f64,
                mean: 100.0 * summary.mean,
                low: 100.0 * (summary.mean - half_width),
                high: 100.0 * (summary.mean + half_width),
            });
        }
    }
    means
}

/// A line through the means of a row, an upright line for each interval and a dot for each mean.
fn row(means: &[Mean], plane: &Plane, aside: f64, ink: Ink) -> Vec<Mark> {
    let at = |mean: &Mean, value: f64| plane.at(mean.position + aside, value);
    let points: Vec<Point> = means.iter().map(|mean| at(mean, mean.mean)).collect();
    let mut marks = vec![line(&points, 2.0, ink)];
    for (mean, &point) in means.iter().zip(&points) {
        marks.push(line(&[at(mean, mean.low), at(mean, mean.high)], 1.0, ink));
        marks.push(Mark::Dot {
            at: point,
            radius: 3.5,
            ink,
            tip: format!("{:.2}", mean.mean),
        });
    }
    marks
}
