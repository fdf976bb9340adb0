//! The tree-structured Parzen estimator: propose where good trials are dense and bad ones are not.
//!
//! Bergstra et al. 2011; multivariate as in BOHB (Falkner et al. 2018), so that values that are good only together
//! are found together; the prior after Watanabe 2023. The better tenth of the finished trials
//! is good; the rest, failed and pending ones are bad. A density is the mean of one kernel around each of its
//! trials and of the uniform prior; a dimension that is not active in a trial is uniform in its kernel.

use super::{
    Known,
    acquisition::cumulative,
    draw::Draws,
    space::{Space, Unit},
};

/// How many points are drawn from the density of the good, to find the one least like the bad.
const PROPOSALS: usize = 256;

pub(super) fn suggest(space: &Space, known: &[Known], draws: &mut Draws) -> Unit {
    let inside = |known: &&Known| {
        known
            .unit
            .iter()
            .flatten()
            .all(|at| (0.0..=1.0).contains(at))
    };
    let mut ranked: Vec<&Known> = known.iter().filter(inside).collect();
    // Stable: of equals the earlier one ranks higher. What has no value comes last.
    ranked.sort_by(|a, b| {
        b.mean()
            .unwrap_or(f64::NEG_INFINITY)
            .total_cmp(&a.mean().unwrap_or(f64::NEG_INFINITY))
    });
    let finished = ranked.iter().filter(|known| known.mean().is_some()).count();
    let (good, bad) = ranked.split_at(finished.div_ceil(10).min(25));
    let (good, bad) = (Density::new(space, good), Density::new(space, bad));
    let mut proposals: Vec<(f64, Unit)> = (0..PROPOSALS)
        .map(|_| good.draw(draws))
        .map(|unit| (good.log(&unit) - bad.log(&unit), unit))
        .collect();
    proposals.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut proposals = proposals.into_iter().map(|(_, unit)| unit);
    space.new_unit(known, || {
        proposals
            .next()
            .unwrap_or_else(|| space.unit(|_| draws.uniform()))
    })
}

/// The deviation of every kernel, in widths of the range. Of a few dozen trials rules of thumb such as Scott's make
/// kernels so wide that the search goes nowhere in particular (benches/README.md).
const WIDTH: f64 = 0.07;

/// The probability that a choice is drawn anew, uniformly.
const STRAY: f64 = 0.15;

/// A mixture of kernels, one around each trial, and the uniform prior.
struct Density<'a> {
    space: &'a Space,
    centres: Vec<&'a Unit>,
}

impl<'a> Density<'a> {
    fn new(space: &'a Space, trials: &[&'a Known]) -> Density<'a> {
        Density {
            space,
            centres: trials.iter().map(|trial| &trial.unit).collect(),
        }
    }

    fn draw(&self, draws: &mut Draws) -> Unit {
        let centre = self.centres.get(draws.below(self.centres.len() + 1));
        self.space
            .unit(|place| match centre.and_then(|centre| centre[place]) {
                None => draws.uniform(),
                Some(at) => self.near(place, at, draws),
            })
    }

    /// A coordinate from the kernel around another.
    fn near(&self, place: usize, at: f64, draws: &mut Draws) -> f64 {
        if self.space.dimensions[place].range.is_choice() {
            let keep = draws.uniform() < 1.0 - STRAY;
            let anywhere = draws.uniform();
            return if keep { at } else { anywhere };
        }
        loop {
            let drawn = at + WIDTH * draws.normal();
            if (0.0..1.0).contains(&drawn) {
                return drawn;
            }
        }
    }

    fn log(&self, unit: &Unit) -> f64 {
        let prior = 1.0;
        let sum: f64 = self
            .centres
            .iter()
            .map(|centre| self.kernel(centre, unit))
            .sum();
        libm::log((sum + prior) / (self.centres.len() as f64 + 1.0))
    }

    /// The density at a point of the kernel around another, relative to the uniform one.
    fn kernel(&self, centre: &Unit, unit: &Unit) -> f64 {
        let mut product = 1.0;
        for (place, (centre, at)) in centre.iter().zip(unit).enumerate() {
            let (Some(centre), Some(at)) = (centre, at) else {
                continue;
            };
            product *= self.relative(place, *centre, *at);
        }
        product
    }

    fn relative(&self, place: usize, centre: f64, at: f64) -> f64 {
        let range = &self.space.dimensions[place].range;
        let part = range.levels().map(|levels| 1.0 / levels as f64);
        if range.is_choice() {
            let kept = if (centre - at).abs() < 1e-9 {
                (1.0 - STRAY) / part.unwrap_or(1.0)
            } else {
                0.0
            };
            return kept + STRAY;
        }
        let below = |at: f64| cumulative((at - centre) / WIDTH);
        let inside = below(1.0) - below(0.0);
        // Of a value that stands for a part of the range, the mean density over that part.
        let half = 0.5 * part.unwrap_or(1e-4).max(1e-4);
        (below(at + half) - below(at - half)) / (2.0 * half * inside)
    }
}
