//! Expected improvement under a Gaussian process.
//!
//! The process has a constant mean and a Matérn-5/2 kernel with a length scale per dimension. Two
//! values of a choice are one unit apart; an inactive dimension has coordinate 1/2. The noise
//! variance of an observation is the squared standard error over folds plus a learned nugget, as in
//! Ax. Length scales, variance and nugget maximize the marginal likelihood, with weak priors, from
//! several starts. The incumbent is the highest mean of the process at an observed point, not the
//! luckiest observation.

use super::{
    Known, TrialOutcome,
    acquisition::log_improvement,
    linear::{Cholesky, dot},
    minimize::minimize,
    rng::SearchRng,
    space::{Space, UnitPoint},
};

const ROOT5: f64 = 2.236_067_977_499_79;

/// Number of proposals drawn from the whole space, and around each of the best points.
const SPREAD: usize = 512;
const AROUND: usize = 32;
/// Number of best points around which proposals are drawn, and of proposals that are refined.
const CENTRES: usize = 4;
const REFINED: usize = 6;

/// Standard deviation of the value imputed for a failed trial, relative to that of finished ones.
const FAILED_NOISE: f64 = 0.5;

/// Returns the new point with the highest expected improvement.
pub(super) fn suggest(space: &Space, known: &[Known], rng: &mut SearchRng) -> UnitPoint {
    let observations = Observations::new(space, known);
    let model = GaussianProcess::fit(observations, rng).believing(space, known);
    let incumbent = model.incumbent();
    let mut proposals = proposals(space, known, rng);
    let mut scored: Vec<(f64, UnitPoint)> = proposals
        .drain(..)
        .map(|unit| (model.score(&unit, incumbent), unit))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut best: Option<(f64, UnitPoint)> = None;
    for (_, unit) in scored.iter().take(REFINED) {
        let refined = refine(space, &model, incumbent, unit);
        let found = (model.score(&refined, incumbent), refined);
        if !space.is_known(known, &found.1) && best.as_ref().is_none_or(|best| found.0 > best.0) {
            best = Some(found);
        }
    }
    let mut rest = scored.into_iter().map(|(_, unit)| unit);
    best.map_or_else(
        || {
            space.new_unit(known, || {
                rest.next().unwrap_or_else(|| space.unit(|_| rng.uniform()))
            })
        },
        |(_, unit)| unit,
    )
}

/// Draws proposals from the whole space and near its best points.
fn proposals(space: &Space, known: &[Known], rng: &mut SearchRng) -> Vec<UnitPoint> {
    let mut proposals: Vec<UnitPoint> =
        (0..SPREAD).map(|_| space.unit(|_| rng.uniform())).collect();
    let mut best: Vec<&Known> = known
        .iter()
        .filter(|known| known.mean().is_some())
        .collect();
    best.sort_by(|a, b| {
        b.mean()
            .unwrap_or(f64::MIN)
            .total_cmp(&a.mean().unwrap_or(f64::MIN))
    });
    for center in best.into_iter().take(CENTRES) {
        for number in 0..AROUND {
            let width = [0.2, 0.05, 0.01][number % 3];
            proposals.push(near(space, &center.unit, width, rng));
        }
    }
    proposals
}

/// Draws a point near another: numbers move a little, a choice changes occasionally.
fn near(space: &Space, center: &UnitPoint, width: f64, rng: &mut SearchRng) -> UnitPoint {
    space.unit(|index| {
        let jump = rng.uniform();
        let step = rng.normal();
        let anywhere = rng.uniform();
        let Some(at) = center[index] else {
            return anywhere;
        };
        if space.dimensions[index].range.is_choice() {
            return if jump < 0.2 { anywhere } else { at };
        }
        (at + width * step).clamp(0.0, 1.0)
    })
}

