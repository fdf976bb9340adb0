//! Expected improvement under a Gaussian process.
//!
//! The process has a constant mean and a Matern-5/2 kernel with a length scale for each dimension; two values of a
//! choice are one unit apart, and a dimension that is not active counts as in the middle. An observation's noise is
//! its standard error over folds plus a nugget that is learnt, as Ax has it. Length scales, variance and
//! nugget maximise the marginal likelihood, with weak priors and from several starts. The mean of the process at
//! the best observed point, not the luckiest observation, is what is to be improved upon.

use super::{
    Known, Outcome,
    acquisition::log_improvement,
    draw::Draws,
    linear::{Cholesky, dot},
    minimise::minimise,
    space::{Space, Unit},
};

const ROOT5: f64 = 2.236_067_977_499_79;

/// How many proposals are drawn all over the space, and around each of the best points.
const SPREAD: usize = 512;
const AROUND: usize = 32;
/// How many of the best points proposals are drawn around, and how many proposals are refined.
const CENTRES: usize = 4;
const REFINED: usize = 6;

/// The standard deviation of a failed trial's imputed value, in standard deviations of the finished ones.
const FAILED_NOISE: f64 = 0.5;

/// The point of highest expected improvement that was not tried.
pub(super) fn suggest(space: &Space, known: &[Known], draws: &mut Draws) -> Unit {
    let observations = Observations::new(space, known);
    let model = Model::fit(observations, draws).believing(space, known);
    let incumbent = model.incumbent();
    let score = |unit: &Unit| model.log_improvement(&features(unit), incumbent, None);

    let mut proposals = proposals(space, known, draws);
    let mut scored: Vec<(f64, Unit)> = proposals
        .drain(..)
        .map(|unit| (score(&unit), unit))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut best: Option<(f64, Unit)> = None;
    for (_, unit) in scored.iter().take(REFINED) {
        let refined = refine(space, &model, incumbent, unit);
        let found = (score(&refined), refined);
        if !space.is_known(known, &found.1) && best.as_ref().is_none_or(|best| found.0 > best.0) {
            best = Some(found);
        }
    }
    let mut rest = scored.into_iter().map(|(_, unit)| unit);
    best.map_or_else(
        || {
            space.new_unit(known, || {
                rest.next()
                    .unwrap_or_else(|| space.unit(|_| draws.uniform()))
            })
        },
        |(_, unit)| unit,
    )
}

/// Proposals all over the space, and near its best points.
fn proposals(space: &Space, known: &[Known], draws: &mut Draws) -> Vec<Unit> {
    let mut proposals: Vec<Unit> = (0..SPREAD)
        .map(|_| space.unit(|_| draws.uniform()))
        .collect();
    let mut best: Vec<&Known> = known
        .iter()
        .filter(|known| known.mean().is_some())
        .collect();
    best.sort_by(|a, b| {
        b.mean()
            .unwrap_or(f64::MIN)
            .total_cmp(&a.mean().unwrap_or(f64::MIN))
    });
    for centre in best.into_iter().take(CENTRES) {
        for number in 0..AROUND {
            let width = [0.2, 0.05, 0.01][number % 3];
            proposals.push(near(space, &centre.unit, width, draws));
        }
    }
    proposals
}

/// A point near another: numbers move a little, now and then a choice changes.
fn near(space: &Space, centre: &Unit, width: f64, draws: &mut Draws) -> Unit {
    space.unit(|place| {
        let (jump, step) = (draws.uniform(), draws.normal());
        let anywhere = draws.uniform();
        let Some(at) = centre[place] else {
            return anywhere;
        };
        if space.dimensions[place].range.is_choice() {
            return if jump < 0.2 { anywhere } else { at };
        }
        (at + width * step).clamp(0.0, 1.0)
    })
}

