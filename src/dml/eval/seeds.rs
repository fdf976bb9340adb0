//! Initial centers of clusters by k-means++, many at a time.
//!
//! Arthur & Vassilvitskii, "k-means++", SODA 2007: each next center is a row drawn with a
//! probability proportional to its squared distance from the nearest center so far. Drawing with
//! outdated distances and accepting a row with probability *current distance / outdated distance*
//! gives the same probabilities but needs the current distance of one row only. All distances are
//! updated for many centers at once, as a product of matrices.

use rayon::prelude::*;

use super::{
    embeddings::{Embeddings, squared_distance},
    error::EvalError,
    neighbors::nearest_by_distance,
    resources::EvalResources,
};
use crate::random::{Draws, Purpose};

/// Largest number of centers drawn between two updates of the distances.
const MAX_DRAWN: usize = 1024;

/// Rejected rows after which the distances are updated.
const MAX_REJECTED: usize = 16;

/// Draws `clusters` rows. If all rows equal a center already, repeats the first row.
///
/// # Errors
/// If it is stopped.
pub(super) fn seeds(
    rows: &Embeddings,
    clusters: usize,
    seed: u64,
    resources: EvalResources,
) -> Result<Embeddings, EvalError> {
    let mut draws = Draws::new(seed, Purpose::Clusters, 0, 0);
    let mut distances = CenterDistances {
        rows,
        nearest: vec![f64::INFINITY; rows.len()],
        cumulative: Vec::new(),
    };
    let mut chosen = vec![draws.below(rows.len())];
    let mut known = 0;
    while chosen.len() < clusters {
        distances.add(&chosen[known..], resources)?;
        known = chosen.len();
        if distances.total() == 0.0 {
            chosen.resize(clusters, 0);
            break;
        }
        let most = clusters.min(known + known.min(MAX_DRAWN));
        let mut rejected = 0;
        while chosen.len() < most && rejected < MAX_REJECTED {
            match distances.draw(&chosen[known..], &mut draws) {
                Some(row) => chosen.push(row),
                None => rejected += 1,
            }
        }
    }
    Ok(rows.select(&chosen))
}

/// Squared distance of each row from the nearest center.
struct CenterDistances<'a> {
    rows: &'a Embeddings,
    nearest: Vec<f64>,
    /// Cumulative sums of `nearest`.
    cumulative: Vec<f64>,
}

impl CenterDistances<'_> {
    /// Updates the distances with further centers.
    fn add(&mut self, centers: &[usize], resources: EvalResources) -> Result<(), EvalError> {
        let rows = self.rows;
        let centers = rows.select(centers);
        let found = nearest_by_distance(rows, &centers, resources)?;
        let nearest = self.nearest.par_iter_mut().enumerate();
        nearest.for_each(|(row, nearest)| {
            let center = centers.row(found.of(row)[0] as usize);
            *nearest = nearest.min(squared_distance(rows.row(row), center));
        });
        self.cumulative.clear();
        let mut sum = 0.0;
        for distance in &self.nearest {
            sum += distance;
            self.cumulative.push(sum);
        }
        Ok(())
    }

    fn total(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// Draws a row; rejects it if one of the `new` centers is too near.
    fn draw(&self, new: &[usize], draws: &mut Draws) -> Option<usize> {
        let drawn = draws.uniform() * self.total();
        let row = self.cumulative.partition_point(|sum| *sum <= drawn);
        let row = row.min(self.rows.len() - 1);
        let mut current = self.nearest[row];
        for &center in new {
            let distance = squared_distance(self.rows.row(row), self.rows.row(center));
            current = current.min(distance);
        }
        (draws.uniform() * self.nearest[row] < current).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws centers one by one, each from distances to all before.
    fn one_by_one(rows: &Embeddings, clusters: usize, draws: &mut Draws) -> Vec<usize> {
        let mut chosen = vec![draws.below(rows.len())];
        while chosen.len() < clusters {
            let of = |row| {
                chosen
                    .iter()
                    .map(|&center| squared_distance(rows.row(row), rows.row(center)))
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
    fn sets_of_centers_are_as_likely_as_if_drawn_one_by_one() {
        let values = [0.0, 0.3, 1.0, 1.2, 4.0, 4.5, 9.0f32];
        let rows = Embeddings::new(values.to_vec(), 1).unwrap();
        let (clusters, trials) = (5, 8_000);
        let set = |chosen: &mut dyn Iterator<Item = usize>| {
            chosen.fold(0usize, |set, row| set | 1 << row)
        };
        let mut counts = vec![[0.0; 2]; 1 << values.len()];
        for seed in 0..trials {
            let found = seeds(&rows, clusters, seed, EvalResources::default()).unwrap();
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
        let rows =
            Embeddings::new((0..600).map(|value| (value % 300) as f32).collect(), 2).unwrap();
        let found = seeds(&rows, 150, 1, EvalResources::default()).unwrap();
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
