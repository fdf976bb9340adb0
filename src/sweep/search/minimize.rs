//! Local minimization of a smooth function in a box: BFGS on the free coordinates with a projected
//! line search.

use super::linear::dot;

/// Returns a local minimum of `function` within the bounds, starting from `start`, and its value.
///
/// `function` writes its gradient to its second argument. Steps to a value that is not finite are
/// rejected.
pub(super) fn minimize(
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    bounds: &[(f64, f64)],
    steps: usize,
) -> (Vec<f64>, f64) {
    let mut here = Point::new(&mut function, project(start, bounds));
    let mut inverse = identity(start.len());
    for _ in 0..steps {
        let direction = descent(&mut inverse, &here, bounds);
        let Some(next) = line_search(&mut function, &here, &direction, bounds) else {
            break;
        };
        let moved = difference(&next.at, &here.at);
        let bent = difference(&next.gradient, &here.gradient);
        update(&mut inverse, &moved, &bent);
        let gained = here.value - next.value;
        let is_flat = gained.abs() < 1e-10 * (1.0 + here.value.abs());
        here = next;
        if is_flat {
            break;
        }
    }
    (here.at, here.value)
}

/// A place with the value and the gradient of a function.
struct Point {
    at: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

impl Point {
    fn new(function: &mut impl FnMut(&[f64], &mut [f64]) -> f64, at: Vec<f64>) -> Point {
        let mut gradient = vec![0.0; at.len()];
        let value = function(&at, &mut gradient);
        Point {
            at,
            value,
            gradient,
        }
    }
}

/// Returns the quasi-Newton direction at a point. If it leads up, `inverse` begins anew.
fn descent(inverse: &mut Vec<Vec<f64>>, here: &Point, bounds: &[(f64, f64)]) -> Vec<f64> {
    let free: Vec<bool> = (0..bounds.len())
        .map(|i| !blocked(here.at[i], here.gradient[i], bounds[i]))
        .collect();
    let direction = step_direction(inverse, &here.gradient, &free);
    if dot(&direction, &here.gradient) < 0.0 {
        return direction;
    }
    *inverse = identity(bounds.len());
    step_direction(inverse, &here.gradient, &free)
}

/// Returns a point in a direction whose value is sufficiently smaller (Armijo's rule); nothing if there is none.
fn line_search(
    function: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    here: &Point,
    direction: &[f64],
    bounds: &[(f64, f64)],
) -> Option<Point> {
    let longest = largest(direction.iter().map(|step| step.abs()));
    if longest < 1e-9 {
        return None;
    }
    let widest = largest(bounds.iter().map(|(low, high)| high - low));
    let mut length = (0.25 * widest / longest).min(1.0);
    for _ in 0..12 {
        let next = Point::new(function, step(&here.at, direction, length, bounds));
        let gain = dot(&difference(&next.at, &here.at), &here.gradient);
        if next.value.is_finite() && next.value <= here.value + 1e-4 * gain {
            return Some(next);
        }
        length *= 0.35;
    }
    None
}

/// Returns where a step of this length ends.
fn step(at: &[f64], direction: &[f64], length: f64, bounds: &[(f64, f64)]) -> Vec<f64> {
    let steps = at.iter().zip(direction);
    let moved: Vec<f64> = steps.map(|(at, step)| at + length * step).collect();
    project(&moved, bounds)
}

fn difference(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| a - b).collect()
}

fn largest(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, f64::max)
}

fn project(at: &[f64], bounds: &[(f64, f64)]) -> Vec<f64> {
    at.iter()
        .zip(bounds)
        .map(|(at, (low, high))| at.clamp(*low, *high))
        .collect()
}

/// True if a coordinate is at a bound that descent would cross.
fn blocked(at: f64, slope: f64, (low, high): (f64, f64)) -> bool {
    (at <= low && slope > 0.0) || (at >= high && slope < 0.0)
}

fn identity(size: usize) -> Vec<Vec<f64>> {
    (0..size)
        .map(|i| (0..size).map(|j| if i == j { 1.0 } else { 0.0 }).collect())
        .collect()
}

fn step_direction(inverse: &[Vec<f64>], gradient: &[f64], free: &[bool]) -> Vec<f64> {
    let slope: Vec<f64> = gradient
        .iter()
        .zip(free)
        .map(|(slope, free)| if *free { *slope } else { 0.0 })
        .collect();
    inverse
        .iter()
        .zip(free)
        .map(|(row, free)| if *free { -dot(row, &slope) } else { 0.0 })
        .collect()
}

/// The update of Broyden, Fletcher, Goldfarb and Shanno for the inverse of the Hessian.
fn update(inverse: &mut [Vec<f64>], moved: &[f64], bent: &[f64]) {
    let curvature = dot(moved, bent);
    if curvature <= 1e-12 * dot(moved, moved).sqrt() * dot(bent, bent).sqrt() {
        return;
    }
    let turned: Vec<f64> = inverse.iter().map(|row| dot(row, bent)).collect();
    let weight = (1.0 + dot(bent, &turned) / curvature) / curvature;
    for i in 0..moved.len() {
        for j in 0..moved.len() {
            inverse[i][j] += weight * moved[i] * moved[j]
                - (turned[i] * moved[j] + moved[i] * turned[j]) / curvature;
        }
    }
}
