//! Searches: scores by trial and by value, the importance of values, and where they are between their bounds.

use std::collections::BTreeSet;

use super::{
    Search, SearchTrial, SearchedRange,
    plane::{Plane, WIDTH, ending, range},
};
use crate::drawing::{Anchor, Drawing, Ink, Mark, Point, line, words};

/// The scores of a search by trial, and by each searched value.
pub(super) fn search(search: &Search) -> Vec<(String, Drawing)> {
    let metric = search.metric.heading();
    let by_trial: Vec<Point> = search
        .trials
        .iter()
        .map(|trial| (trial.number as f64, 100.0 * trial.score))
        .collect();
    let mut figures = Vec::new();
    let drawing = of_trials(&by_trial, true);
    figures.extend(drawing.map(|drawing| (format!("{metric} in percent by trial"), drawing)));
    let keys: BTreeSet<&str> = search
        .trials
        .iter()
        .flat_map(|trial| &trial.values)
        .map(|(key, _)| key.as_str())
        .collect();
    for key in keys {
        let by_value: Vec<Point> = search
            .trials
            .iter()
            .filter_map(|trial| by_value(trial, key))
            .collect();
        let drawing = of_trials(&by_value, false);
        figures.extend(drawing.map(|drawing| (format!("{metric} in percent by {key}"), drawing)));
    }
    if !search.importances.is_empty() {
        let caption = format!(
            "Importance for being among the best {} of {} trials, in percent (PED-ANOVA)",
            search.best,
            search.trials.len()
        );
        figures.push((caption, of_importances(&search.importances)));
    }
    if !search.ranges.is_empty() {
        let caption = "Values between their bounds".to_owned();
        figures.push((caption, of_ranges(&search.ranges)));
    }
    figures
}

/// A bar for each searched value, below each other.
fn of_importances(importances: &[(String, f64)]) -> Drawing {
    const LINE: f64 = 24.0;
    const WIDE: f64 = 8.0;
    let bottom = 8.0 + LINE * importances.len() as f64;
    let plane = Plane {
        x: (0.0, 100.0),
        y: (0.0, 1.0),
        left: 170.0,
        right: WIDTH - 16.0,
        top: 4.0,
        bottom,
    };
    let mut marks = plane.vertical_grid();
    for (number, (key, share)) in importances.iter().enumerate() {
        let y = 8.0 + LINE * (number as f64 + 0.5);
        // The ends of a line are round, and as far from its points as it is half wide.
        let from = plane.left + 0.5 * WIDE;
        let end = (plane.at(100.0 * share, 0.0).0 - 0.5 * WIDE).max(from);
        marks.push(words(
            (plane.left - 10.0, y + 4.0),
            Anchor::Before,
            &ending(key),
        ));
        marks.push(Mark::Line {
            points: vec![(from, y), (end, y)],
            width: WIDE,
            ink: Ink::Series(0),
            tip: format!("{key}: {:.1} %", 100.0 * share),
        });
    }
    Drawing {
        width: WIDTH,
        height: bottom + 26.0,
        title: "Importance of searched values".to_owned(),
        marks,
    }
}

/// A line between the bounds of each searched value, below each other, with the trials and the selected value.
fn of_ranges(ranges: &[SearchedRange]) -> Drawing {
    const LINE: f64 = 40.0;
    let height = 8.0 + LINE * ranges.len() as f64;
    let plane = Plane {
        x: (0.0, 1.0),
        y: (0.0, 1.0),
        left: 180.0,
        right: WIDTH - 16.0,
        top: 0.0,
        bottom: height,
    };
    let mut marks = Vec::new();
    for (number, range) in ranges.iter().enumerate() {
        marks.extend(of_range(range, &plane, 14.0 + LINE * number as f64));
    }
    Drawing {
        width: WIDTH,
        height,
        title: "Searched values between their bounds".to_owned(),
        marks,
    }
}

fn of_range(range: &SearchedRange, plane: &Plane, y: f64) -> Vec<Mark> {
    let at = |place: f64| (plane.at(place, 0.0).0, y);
    let [low, high] = &range.bounds;
    let dot = |place: f64, radius: f64, ink: Ink| Mark::Dot {
        at: at(place),
        radius,
        ink,
        tip: String::new(),
    };
    let mut marks = vec![
        words(
            (plane.left - 20.0, y + 4.0),
            Anchor::Before,
            &ending(&range.key),
        ),
        line(&[at(0.0), at(1.0)], 1.0, Ink::Faint),
        words((plane.left, y + 20.0), Anchor::Around, low),
        words((plane.right, y + 20.0), Anchor::Before, high),
    ];
    // A trial of an earlier version of the file can be beyond the bounds of today.
    let within = range
        .trials
        .iter()
        .filter(|place| (0.0..=1.0).contains(*place));
    marks.extend(within.map(|place| dot(*place, 3.0, Ink::Faint)));
    let ink = match range.is_at_bound {
        true => Ink::Series(1),
        false => Ink::Series(0),
    };
    marks.extend(
        range
            .selected
            .map(|place| dot(place.clamp(0.0, 1.0), 5.5, ink)),
    );
    marks
}

/// A searched value of a trial with its score in percent.
fn by_value(trial: &SearchTrial, key: &str) -> Option<Point> {
    let (_, value) = trial.values.iter().find(|(name, _)| name == key)?;
    Some((*value, 100.0 * trial.score))
}

/// A dot for each trial, and a line for the best so far. None if all are at one position.
fn of_trials(trials: &[Point], with_best: bool) -> Option<Drawing> {
    const HEIGHT: f64 = 230.0;
    let plane = Plane {
        x: range(trials.iter().map(|(x, _)| *x))?,
        y: range(trials.iter().map(|(_, y)| *y))?,
        left: 52.0,
        right: WIDTH - 12.0,
        top: 8.0,
        bottom: HEIGHT - 26.0,
    };
    let mut marks = plane.horizontal_grid();
    marks.extend(plane.vertical_grid());
    if with_best {
        marks.push(line(&best_so_far(trials, &plane), 2.0, Ink::Series(1)));
    }
    let dots = trials.iter().map(|(x, y)| Mark::Dot {
        at: plane.at(*x, *y),
        radius: 3.5,
        ink: Ink::Series(0),
        tip: format!("{x}: {y:.2}"),
    });
    marks.extend(dots);
    Some(Drawing {
        width: WIDTH,
        height: HEIGHT,
        title: "Scores of trials".to_owned(),
        marks,
    })
}

/// Steps up to each better score.
fn best_so_far(trials: &[Point], plane: &Plane) -> Vec<Point> {
    let mut points = Vec::new();
    let mut best = f64::NEG_INFINITY;
    for (x, y) in trials {
        if best.is_finite() {
            points.push(plane.at(*x, best));
        }
        best = best.max(*y);
        points.push(plane.at(*x, best));
    }
    points
}