/// A local maximum of the improvement: ascent along numbers, then to and fro between neighbouring values of what
/// has only some, until neither helps.
fn refine(space: &Space, model: &Model, incumbent: f64, start: &Unit) -> Unit {
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

fn ascend(space: &Space, model: &Model, incumbent: f64, unit: &Unit) -> Unit {
    let start = features(unit);
    let free = |place: usize| unit[place].is_some() && !space.dimensions[place].range.is_choice();
    let bounds: Vec<(f64, f64)> = (0..start.len())
        .map(|place| {
            if free(place) {
                (0.0, 1.0)
            } else {
                (start[place], start[place])
            }
        })
        .collect();
    let (end, _) = minimise(
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
        .map(|(place, unit)| unit.map(|_| space.snap(place, end[place])))
        .collect()
}

fn step(space: &Space, model: &Model, incumbent: f64, start: &Unit) -> Unit {
    let score = |unit: &Unit| model.log_improvement(&features(unit), incumbent, None);
    let (mut best, mut unit) = (score(start), start.clone());
    for place in 0..start.len() {
        for neighbour in neighbours(space, place, &unit) {
            let value = score(&neighbour);
            if value > best {
                (best, unit) = (value, neighbour);
            }
        }
    }
    unit
}

/// The point with another value of one dimension: any of a choice, the next lower and higher of the others.
fn neighbours(space: &Space, place: usize, unit: &Unit) -> Vec<Unit> {
    let (Some(at), Some(levels)) = (unit[place], space.dimensions[place].range.levels()) else {
        return Vec::new();
    };
    let part = |at: f64| (at + 0.5) / levels as f64;
    let own = (at * levels as f64).floor();
    let values: Vec<f64> = if space.dimensions[place].range.is_choice() {
        (0..levels).map(|level| level as f64).collect()
    } else {
        vec![own - 1.0, own + 1.0]
    };
    let inside = values
        .into_iter()
        .filter(|&value| value != own && value >= 0.0 && value < levels as f64);
    inside
        .map(|value| {
            let mut unit = unit.clone();
            unit[place] = Some(part(value));
            space.deactivate(&mut unit);
            unit
        })
        .collect()
}

fn features(unit: &Unit) -> Vec<f64> {
    unit.iter().map(|at| at.unwrap_or(0.5)).collect()
}

/// What the process is fitted to, standardised: mean 0 and variance 1 of the finished trials' values.
struct Observations {
    points: Vec<Vec<f64>>,
    values: Vec<f64>,
    /// Variances of the values that are known beforehand.
    noise: Vec<f64>,
    /// Which dimensions are choices.
    choices: Vec<bool>,
}

impl Observations {
    fn new(space: &Space, known: &[Known]) -> Observations {
        let means: Vec<f64> = known.iter().filter_map(Known::mean).collect();
        let count = means.len() as f64;
        let centre = means.iter().sum::<f64>() / count;
        let variance = means
            .iter()
            .map(|mean| (mean - centre) * (mean - centre))
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
                Outcome::Finished { mean, sem } => (
                    mean,
                    sem.filter(|sem| sem.is_finite())
                        .map_or(0.0, |sem| sem / deviation),
                ),
                Outcome::Failed => (worst, FAILED_NOISE),
                Outcome::Pending => continue,
            };
            observations.points.push(features(&trial.unit));
            observations.values.push((value - centre) / deviation);
            observations.noise.push(noise * noise);
        }
        observations
    }
}

/// The squared difference of two values of a dimension.
fn squared_difference(a: f64, b: f64, choice: bool) -> f64 {
    match choice {
        true if (a - b).abs() > 1e-9 => 1.0,
        true => 0.0,
        false => (a - b) * (a - b),
    }
}

/// Length scales, variance and nugget, in logarithms: in this order, one number each.
type Hyperparameters = Vec<f64>;

/// A process that knows its observations.
struct Model {
    observations: Observations,
    hyperparameters: Hyperparameters,
    /// 1 / length scale².
    sharpness: Vec<f64>,
    variance: f64,
    mean: f64,
    factor: Cholesky,
    /// The inverse covariance times the centred values.
    weights: Vec<f64>,
}