/// Returns a local maximum of the improvement: gradient ascent over floats alternates with steps to
/// neighboring values of the other dimensions until neither helps.
fn refine(space: &Space, model: &GaussianProcess, incumbent: f64, start: &UnitPoint) -> UnitPoint {
    let mut unit = start.clone();
    for _ in 0..2 {
        unit = ascend(space, model, incumbent, &unit);
        let stepped = step(space, model, incumbent, &unit);
        if stepped == unit {
            break;
        }
        unit = stepped;
    }
    unit
}

fn ascend(space: &Space, model: &GaussianProcess, incumbent: f64, unit: &UnitPoint) -> UnitPoint {
    let start = features(unit);
    let mut bounds: Vec<(f64, f64)> = start.iter().map(|&at| (at, at)).collect();
    for (index, dimension) in space.dimensions.iter().enumerate() {
        if unit[index].is_some() && !dimension.range.is_choice() {
            bounds[index] = (0.0, 1.0);
        }
    }
    let (end, _) = minimize(
        |at, gradient| {
            let value = -model.log_improvement(at, incumbent, Some(gradient));
            gradient.iter_mut().for_each(|slope| *slope = -*slope);
            value
        },
        &start,
        &bounds,
        40,
    );
    unit.iter()
        .enumerate()
        .map(|(index, unit)| unit.map(|_| space.snap(index, end[index])))
        .collect()
}

fn step(space: &Space, model: &GaussianProcess, incumbent: f64, start: &UnitPoint) -> UnitPoint {
    let mut best = model.score(start, incumbent);
    let mut unit = start.clone();
    for index in 0..start.len() {
        for neighbor in neighbors(space, index, &unit) {
            let value = model.score(&neighbor, incumbent);
            if value > best {
                best = value;
                unit = neighbor;
            }
        }
    }
    unit
}

/// Returns the points with another value of one dimension: any value of a choice, the next lower and
/// higher ones otherwise.
fn neighbors(space: &Space, index: usize, unit: &UnitPoint) -> Vec<UnitPoint> {
    let (Some(at), Some(levels)) = (unit[index], space.dimensions[index].range.levels()) else {
        return Vec::new();
    };
    let own = (at * levels as f64).floor();
    let values: Vec<f64> = if space.dimensions[index].range.is_choice() {
        (0..levels).map(|level| level as f64).collect()
    } else {
        vec![own - 1.0, own + 1.0]
    };
    let mut neighbors = Vec::new();
    for value in values {
        if value != own && value >= 0.0 && value < levels as f64 {
            let mut neighbor = unit.clone();
            neighbor[index] = Some((value + 0.5) / levels as f64);
            space.deactivate(&mut neighbor);
            neighbors.push(neighbor);
        }
    }
    neighbors
}

fn features(unit: &UnitPoint) -> Vec<f64> {
    unit.iter().map(|at| at.unwrap_or(0.5)).collect()
}

/// The observed values, standardized: finished trials have mean 0 and variance 1.
struct Observations {
    points: Vec<Vec<f64>>,
    values: Vec<f64>,
    /// Known noise variance of each value.
    noise: Vec<f64>,
    /// True for dimensions that are choices.
    choices: Vec<bool>,
}

impl Observations {
    fn new(space: &Space, known: &[Known]) -> Observations {
        let means: Vec<f64> = known.iter().filter_map(Known::mean).collect();
        let count = means.len() as f64;
        let center = means.iter().sum::<f64>() / count;
        let variance = means
            .iter()
            .map(|mean| (mean - center) * (mean - center))
            .sum::<f64>()
            / count;
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let worst = means.iter().copied().fold(f64::INFINITY, f64::min);
        let choices = space
            .dimensions
            .iter()
            .map(|dimension| dimension.range.is_choice())
            .collect();
        let mut observations = Observations {
            points: vec![],
            values: vec![],
            noise: vec![],
            choices,
        };
        for trial in known {
            let (value, noise) = match trial.outcome {
                TrialOutcome::Finished { mean, sem } => (
                    mean,
                    sem.filter(|sem| sem.is_finite())
                        .map_or(0.0, |sem| sem / deviation),
                ),
                TrialOutcome::Pruned { expected } => (expected, 0.0),
                TrialOutcome::Failed => (worst, FAILED_NOISE),
                TrialOutcome::Pending => continue,
            };
            observations.points.push(features(&trial.unit));
            observations.values.push((value - center) / deviation);
            observations.noise.push(noise * noise);
        }
        observations
    }
}

