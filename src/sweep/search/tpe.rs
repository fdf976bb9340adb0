//! The tree-structured Parzen estimator: proposes points where good trials are dense and bad ones
//! are not.
//!
//! Bergstra et al. 2011; multivariate as in BOHB (Falkner et al. 2018), so that values that are
//! good only in combination are proposed in combination; prior after Watanabe 2023. The best tenth
//! of the finished trials is good; the others, failed and pending ones are bad. A density is the
//! mean of a kernel around each of its trials and the uniform prior; an inactive dimension is
//! uniform in a kernel.

use super::{
    Known,
    acquisition::cumulative,
    rng::SearchRng,
    space::{Space, UnitPoint},
};

/// Number of points drawn from the density of good trials. The one with the best ratio is suggested.
const PROPOSALS: usize = 256;

pub(super) fn suggest(space: &Space, known: &[Known], rng: &mut SearchRng) -> UnitPoint {
    let mut ranked: Vec<&Known> = known.iter().filter(|known| is_inside(known)).collect();
    // Stable: of equal trials the earlier one ranks higher. Trials without a value rank last.
    ranked.sort_by(|a, b| {
        b.mean()
            .unwrap_or(f64::NEG_INFINITY)
            .total_cmp(&a.mean().unwrap_or(f64::NEG_INFINITY))
    });
    let finished = ranked.iter().filter(|known| known.mean().is_some()).count();
    let (good, bad) = ranked.split_at(finished.div_ceil(10).min(25));
    let good = Density::new(space, good);
    let bad = Density::new(space, bad);
    let mut proposals: Vec<(f64, UnitPoint)> = (0..PROPOSALS)
        .map(|_| good.draw(rng))
        .map(|unit| (good.log(&unit) - bad.log(&unit), unit))
        .collect();
    proposals.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut proposals = proposals.into_iter().map(|(_, unit)| unit);
    space.new_unit(known, || {
        proposals
            .next()
            .unwrap_or_else(|| space.unit(|_| rng.uniform()))
    })
}

/// True if all coordinates are within the bounds.
fn is_inside(known: &Known) -> bool {
    let mut coordinates = known.unit.iter().flatten();
    coordinates.all(|at| (0.0..=1.0).contains(at))
}

/// Standard deviation of every kernel, as a share of the range. For a few dozen trials, rules of
/// thumb such as Scott's make kernels too wide for the search to focus (benches/README.md).
const WIDTH: f64 = 0.07;

/// Probability that a choice is drawn from the uniform distribution.
const STRAY: f64 = 0.15;

/// A mixture of one kernel around each trial and the uniform prior.
struct Density<'a> {
    space: &'a Space,
    centers: Vec<&'a UnitPoint>,
}

impl<'a> Density<'a> {
    fn new(space: &'a Space, trials: &[&'a Known]) -> Density<'a> {
        Density {
            space,
            centers: trials.iter().map(|trial| &trial.unit).collect(),
        }
    }

    fn draw(&self, rng: &mut SearchRng) -> UnitPoint {
        let center = self.centers.get(rng.below(self.centers.len() + 1));
        self.space
            .unit(|index| match center.and_then(|center| center[index]) {
                None => rng.uniform(),
                Some(at) => self.near(index, at, rng),
            })
    }

    /// Draws a coordinate from the kernel around another.
    fn near(&self, index: usize, at: f64, rng: &mut SearchRng) -> f64 {
        if self.space.dimensions[index].range.is_choice() {
            let keep = rng.uniform() < 1.0 - STRAY;
            let anywhere = rng.uniform();
            return if keep { at } else { anywhere };
        }
        loop {
            let drawn = at + WIDTH * rng.normal();
            if (0.0..1.0).contains(&drawn) {
                return drawn;
            }
        }
    }

    fn log(&self, unit: &UnitPoint) -> f64 {
        let prior = 1.0;
        let sum: f64 = self
            .centers
            .iter()
            .map(|center| self.kernel(center, unit))
            .sum();
        libm::log((sum + prior) / (self.centers.len() as f64 + 1.0))
    }

    /// Returns the density of a kernel at a point, relative to the uniform density.
    fn kernel(&self, center: &UnitPoint, unit: &UnitPoint) -> f64 {
        let mut product = 1.0;
        for (index, (center, at)) in center.iter().zip(unit).enumerate() {
            let (Some(center), Some(at)) = (center, at) else {
                continue;
            };
            product *= self.relative(index, *center, *at);
        }
        product
    }

    fn relative(&self, index: usize, center: f64, at: f64) -> f64 {
        let range = &self.space.dimensions[index].range;
        let part = range.levels().map(|levels| 1.0 / levels as f64);
        if range.is_choice() {
            let kept = if (center - at).abs() < 1e-9 {
                (1.0 - STRAY) / part.unwrap_or(1.0)
            } else {
                0.0
            };
            return kept + STRAY;
        }
        let inside = mass(center, 0.0, 1.0);
        // A value represents a part of the range: the mean density over that part.
        let half = 0.5 * part.unwrap_or(1e-4).max(1e-4);
        mass(center, at - half, at + half) / (2.0 * half * inside)
    }
}

/// Returns the probability that the normal kernel around `center` assigns to an interval.
fn mass(center: f64, low: f64, high: f64) -> f64 {
    cumulative((high - center) / WIDTH) - cumulative((low - center) / WIDTH)
}
