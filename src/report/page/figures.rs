//! Figures of the page that are one drawing each: means with their intervals, and a map of embeddings.

use super::plane::{Plane, WIDTH, cut, range};
use crate::{
    Table,
    drawing::{Anchor, Drawing, Ink, Mark, line, words},
    gather::primary,
    model::{Block, Group, Value},
};

/// The most means below each other.
const MOST: usize = 100;

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
            let mut estimates = estimates(block, position, metric);
            let mut caption = caption(block, group, metric);
            if estimates.len() > MOST {
                caption.push_str(&format!(", the {MOST} highest of {}", estimates.len()));
                estimates.sort_by(|a, b| b.mean.total_cmp(&a.mean));
                estimates.truncate(MOST);
            }
            figures.extend(of_estimates(&estimates).map(|drawing| (caption, drawing)));
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
