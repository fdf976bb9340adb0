//! Learning curves: a figure for each curve of a data set, a line for each row.

use std::collections::{BTreeMap, BTreeSet};

use schema::{Dataset, RunId};

use super::plane::{Plane, WIDTH, range};
use crate::{
    Table, Titles,
    drawing::{Anchor, DISTINCT, Drawing, Ink, Mark, words},
    gather::primary,
    model::Line,
    training::{Curve, Training},
};

/// The maximum number of positions of a curve; the values between two are averaged.
const POSITIONS: usize = 60;

/// About as many positions have all curves of a page together, so that it stays small.
const POSITIONS_OF_ALL: usize = 24_000;

/// The fewest positions of a curve.
const FEWEST: usize = 10;

/// The learning curves of one data set.
pub(super) struct CurveGroup {
    pub(super) title: String,
    /// The rows, by the number of their color.
    pub(super) labels: Vec<String>,
    pub(super) figures: Vec<(String, Drawing)>,
}

/// The rows of a data set, each with its trainings.
type OfRows<'t> = Vec<(String, Vec<&'t Training>)>;

/// The figures of each data set, one for each curve that any run reports.
pub(super) fn curves(trainings: &[&Training]) -> Vec<CurveGroup> {
    let titles = Titles::of(trainings.iter().map(|training| &training.dataset));
    let mut datasets: Vec<(&Dataset, OfRows<'_>)> = Vec::new();
    for training in trainings {
        let has_curves = training.curves.values().any(|points| points.len() > 1);
        let is_new = datasets
            .iter()
            .all(|(known, _)| **known != training.dataset);
        if has_curves && is_new {
            let rows = rows_of(&training.dataset, trainings);
            datasets.push((&training.dataset, rows));
        }
    }
    let lines = datasets.iter();
    let lines = lines.map(|(_, rows)| rows.len() * curves_of(rows).len());
    let positions = (POSITIONS_OF_ALL / lines.sum::<usize>().max(1)).clamp(FEWEST, POSITIONS);
    let groups = datasets.into_iter().map(|(dataset, rows)| CurveGroup {
        title: titles.title(dataset).to_owned(),
        figures: of_rows(&rows, positions as u64),
        labels: rows.into_iter().map(|(name, _)| name).collect(),
    });
    groups.collect()
}

fn rows_of<'t>(dataset: &Dataset, trainings: &[&'t Training]) -> OfRows<'t> {
    let mut rows: OfRows<'_> = Vec::new();
    let of_dataset = trainings
        .iter()
        .filter(|training| training.dataset == *dataset && !training.curves.is_empty());
    for training in of_dataset {
        let name = training.row();
        match rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, runs)) => runs.push(training),
            None => rows.push((name, vec![training])),
        }
    }
    rows
}

fn curves_of(rows: &OfRows<'_>) -> BTreeSet<Curve> {
    let trainings = rows.iter().flat_map(|(_, runs)| runs);
    trainings
        .flat_map(|training| training.curves.keys().copied())
        .collect()
}

fn of_rows(rows: &OfRows<'_>, positions: u64) -> Vec<(String, Drawing)> {
    let drawn = curves_of(rows).into_iter().filter_map(|curve| {
        let courses = rows.iter().map(|(_, runs)| course(runs, curve, positions));
        let courses: Vec<Vec<Position>> = courses.collect();
        Some((curve.heading(), of_courses(rows, &courses, curve)?))
    });
    drawn.collect()
}

/// The runs of the rows that are drawn where there are too many to be told apart: of each group of columns those with the
/// highest means by its primary metric. None if all are drawn.
pub(super) fn runs_of_the_best(table: &Table) -> Option<BTreeSet<RunId>> {
    let mut runs = BTreeSet::new();
    let mut is_all = true;
    for block in &table.blocks {
        for (position, group) in block.groups.iter().enumerate() {
            let metric = primary(&group.metrics)?;
            let mean = |line: &Line| line.mean(position, metric).unwrap_or(f64::NEG_INFINITY);
            let mut lines: Vec<&Line> = block.lines.iter().collect();
            lines.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
            is_all &= lines.len() <= DISTINCT;
            let parts = lines.iter().take(DISTINCT);
            let parts = parts.filter_map(|line| line.parts[position].as_ref());
            runs.extend(
                parts
                    .flat_map(|part| &part.results)
                    .map(|result| result.run),
            );
        }
    }
    (!is_all).then_some(runs)
}

/// A curve at one position: the mean over runs, the lowest and the highest.
struct Position {
    step: f64,
    mean: f64,
    low: f64,
    high: f64,
}

/// The course of a curve over several runs.
fn course(runs: &[&Training], curve: Curve, positions: u64) -> Vec<Position> {
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
            // A trainer can report any step.
            let position = step.saturating_mul(positions) / last.max(1);
            let sum = sums.entry(position).or_default().entry(run).or_default();
            *sum = (sum.0 + 1.0, sum.1 + step as f64, sum.2 + value);
        }
    }
    let positions = sums
        .values()
        .map(|of_runs| position(of_runs, curve.scale()));
    positions
        .filter(|position| position.mean.is_finite())
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
fn of_courses(rows: &OfRows<'_>, courses: &[Vec<Position>], curve: Curve) -> Option<Drawing> {
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
