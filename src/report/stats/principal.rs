//! Principal components: many dimensions on the two in which they vary most.

/// The power iteration converges long before, unless two components vary equally, when either serves.
const ITERATIONS: usize = 100;

/// Returns the coordinates of each point on the first two principal components of all. The sign of a component is
/// that in which its largest coordinate is positive, so equal points give equal coordinates.
///
/// All points have the same number of dimensions.
pub fn on_principal_axes(points: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let mut centered = centered(points);
    let first = project(&mut centered);
    let second = project(&mut centered);
    first.into_iter().zip(second).collect()
}

fn centered(points: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let dimensions = points.first().map_or(0, Vec::len);
    let count = points.len() as f64;
    let mean = |dimension: usize| points.iter().map(|point| point[dimension]).sum::<f64>() / count;
    let means: Vec<f64> = (0..dimensions).map(mean).collect();
    let less = |point: &Vec<f64>| {
        point
            .iter()
            .zip(&means)
            .map(|(value, mean)| value - mean)
            .collect()
    };
    points.iter().map(less).collect()
}

/// Returns the coordinates of centered points on their first principal component, and removes it from them.
fn project(points: &mut [Vec<f64>]) -> Vec<f64> {
    let axis = first_axis(points);
    let coordinates: Vec<f64> = points.iter().map(|point| dot(point, &axis)).collect();
    for (point, coordinate) in points.iter_mut().zip(&coordinates) {
        for (value, along) in point.iter_mut().zip(&axis) {
            *value -= coordinate * along;
        }
    }
    coordinates
}

/// The direction of the largest variance, by power iteration from that of the longest point.
fn first_axis(points: &[Vec<f64>]) -> Vec<f64> {
    let longest = points.iter().max_by(|a, b| dot(a, a).total_cmp(&dot(b, b)));
    let mut axis = normalized(longest.cloned().unwrap_or_default());
    for _ in 0..ITERATIONS {
        let mut next = vec![0.0; axis.len()];
        for point in points {
            let along = dot(point, &axis);
            next.iter_mut()
                .zip(point)
                .for_each(|(sum, value)| *sum += along * value);
        }
        axis = normalized(next);
    }
    let largest = axis
        .iter()
        .copied()
        .max_by(|a, b| a.abs().total_cmp(&b.abs()));
    if largest.is_some_and(|largest| largest < 0.0) {
        axis.iter_mut().for_each(|value| *value = -*value);
    }
    axis
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The vector with length 1; zeros stay zeros.
fn normalized(mut vector: Vec<f64>) -> Vec<f64> {
    let length = dot(&vector, &vector).sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_along_the_directions_in_which_they_vary_most() {
        // Variances 9, 4 and 0.25 along the axes x, z and y.
        let points: Vec<Vec<f64>> = [
            (3.0, 0.5, 2.0),
            (-3.0, 0.5, 2.0),
            (3.0, -0.5, -2.0),
            (-3.0, -0.5, -2.0),
        ]
        .iter()
        .map(|&(x, y, z)| vec![x + 10.0, y, z - 4.0])
        .collect();
        let found = on_principal_axes(&points);
        // y and z go together, so the second component is along both.
        let second = (0.5_f64.powi(2) + 4.0).sqrt();
        let expected = [
            (3.0, second),
            (-3.0, second),
            (3.0, -second),
            (-3.0, -second),
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found.0 - expected.0).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
            assert!(
                (found.1 - expected.1).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
        }
    }

    #[test]
    fn equal_points_are_at_the_origin() {
        assert_eq!(
            on_principal_axes(&[vec![1.0, 2.0], vec![1.0, 2.0]]),
            [(0.0, 0.0); 2]
        );
        assert_eq!(on_principal_axes(&[]), []);
    }
}