/// Returns the squared difference of two coordinates of a dimension.
fn squared_difference(a: f64, b: f64, choice: bool) -> f64 {
    match choice {
        true if (a - b).abs() > 1e-9 => 1.0,
        true => 0.0,
        false => (a - b) * (a - b),
    }
}

/// Logarithms of the length scales, the variance and the nugget, in this order.
type Hyperparameters = Vec<f64>;

/// A process conditioned on its observations.
struct GaussianProcess {
    observations: Observations,
    hyperparameters: Hyperparameters,
    /// 1 / length scale².
    sharpness: Vec<f64>,
    variance: f64,
    mean: f64,
    factor: Cholesky,
    /// The inverse covariance times the centered values.
    weights: Vec<f64>,
}

impl GaussianProcess {
    fn fit(observations: Observations, rng: &mut SearchRng) -> GaussianProcess {
        let dimensions = observations.choices.len();
        let likelihood = Likelihood::new(&observations);
        let bounds = bounds(dimensions);
        let mut best: Option<(Hyperparameters, f64)> = None;
        for start in starts(dimensions, rng) {
            let found = minimize(
                |at, gradient| likelihood.negative_log(at, gradient),
                &start,
                &bounds,
                40,
            );
            if best.as_ref().is_none_or(|best| found.1 < best.1) {
                best = Some(found);
            }
        }
        let (hyperparameters, _) = best.expect("there are several starts");
        GaussianProcess::new(observations, hyperparameters)
    }

    fn new(observations: Observations, hyperparameters: Hyperparameters) -> GaussianProcess {
        let dimensions = observations.choices.len();
        let sharpness: Vec<f64> = hyperparameters[..dimensions]
            .iter()
            .map(|log| libm::exp(-2.0 * log))
            .collect();
        let variance = libm::exp(hyperparameters[dimensions]);
        let mut nugget = libm::exp(hyperparameters[dimensions + 1]);
        let factor = loop {
            let rows = (0..observations.points.len()).map(|i| {
                let row = (0..=i).map(|j| {
                    let (a, b) = (&observations.points[i], &observations.points[j]);
                    let noise = if i == j {
                        nugget + observations.noise[i]
                    } else {
                        0.0
                    };
                    covariance(
                        squared_distance(a, b, &sharpness, &observations.choices),
                        variance,
                    ) + noise
                });
                row.collect()
            });
            match Cholesky::new(rows.collect()) {
                Some(factor) => break factor,
                None => nugget *= 10.0,
            }
        };
        let (mean, weights) = center(&factor, &observations.values);
        GaussianProcess {
            observations,
            hyperparameters,
            sharpness,
            variance,
            mean,
            factor,
            weights,
        }
    }

    /// Adds every pending trial as an observation of its expected value.
    fn believing(mut self, space: &Space, known: &[Known]) -> GaussianProcess {
        debug_assert_eq!(space.dimensions.len(), self.observations.choices.len());
        let pending = known
            .iter()
            .filter(|known| known.outcome == TrialOutcome::Pending);
        let believed: Vec<(Vec<f64>, f64)> = pending
            .map(|known| features(&known.unit))
            .map(|point| {
                let value = self.mean + dot(&self.covariances(&point), &self.weights);
                (point, value)
            })
            .collect();
        if believed.is_empty() {
            return self;
        }
        for (point, value) in believed {
            self.observations.points.push(point);
            self.observations.values.push(value);
            self.observations.noise.push(0.0);
        }
        GaussianProcess::new(self.observations, self.hyperparameters)
    }

