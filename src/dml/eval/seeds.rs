//! The first centres of clusters: k-means++, many at a time.
//!
//! Arthur & Vassilvitskii, "k-means++", SODA 2007: each next centre is a row drawn with a probability proportional to
//! its squared distance from the nearest centre so far. Drawing with distances from some centres ago and accepting a
//! row with the probability *distance now / distance then* gives the same probabilities, and needs the distances
//! of that row alone. So those of all rows are brought up to date for many centres at once, as a product of matrices.

use rayon::prelude::*;

use super::{Comparison, Resources, Rows, neighbours::among, retrieval::Itself};
use crate::random::{Draws, Purpose};

/// Centres drawn at most before distances are brought up to date.
const MOST: usize = 1024;

/// Rows refused before they are.
const PATIENCE: usize = 16;

/// Draws as many rows as there shall be clusters. Where all rows equal a centre already, the first one is repeated.
pub(super) fn seeds(rows: &Rows, clusters: usize, seed: u64, resources: Resources) -> Rows {
    let mut draws = Draws::new(seed, Purpose::Clusters, 0, 0);
    let mut distances = Distances {
        rows,
        nearest: vec![f64::INFINITY; rows.len()],
        up_to: Vec::new(),
    };
    let mut chosen = vec![draws.below(rows.len())];
    let mut known = 0;
    while chosen.len() < clusters {
        distances.add(&chosen[known..], resources);
        known = chosen.len();
        if distances.total() == 0.0 {
            chosen.resize(clusters, 0);
            break;
        }
        let most = clusters.min(known + known.min(MOST));
        let mut refused = 0;
        while chosen.len() < most && refused < PATIENCE {
            match distances.draw(&chosen[known..], &mut draws) {
                Some(row) => chosen.push(row),
                None => refused += 1,
            }
        }
    }
    rows.part(&chosen)
}

/// The squared distance of each row from the nearest of some centres.
struct Distances<'a> {
    rows: &'a Rows,
    nearest: Vec<f64>,
    /// The sums of those up to each row.
    up_to: Vec<f64>,
}

impl Distances<'_> {
    /// Takes further centres into account.
    fn add(&mut self, centres: &[usize], resources: Resources) {
        let rows = self.rows;
        let centres = rows.part(centres);
        let found = among(
            (rows, &centres),
            Comparison::Euclidean,
            Itself::Nowhere,
            1,
            resources,
        );
        self.nearest
            .par_iter_mut()
            .enumerate()
            .for_each(|(row, nearest)| {
                *nearest = nearest.min(distance(
                    rows.row(row),
                    centres.row(found.of(row)[0] as usize),
                ));
            });
        let sums = self.nearest.iter().scan(0.0, |sum, distance| {
            *sum += distance;
            Some(*sum)
        });
        self.up_to = sums.collect();
    }

    fn total(&self) -> f64 {
        self.up_to.last().copied().unwrap_or(0.0)
    }

    /// Draws a row, and refuses it if a centre among `since` is too near.
    fn draw(&self, since: &[usize], draws: &mut Draws) -> Option<usize> {
        let place = draws.uniform() * self.total();
        let row = self
            .up_to
            .partition_point(|sum| *sum <= place)
            .min(self.rows.len() - 1);
        let now = since
            .iter()
            .map(|&centre| distance(self.rows.row(row), self.rows.row(centre)));
        let now = now.fold(self.nearest[row], f64::min);
        (draws.uniform() * self.nearest[row] < now).then_some(row)
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    -Comparison::Euclidean.similarity(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Centres drawn one after the other, each from distances to all before.
    fn one_by_one(rows: &Rows, clusters: usize, draws: &mut Draws) -> Vec<usize> {
        let mut chosen = vec![draws.below(rows.len())];
        while chosen.len() < clusters {
            let of = |row| {
                chosen
                    .iter()
                    .map(|&centre| distance(rows.row(row), rows.row(centre)))
                    .fold(f64::MAX, f64::min)
            };
            let distances: Vec<f64> = (0..rows.len()).map(of).collect();
            let mut left = draws.uniform() * distances.iter().sum::<f64>();
            let drawn = distances.iter().position(|distance| {
                left -= distance;
                left < 0.0
            });
            chosen.push(drawn.unwrap());
        }
        chosen
    }

    #[test]
    fn sets_of_centres_are_as_likely_as_if_drawn_one_by_one() {
        let values = [0.0, 0.3, 1.0, 1.2, 4.0, 4.5, 9.0f32];
        let rows = Rows::new(values.to_vec(), 1).unwrap();
        let (clusters, trials) = (5, 8_000);
        let set = |chosen: &mut dyn Iterator<Item = usize>| {
            chosen.fold(0usize, |set, row| set | 1 << row)
        };
        let mut counts = vec![[0.0; 2]; 1 << values.len()];
        for seed in 0..trials {
            let found = seeds(&rows, clusters, seed, Resources::default());
            let place = |value: &f32| values.iter().position(|other| other == value).unwrap();
            counts[set(&mut found.values().iter().map(place))][0] += 1.0;
            let mut draws = Draws::new(seed, Purpose::Weights, 1, 0);
            counts[set(&mut one_by_one(&rows, clusters, &mut draws).into_iter())][1] += 1.0;
        }
        let seen: Vec<[f64; 2]> = counts
            .into_iter()
            .filter(|[ours, theirs]| ours + theirs > 20.0)
            .collect();
        assert!(seen.len() > 8, "{} sets", seen.len());
        for [ours, theirs] in seen {
            let sigma = (ours + theirs).sqrt();
            assert!(
                (ours - theirs).abs() < 4.5 * sigma,
                "{ours} and {theirs} of {trials}"
            );
        }
    }

    #[test]
    fn no_row_is_drawn_twice_while_others_are_left() {
        let rows = Rows::new((0..600).map(|value| (value % 300) as f32).collect(), 2).unwrap();
        let found = seeds(&rows, 150, 1, Resources::default());
        let mut first: Vec<u32> = found
            .values()
            .iter()
            .step_by(2)
            .map(|value| *value as u32)
            .collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 150);
    }
}
