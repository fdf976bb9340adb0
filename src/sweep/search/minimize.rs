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
    let size = start.len();
    let mut at = project(start, bounds);
    let mut gradient = vec![0.0; size];
    let mut value = function(&at, &mut gradient);
    let mut inverse = identity(size);
    for _ in 0..steps {
        let free: Vec<bool> = (0..size)
            .map(|i| !blocked(at[i], gradient[i], bounds[i]))
            .collect();
        let mut direction = step_direction(&inverse, &gradient, &free);
        if dot(&direction, &gradient) >= 0.0 {
            inverse = identity(size);
            direction = step_direction(&inverse, &gradient, &free);
        }
        let longest = direction
            .iter()
            .fold(0.0f64, |longest, step| longest.max(step.abs()));
        if longest < 1e-9 {
            break;
        }
        let widest = bounds
            .iter()
            .fold(0.0f64, |widest, (low, high)| widest.max(high - low));
        let mut length = (0.25 * widest / longest).min(1.0);
        let mut next_gradient = vec![0.0; size];
        let mut accepted = None;
        for _ in 0..12 {
            let moved: Vec<f64> = at
                .iter()
                .zip(&direction)
                .map(|(at, step)| at + length * step)
                .collect();
            let next = project(&moved, bounds);
            let gain: f64 = next
                .iter()
                .zip(&at)
                .zip(&gradient)
                .map(|((next, at), slope)| (next - at) * slope)
                .sum();
            let reached = function(&next, &mut next_gradient);
            if reached.is_finite() && reached <= value + 1e-4 * gain {
                accepted = Some((next, reached));
                break;
            }
            length *= 0.35;
        }
        let Some((next, reached)) = accepted else {
            break;
        };
        let moved: Vec<f64> = next.iter().zip(&at).map(|(next, at)| next - at).collect();
        let bent: Vec<f64> = next_gradient
            .iter()
            .zip(&gradient)
            .map(|(next, before)| next - before)
            .collect();
        update(&mut inverse, &moved, &bent);
        let gained = value - reached;
        (at, value, gradient) = (next, reached, next_gradient);
        if gained.abs() < 1e-10 * (1.0 + value.abs()) {
            break;
        }
    }
    (at, value)
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