    fn mean_at(&self, point: &[f64]) -> f64 {
        self.mean + dot(&self.covariances(point), &self.weights)
    }

    fn covariances(&self, at: &[f64]) -> Vec<f64> {
        let distance =
            |point| squared_distance(at, point, &self.sharpness, &self.observations.choices);
        self.observations
            .points
            .iter()
            .map(|point| covariance(distance(point), self.variance))
            .collect()
    }

    /// Returns the highest mean of the process at an observed point.
    fn incumbent(&self) -> f64 {
        let mut highest = f64::NEG_INFINITY;
        for point in &self.observations.points {
            highest = highest.max(self.mean_at(point));
        }
        highest
    }

    /// Returns the logarithm of the expected improvement at a point.
    fn score(&self, unit: &UnitPoint, incumbent: f64) -> f64 {
        self.log_improvement(&features(unit), incumbent, None)
    }

    /// Returns the logarithm of the expected improvement; writes its gradient if requested.
    fn log_improvement(&self, at: &[f64], incumbent: f64, gradient: Option<&mut [f64]>) -> f64 {
        let covariances = self.covariances(at);
        let mean = self.mean + dot(&covariances, &self.weights);
        let explained = self.factor.forward(&covariances);
        let variance = (self.variance - dot(&explained, &explained)).max(1e-14 * self.variance);
        let deviation = variance.sqrt();
        let (log, by_mean, by_deviation) = log_improvement(mean, deviation, incumbent);
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            let solved = self.factor.backward(explained);
            for ((point, weight), solved) in self
                .observations
                .points
                .iter()
                .zip(&self.weights)
                .zip(&solved)
            {
                let distance =
                    squared_distance(at, point, &self.sharpness, &self.observations.choices);
                // d mean = weight·dk; d deviation = -solved·dk / deviation; dk = slope·2·sharpness·difference.
                let slope = 2.0 * kernel_slope(distance, self.variance);
                let factor = slope * (by_mean * weight - by_deviation * solved / deviation);
                for (index, gradient) in gradient.iter_mut().enumerate() {
                    *gradient += factor * self.sharpness[index] * (at[index] - point[index]);
                }
            }
        }
        log
    }
}

/// Returns the most likely constant mean, and the weights of the centered values.
fn center(factor: &Cholesky, values: &[f64]) -> (f64, Vec<f64>) {
    let ones = factor.solve(&vec![1.0; values.len()]);
    let mean = dot(&ones, values) / ones.iter().sum::<f64>();
    let centered: Vec<f64> = values.iter().map(|value| value - mean).collect();
    (mean, factor.solve(&centered))
}

fn squared_distance(a: &[f64], b: &[f64], sharpness: &[f64], choices: &[bool]) -> f64 {
    let mut sum = 0.0;
    for index in 0..a.len() {
        sum += sharpness[index] * squared_difference(a[index], b[index], choices[index]);
    }
    sum
}

/// Returns the Matérn-5/2 kernel of a squared distance.
fn covariance(square: f64, variance: f64) -> f64 {
    let distance = ROOT5 * square.sqrt();
    variance * (1.0 + distance + distance * distance / 3.0) * libm::exp(-distance)
}

/// Returns the derivative of the kernel by the squared distance.
fn kernel_slope(square: f64, variance: f64) -> f64 {
    let distance = ROOT5 * square.sqrt();
    -5.0 / 6.0 * variance * (1.0 + distance) * libm::exp(-distance)
}

/// Returns normal priors of the logarithms as (mean, standard deviation).
fn priors(dimensions: usize) -> impl Iterator<Item = (f64, f64)> {
    let length = (-1.2 + 0.25 * libm::log(dimensions as f64), 1.0);
    std::iter::repeat_n(length, dimensions).chain([(0.0, 1.5), (-11.5, 4.0)])
}

