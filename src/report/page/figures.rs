//! The figures of the page, each a function of the values that it shows.

use std::collections::{BTreeMap, BTreeSet};

use schema::Dataset;

use super::{Search, SearchTrial};
use crate::{
    Table, Titles,
    drawing::{Anchor, Drawing, Ink, Mark, Point, line, words},
    gather::primary,
    model::{Block, Group, Value},
    training::{Curve, Training},
};

const WIDTH: f64 = 480.0;
/// Names longer than this are cut.
const LONGEST: usize = 24;
/// Curves have at most so many positions; the values between two are averaged.
const POSITIONS: u64 = 60;

/// A plane with a scale on each side: where values are on a sheet.
struct Plane {
    x: (f64, f64),
    y: (f64, f64),
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Plane {
    fn at(&self, x: f64, y: f64) -> Point {
        let share = |(low, high): (f64, f64), value: f64| (value - low) / (high - low);
        (
            self.left + (self.right - self.left) * share(self.x, x),
            self.bottom + (self.top - self.bottom) * share(self.y, y),
        )
    }

    /// Lines at round values, with the values below them.
    fn vertical_grid(&self) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (value, label) in ticks(self.x, 5) {
            let (x, _) = self.at(value, self.y.0);
            marks.push(line(&[(x, self.top), (x, self.bottom)], 1.0, Ink::Faint));
            marks.push(words((x, self.bottom + 17.0), Anchor::Around, &label));
        }
        marks
    }

