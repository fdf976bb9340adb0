//! Learning curves: a figure for each curve of a data set, a line for each row.

use std::collections::{BTreeMap, BTreeSet};

use schema::Dataset;

use super::plane::{Plane, WIDTH, range};
use crate::{
    Titles,
    drawing::{Anchor, Drawing, Ink, Mark, words},
    training::{Curve, Training},
};

/// The maximum number of positions of a curve; the values between two are averaged.
const POSITIONS: u64 = 60;

/// The learning curves of one data set.
pub(super) struct CurveGroup {
    pub(super) title: String,
    /// The rows, by the number of their color.
    pub(super) labels: Vec<String>,
    pub(super) figures: Vec<(String, Drawing)>,
}

/// The figures of each data set, one for each curve that any run reports.
pub(super) fn curves(trainings: &[Training]) -> Vec<CurveGroup> {
    let titles = Titles::of(trainings.iter().map(|training| &training.dataset));
    let mut datasets: Vec<&Dataset> = Vec::new();
    for training in trainings {
        let has_curves = training.curves.values().any(|points| points.len() > 1);
        if has_curves && !datasets.contains(&&training.dataset) {
            datasets.push(&training.dataset);
        }
    }
    let of_dataset = |dataset: &Dataset| {
        let mut rows: Vec<(String, Vec<&Training>)> = Vec::new();
        for training in trainings
            .iter()
            .filter(|training| training.dataset == *dataset)
        {
            if training.curves.is_empty() {
                continue;
            }
            let name = training.row();
            match rows.iter_mut().find(|(known, _)| *known == name) {
                Some((_, runs)) => runs.push(training),
                None => rows.push((name, vec![training])),
            }
        }
        CurveGroup {
            title: titles.title(dataset).to_owned(),
            figures: of_rows(&rows),
            labels: rows.into_iter().map(|(name, _)| name).collect(),
        }
    };
    datasets.into_iter().map(of_dataset).collect()
}

fn of_rows(rows: &[(String, Vec<&Training>)]) -> Vec<(String, Drawing)> {
    let trainings = rows.iter().flat_map(|(_, runs)| runs);
    let curves: BTreeSet<Curve> = trainings
        .flat_map(|training| training.curves.keys().copied())
        .collect();
    let drawn = curves.into_iter().filter_map(|curve| {
        let courses: Vec<Vec<Position>> =
            rows.iter().map(|(_, runs)| course(runs, curve)).collect();
        Some((curve.heading(), of_courses(rows, &courses, curve)?))
    });
    drawn.collect()
}

/// A curve at one position: the mean over runs, the lowest and the highest.
struct Position {
    step: f64,
    mean: f64,
    low: f64,
    high: f64,
}

/// The course of a curve over several runs.
fn course(runs: &[&Training], curve: Curve) -> Vec<Position> {
    let points = runs.iter().filter_map(|run| run.curves.get(&curve));
    let last = points
        .clone()
        .flatten()
        .map(|(step, _)| *step)
        .max()
        .unwrap_or(0);
    // By position and run: the number of values, and the sums of steps and values.
    let mut sums: BTreeMap<u64, BTreeMap<usize, (f64, f64, f64)>> = BTreeMap::new();
    for (run, points) in points.enumerate() {
        for &(step, value) in points.iter().filter(|(_, value)| value.is_finite()) {
            let position = step * POSITIONS / last.max(1);
            let sum = sums.entry(position).or_default().entry(run).or_default();
            *sum = (sum.0 + 1.0, sum.1 + step as f64, sum.2 + value);
        }
    }
    sums.values()
        .map(|of_runs| position(of_runs, curve.scale()))
        .collect()
}

fn position(of_runs: &BTreeMap<usize, (f64, f64, f64)>, scale: f64) -> Position {
    let runs = of_runs.len() as f64;
    let means = || of_runs.values().map(|(count, _, sum)| scale * sum / count);
    let steps = of_runs.values().map(|(count, sum, _)| sum / count);
    Position {
        step: steps.sum::<f64>() / runs,
        mean: means().sum::<f64>() / runs,
        low: means().fold(f64::INFINITY, f64::min),
        high: means().fold(f64::NEG_INFINITY, f64::max),
    }
}

const HEIGHT: f64 = 250.0;

/// A line for each row, and an area between its lowest and its highest run.
fn of_courses(
    rows: &[(String, Vec<&Training>)],
    courses: &[Vec<Position>],
    curve: Curve,
) -> Option<Drawing> {
    if courses.iter().all(|course| course.len() < 2) {
        return None;
    }
    let plane = plane(courses)?;
    let mut marks = plane.horizontal_grid();
    marks.extend(plane.vertical_grid());
    marks.push(words(
        (0.5 * (plane.left + plane.right), HEIGHT - 6.0),
        Anchor::Around,
        "step",
    ));
    let drawn = || {
        courses
            .iter()
            .enumerate()
            .filter(|(_, course)| course.len() > 1)
    };
    marks.extend(drawn().map(|(number, course)| spread(&plane, number, course)));
    marks.extend(drawn().map(|(number, course)| line(&plane, number, course, &rows[number].0)));
    Some(Drawing {
        width: WIDTH,
        height: HEIGHT,
        title: format!("{} by step", curve.heading()),
        marks,
    })
}

/// Returns the plane of all positions.
fn plane(courses: &[Vec<Position>]) -> Option<Plane> {
    let all = || courses.iter().flatten();
    let last = all().map(|position| position.step).fold(0.0, f64::max);
    Some(Plane {
        x: (0.0, last),
        y: range(all().flat_map(|position| [position.low, position.high]))?,
        left: 52.0,
        right: WIDTH - 12.0,
        top: 8.0,
        bottom: HEIGHT - 40.0,
    })
}

fn spread(plane: &Plane, number: usize, course: &[Position]) -> Mark {
    let low = course
        .iter()
        .map(|position| plane.at(position.step, position.low));
    let high = course
        .iter()
        .map(|position| plane.at(position.step, position.high));
    Mark::Area {
        points: low.chain(high.rev()).collect(),
        ink: Ink::Series(number),
    }
}

fn line(plane: &Plane, number: usize, course: &[Position], row: &str) -> Mark {
    let means = course
        .iter()
        .map(|position| plane.at(position.step, position.mean));
    Mark::Line {
        points: means.collect(),
        width: 2.0,
        ink: Ink::Series(number),
        tip: row.to_owned(),
    }
}