fn bounds(dimensions: usize) -> Vec<(f64, f64)> {
    let mut bounds = vec![(-3.5, 3.5); dimensions];
    bounds.extend([(-3.0, 5.0), (-18.5, 0.0)]);
    bounds
}

/// Returns the initial hyperparameters: smooth, wiggly, noisy and random.
fn starts(dimensions: usize, rng: &mut SearchRng) -> Vec<Hyperparameters> {
    let all = |length: f64, nugget: f64| {
        let mut start = vec![length; dimensions];
        start.extend([0.0, nugget]);
        start
    };
    let mut random = all(0.0, -9.0);
    random[..dimensions]
        .iter_mut()
        .for_each(|length| *length = -1.5 + 2.5 * rng.uniform());
    vec![all(-0.5, -9.0), all(-1.5, -14.0), all(0.3, -3.0), random]
}

/// The marginal likelihood of observations as a function of the hyperparameters.
struct Likelihood<'a> {
    observations: &'a Observations,
    /// Squared differences of every pair of points by dimension, in order of a lower triangle.
    differences: Vec<Vec<f64>>,
}

impl Likelihood<'_> {
    fn new(observations: &Observations) -> Likelihood<'_> {
        let mut differences = Vec::new();
        for (i, a) in observations.points.iter().enumerate() {
            for b in &observations.points[..i] {
                let parts = a.iter().zip(b).zip(&observations.choices);
                differences.push(
                    parts
                        .map(|((a, b), choice)| squared_difference(*a, *b, *choice))
                        .collect(),
                );
            }
        }
        Likelihood {
            observations,
            differences,
        }
    }

    /// Returns the negative logarithm without constants, including the priors; writes the gradient.
    fn negative_log(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let kernel = Kernel::new(at, &self.differences);
        let Some(factor) = Cholesky::new(kernel.covariances(&self.observations.noise)) else {
            return f64::INFINITY;
        };
        let values = &self.observations.values;
        let (mean, weights) = center(&factor, values);
        let centered: Vec<f64> = values.iter().map(|value| value - mean).collect();
        self.write_gradient(&kernel, &factor.inverse(), &weights, gradient);
        let value = 0.5 * dot(&centered, &weights) + 0.5 * factor.log_determinant();
        with_priors(at, value, gradient)
    }

    /// Writes the derivatives by the hyperparameters: half the trace of (inverse - weights·weightsᵀ)·dK.
    fn write_gradient(
        &self,
        kernel: &Kernel,
        inverse: &[Vec<f64>],
        weights: &[f64],
        gradient: &mut [f64],
    ) {
        let dimensions = kernel.sharpness.len();
        gradient.fill(0.0);
        let mut pairs = kernel.squares.iter().zip(&self.differences);
        for i in 0..weights.len() {
            for (j, (&square, parts)) in pairs.by_ref().take(i).enumerate() {
                let pull = inverse[i][j] - weights[i] * weights[j];
                let slope = -2.0 * pull * kernel_slope(square, kernel.variance);
                for index in 0..dimensions {
                    gradient[index] += slope * parts[index] * kernel.sharpness[index];
                }
                gradient[dimensions] += pull * covariance(square, kernel.variance);
            }
            let pull = 0.5 * (inverse[i][i] - weights[i] * weights[i]);
            gradient[dimensions] += pull * kernel.variance;
            gradient[dimensions + 1] += pull * kernel.nugget;
        }
    }
}

/// The kernel with some hyperparameters, between the points of some observations.
struct Kernel {
    sharpness: Vec<f64>,
    variance: f64,
    nugget: f64,
    /// The scaled squared distance of every pair of points, in order of a lower triangle.
    squares: Vec<f64>,
}