impl Model {
    fn fit(observations: Observations, draws: &mut Draws) -> Model {
        let dimensions = observations.choices.len();
        let likelihood = Likelihood::new(&observations);
        let bounds = bounds(dimensions);
        let mut best: Option<(Hyperparameters, f64)> = None;
        for start in starts(dimensions, draws) {
            let found = minimise(
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
        Model::new(observations, hyperparameters)
    }

    fn new(observations: Observations, hyperparameters: Hyperparameters) -> Model {
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
                    kernel(
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
        let (mean, weights) = centre(&factor, &observations.values);
        Model {
            observations,
            hyperparameters,
            sharpness,
            variance,
            mean,
            factor,
            weights,
        }
    }

    /// The same, with every pending trial observed where it was expected.
    fn believing(mut self, space: &Space, known: &[Known]) -> Model {
        debug_assert_eq!(space.dimensions.len(), self.observations.choices.len());
        let pending = known
            .iter()
            .filter(|known| known.outcome == Outcome::Pending);
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
        Model::new(self.observations, self.hyperparameters)
    }

    fn covariances(&self, at: &[f64]) -> Vec<f64> {
        let distance =
            |point| squared_distance(at, point, &self.sharpness, &self.observations.choices);
        self.observations
            .points
            .iter()
            .map(|point| kernel(distance(point), self.variance))
            .collect()
    }

    /// The highest mean of the process at the points that it knows.
    fn incumbent(&self) -> f64 {
        let mean = |point: &Vec<f64>| self.mean + dot(&self.covariances(point), &self.weights);
        self.observations
            .points
            .iter()
            .map(mean)
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// The logarithm of the expected improvement, and, where wanted, its gradient.
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
                for (place, gradient) in gradient.iter_mut().enumerate() {
                    *gradient += factor * self.sharpness[place] * (at[place] - point[place]);
                }
            }
        }
        log
    }
}

/// The constant mean that makes the values most likely, and the weights of the centred values.
fn centre(factor: &Cholesky, values: &[f64]) -> (f64, Vec<f64>) {
    let ones = factor.solve(&vec![1.0; values.len()]);
    let mean = dot(&ones, values) / ones.iter().sum::<f64>();
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    (mean, factor.solve(&centred))
}

fn squared_distance(a: &[f64], b: &[f64], sharpness: &[f64], choices: &[bool]) -> f64 {
    let mut sum = 0.0;
    for place in 0..a.len() {
        sum += sharpness[place] * squared_difference(a[place], b[place], choices[place]);
    }
    sum
}

/// The Matern-5/2 kernel of a squared distance.
fn kernel(square: f64, variance: f64) -> f64 {
    let distance = ROOT5 * square.sqrt();
    variance * (1.0 + distance + distance * distance / 3.0) * libm::exp(-distance)
}

/// Its derivative by the squared distance.
fn kernel_slope(square: f64, variance: f64) -> f64 {
    let distance = ROOT5 * square.sqrt();
    -5.0 / 6.0 * variance * (1.0 + distance) * libm::exp(-distance)
}

/// Normal priors on the logarithms, as (mean, standard deviation): length scale, variance, nugget.
fn priors(dimensions: usize) -> impl Iterator<Item = (f64, f64)> {
    let length = (-1.2 + 0.25 * libm::log(dimensions as f64), 1.0);
    std::iter::repeat_n(length, dimensions).chain([(0.0, 1.5), (-11.5, 4.0)])
}

fn bounds(dimensions: usize) -> Vec<(f64, f64)> {
    let mut bounds = vec![(-3.5, 3.5); dimensions];
    bounds.extend([(-3.0, 5.0), (-18.5, 0.0)]);
    bounds
}

/// Where the search for hyperparameters begins: smooth, wiggly, noisy, and at random.
fn starts(dimensions: usize, draws: &mut Draws) -> Vec<Hyperparameters> {
    let all = |length: f64, nugget: f64| {
        let mut start = vec![length; dimensions];
        start.extend([0.0, nugget]);
        start
    };
    let mut random = all(0.0, -9.0);
    random[..dimensions]
        .iter_mut()
        .for_each(|length| *length = -1.5 + 2.5 * draws.uniform());
    vec![all(-0.5, -9.0), all(-1.5, -14.0), all(0.3, -3.0), random]
}

/// The marginal likelihood of observations as a function of the hyperparameters.
struct Likelihood<'a> {
    observations: &'a Observations,
    /// The squared differences of every pair of points by dimension, in the order of a lower triangle.
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