    /// Lines at round values, with the values before them.
    fn horizontal_grid(&self) -> Vec<Mark> {
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
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
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

fn cut(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let kept: String = name.chars().take(LONGEST - 1).collect();
    format!("{}…", kept.trim_end())
}

/// A mean with its interval, in percent.
struct Estimate {
    name: String,
    mean: f64,
    half_width: Option<f64>,
}

/// A figure for each data set and way to combine folds: the means of all rows by the metric that decides.
pub(super) fn intervals(table: &Table) -> Vec<(String, Drawing)> {
    let mut figures = Vec::new();
    for block in &table.blocks {
        for (position, group) in block.groups.iter().enumerate() {
            let Some(metric) = primary(&group.metrics) else {
                continue;
            };
            let estimates = estimates(block, position, metric);
            if let Some(drawing) = of_estimates(&estimates) {
                figures.push((caption(block, group, metric), drawing));
            }
        }
    }
    figures
}

/// `Omniglot, separated: MAP@R in percent`.
fn caption(block: &Block, group: &Group, metric: usize) -> String {
    let place = [&block.heading, &group.heading].map(String::as_str);
    let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let metric = group.metrics[metric].heading();
    format!("{}: {metric} in percent", place.join(", "))
}

fn estimates(block: &Block, group: usize, metric: usize) -> Vec<Estimate> {
    let mut estimates = Vec::new();
    for line in &block.lines {
        let cell = line.parts[group].as_ref().map(|part| &part.cells[metric]);
        if let Some(Value::Measured(summary)) = cell.map(|cell| &cell.value) {
            let settings = line.settings.iter().filter(|setting| !setting.is_empty());
            let parts: Vec<&str> = std::iter::once(&line.method)
                .chain(settings)
                .map(String::as_str)
                .collect();
            estimates.push(Estimate {
                name: parts.join(", "),
                mean: 100.0 * summary.mean,
                half_width: summary.half_width.map(|half_width| 100.0 * half_width),
            });
        }
    }
    estimates
}

/// A dot for each mean and a line for its interval, below each other. None for fewer than two.
fn of_estimates(estimates: &[Estimate]) -> Option<Drawing> {
    const LINE: f64 = 24.0;
    if estimates.len() < 2 {
        return None;
    }
    let ends = |estimate: &Estimate| {
        let half_width = estimate.half_width.unwrap_or(0.0);
        [estimate.mean - half_width, estimate.mean + half_width]
    };
    let bottom = 8.0 + LINE * estimates.len() as f64;
    let plane = Plane {
        x: range(estimates.iter().flat_map(ends))?,
        y: (0.0, 1.0),
        left: 170.0,
        right: WIDTH - 16.0,
        top: 4.0,
        bottom,
    };
    let mut marks = plane.vertical_grid();
    for (number, estimate) in estimates.iter().enumerate() {
        let y = 8.0 + LINE * (number as f64 + 0.5);
        let x = |value| plane.at(value, 0.0).0;
        let name = words(
            (plane.left - 10.0, y + 4.0),
            Anchor::Before,
            &cut(&estimate.name),
        );
        let half_width = estimate
            .half_width
            .map_or_else(String::new, |half| format!(" ± {half:.2}"));
        let tip = format!("{}: {:.2}{half_width}", estimate.name, estimate.mean);
        let [low, high] = ends(estimate);
        marks.extend([
            name,
            line(&[(x(low), y), (x(high), y)], 2.5, Ink::Series(0)),
            Mark::Dot {
                at: (x(estimate.mean), y),
                radius: 4.5,
                ink: Ink::Series(0),
                tip,
            },
        ]);
    }
    Some(Drawing {
        width: WIDTH,
        height: bottom + 26.0,
        title: "Means with their intervals".to_owned(),
        marks,
    })
}

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

/// A line for each row, and an area between its lowest and its highest run.
fn of_courses(
    rows: &[(String, Vec<&Training>)],
    courses: &[Vec<Position>],
    curve: Curve,
) -> Option<Drawing> {
    const HEIGHT: f64 = 250.0;
    let all = || courses.iter().flatten();
    let last = all().map(|position| position.step).fold(0.0, f64::max);
    if courses.iter().all(|course| course.len() < 2) {
        return None;
    }
    let plane = Plane {
        x: (0.0, last),
        y: range(all().flat_map(|position| [position.low, position.high]))?,
        left: 52.0,
        right: WIDTH - 12.0,
        top: 8.0,
        bottom: HEIGHT - 40.0,
    };
    let mut marks = plane.horizontal_grid();
    marks.extend(plane.vertical_grid());
    marks.push(words(
        (0.5 * (plane.left + plane.right), HEIGHT - 6.0),
        Anchor::Around,
        "step",
    ));
    for (number, course) in courses.iter().enumerate() {
        let low = course
            .iter()
            .map(|position| plane.at(position.step, position.low));
        let high = course
            .iter()
            .map(|position| plane.at(position.step, position.high));
        if course.len() > 1 {
            marks.push(Mark::Area {
                points: low.chain(high.rev()).collect(),
                ink: Ink::Series(number),
            });
        }
    }
    for (number, course) in courses.iter().enumerate() {
        let mean = course
            .iter()
            .map(|position| plane.at(position.step, position.mean));
        if course.len() > 1 {
            marks.push(Mark::Line {
                points: mean.collect(),
                width: 2.0,
                ink: Ink::Series(number),
                tip: rows[number].0.clone(),
            });
        }
    }
    Some(Drawing {
        width: WIDTH,
        height: HEIGHT,
        title: format!("{} by step", curve.heading()),
        marks,
    })
}

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
    figures
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

/// Points with the numbers of their classes.
pub(super) fn map(points: &[((f64, f64), usize)]) -> Drawing {
    const SIDE: f64 = 360.0;
    let x = range(points.iter().map(|((x, _), _)| *x));
    let y = range(points.iter().map(|((_, y), _)| *y));
    let plane = Plane {
        x: x.unwrap_or((0.0, 1.0)),
        y: y.unwrap_or((0.0, 1.0)),
        left: 4.0,
        right: WIDTH - 4.0,
        top: 4.0,
        bottom: SIDE - 4.0,
    };
    let marks = points.iter().map(|((x, y), class)| Mark::Dot {
        at: plane.at(*x, *y),
        radius: 3.5,
        ink: Ink::Series(*class),
        tip: String::new(),
    });
    Drawing {
        width: WIDTH,
        height: SIDE,
        title: "Embeddings of test images in two dimensions".to_owned(),
        marks: marks.collect(),
    }
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