impl Kernel {
    fn new(at: &[f64], differences: &[Vec<f64>]) -> Kernel {
        let dimensions = at.len() - 2;
        let logs = at[..dimensions].iter();
        let sharpness: Vec<f64> = logs.map(|log| libm::exp(-2.0 * log)).collect();
        let squares = differences.iter().map(|parts| dot(parts, &sharpness));
        Kernel {
            squares: squares.collect(),
            variance: libm::exp(at[dimensions]),
            nugget: libm::exp(at[dimensions + 1]),
            sharpness,
        }
    }

    /// Returns the lower triangle of the covariances of the observations.
    fn covariances(&self, noise: &[f64]) -> Vec<Vec<f64>> {
        let mut squares = self.squares.iter();
        let row = |(i, noise): (usize, &f64)| {
            let before = squares.by_ref().take(i);
            let mut row: Vec<f64> = before
                .map(|&square| covariance(square, self.variance))
                .collect();
            row.push(self.variance + self.nugget + noise);
            row
        };
        noise.iter().enumerate().map(row).collect()
    }
}

/// Returns a value with the negative logarithms of the priors, and adds their derivatives to the gradient.
fn with_priors(at: &[f64], value: f64, gradient: &mut [f64]) -> f64 {
    let dimensions = at.len() - 2;
    let mut value = value;
    for ((at, gradient), (mean, deviation)) in at.iter().zip(gradient).zip(priors(dimensions)) {
        let away = (at - mean) / deviation;
        value += 0.5 * away * away;
        *gradient += away / deviation;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::rng::Stream;

    fn observations() -> Observations {
        let mut rng = SearchRng::new(3, 0, Stream::Random);
        let points: Vec<Vec<f64>> = (0..12)
            .map(|i| vec![rng.uniform(), rng.uniform(), f64::from(i % 2)])
            .collect();
        let values = points
            .iter()
            .map(|point| (3.0 * point[0]).sin() + point[1] * point[2])
            .collect();
        Observations {
            points,
            values,
            noise: vec![1e-3; 12],
            choices: vec![false, false, true],
        }
    }

    #[test]
    fn the_gradient_of_the_likelihood_is_its_slope() {
        let observations = observations();
        let likelihood = Likelihood::new(&observations);
        let at = [-0.7, 0.2, 0.4, 0.3, -4.0];
        let mut gradient = [0.0; 5];
        likelihood.negative_log(&at, &mut gradient);
        for index in 0..5 {
            let slope = |step: f64| {
                let mut moved = at;
                moved[index] += step;
                likelihood.negative_log(&moved, &mut [0.0; 5])
            };
            let expected = (slope(1e-5) - slope(-1e-5)) / 2e-5;
            assert!(
                (gradient[index] - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{index}: {gradient:?} {expected}"
            );
        }
    }

    #[test]
    fn the_gradient_of_the_improvement_is_its_slope() {
        let model = GaussianProcess::new(observations(), vec![-0.5, -0.2, 0.0, 0.1, -8.0]);
        let incumbent = model.incumbent();
        let (at, mut gradient) = ([0.4, 0.7, 1.0], [0.0; 3]);
        model.log_improvement(&at, incumbent, Some(&mut gradient));
        for index in 0..2 {
            let value = |step: f64| {
                let mut moved = at;
                moved[index] += step;
                model.log_improvement(&moved, incumbent, None)
            };
            let expected = (value(1e-6) - value(-1e-6)) / 2e-6;
            assert!(
                (gradient[index] - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{index}: {gradient:?} {expected}"
            );
        }
    }

    #[test]
    fn the_process_goes_through_certain_observations_and_is_unsure_elsewhere() {
        let mut certain = observations();
        certain.noise = vec![0.0; 12];
        let model = GaussianProcess::new(certain, vec![-0.5, -0.5, 0.0, 0.0, -18.0]);
        for (point, value) in model
            .observations
            .points
            .iter()
            .zip(&model.observations.values)
        {
            let mean = model.mean + dot(&model.covariances(point), &model.weights);
            assert!((mean - value).abs() < 1e-4, "{mean} {value}");
        }
    }
}