    /// Its negative logarithm without constants, with the priors, and the gradient.
    fn negative_log(&self, at: &[f64], gradient: &mut [f64]) -> f64 {
        let dimensions = self.observations.choices.len();
        let sharpness: Vec<f64> = at[..dimensions]
            .iter()
            .map(|log| libm::exp(-2.0 * log))
            .collect();
        let (variance, nugget) = (libm::exp(at[dimensions]), libm::exp(at[dimensions + 1]));
        let squares: Vec<f64> = self
            .differences
            .iter()
            .map(|parts| dot(parts, &sharpness))
            .collect();
        let mut pair = squares.iter();
        let rows = self
            .observations
            .noise
            .iter()
            .enumerate()
            .map(|(i, noise)| {
                let mut row: Vec<f64> = pair
                    .by_ref()
                    .take(i)
                    .map(|&square| kernel(square, variance))
                    .collect();
                row.push(variance + nugget + noise);
                row
            });
        let Some(factor) = Cholesky::new(rows.collect()) else {
            return f64::INFINITY;
        };
        let (mean, weights) = centre(&factor, &self.observations.values);
        let centred: Vec<f64> = self
            .observations
            .values
            .iter()
            .map(|value| value - mean)
            .collect();
        let mut value = 0.5 * dot(&centred, &weights) + 0.5 * factor.log_determinant();

        // The derivative by a hyperparameter is half the trace of (inverse - weights·weightsᵀ)·dK.
        gradient.fill(0.0);
        let (inverse, mut pair) = (factor.inverse(), 0);
        for i in 0..weights.len() {
            for j in 0..i {
                let pull = inverse[i][j] - weights[i] * weights[j];
                let slope = -2.0 * pull * kernel_slope(squares[pair], variance);
                for place in 0..dimensions {
                    gradient[place] += slope * self.differences[pair][place] * sharpness[place];
                }
                gradient[dimensions] += pull * kernel(squares[pair], variance);
                pair += 1;
            }
            let pull = 0.5 * (inverse[i][i] - weights[i] * weights[i]);
            gradient[dimensions] += pull * variance;
            gradient[dimensions + 1] += pull * nugget;
        }
        for ((at, gradient), (mean, deviation)) in at.iter().zip(gradient).zip(priors(dimensions)) {
            let away = (at - mean) / deviation;
            value += 0.5 * away * away;
            *gradient += away / deviation;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::draw::Purpose;

    fn observations() -> Observations {
        let mut draws = Draws::new(3, 0, Purpose::Random);
        let points: Vec<Vec<f64>> = (0..12)
            .map(|i| vec![draws.uniform(), draws.uniform(), f64::from(i % 2)])
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
        for place in 0..5 {
            let slope = |step: f64| {
                let mut moved = at;
                moved[place] += step;
                likelihood.negative_log(&moved, &mut [0.0; 5])
            };
            let expected = (slope(1e-5) - slope(-1e-5)) / 2e-5;
            assert!(
                (gradient[place] - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{place}: {gradient:?} {expected}"
            );
        }
    }

    #[test]
    fn the_gradient_of_the_improvement_is_its_slope() {
        let model = Model::new(observations(), vec![-0.5, -0.2, 0.0, 0.1, -8.0]);
        let incumbent = model.incumbent();
        let (at, mut gradient) = ([0.4, 0.7, 1.0], [0.0; 3]);
        model.log_improvement(&at, incumbent, Some(&mut gradient));
        for place in 0..2 {
            let value = |step: f64| {
                let mut moved = at;
                moved[place] += step;
                model.log_improvement(&moved, incumbent, None)
            };
            let expected = (value(1e-6) - value(-1e-6)) / 2e-6;
            assert!(
                (gradient[place] - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{place}: {gradient:?} {expected}"
            );
        }
    }

    #[test]
    fn the_process_goes_through_certain_observations_and_is_unsure_elsewhere() {
        let mut certain = observations();
        certain.noise = vec![0.0; 12];
        let model = Model::new(certain, vec![-0.5, -0.5, 0.0, 0.0, -18.0]);
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
