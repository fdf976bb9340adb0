//! Divisions of the training images among heads. Sanakoyeu, Tschernezki, Buechler & Ommer, "Divide and Conquer the
//! Embedding Space for Metric Learning", CVPR 2019.
//!
//! k-means makes as many clusters of the surveyed embeddings as there are heads. Each cluster goes to a head such that as
//! many images as possible keep the head that they had. [`BatchSampler::divided`](crate::sampler::BatchSampler::divided)
//! then forms batches of one cluster, in turn, and [`Objective::active`](crate::objective::Objective::active) is its head.
//!
//! Reference: CompVis/metric-learning-divide-and-conquer (the authors' program), read and not run. Differs: clusters are of
//! the joined embeddings instead of the features below them, by one k-means of 20 rounds instead of the best of five of 100;
//! there is none before the first survey; and when all images are trained on in the end, each head keeps its loss, where
//! the program has one for the whole embedding.

use tch::Tensor;

use crate::{
    eval::{Embeddings, EvalError, EvalResources, k_means},
    state::{State, StateError, copy, overwrite},
};

/// The head of each training image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    heads: usize,
    of_images: Vec<i64>,
}

impl Division {
    /// Divides images with these embeddings `[n, d]` among a number of heads. `before` is the division until now.
    ///
    /// # Errors
    /// If the embeddings are not finite, or it is stopped.
    pub fn new(
        embeddings: &Tensor,
        heads: usize,
        seed: u64,
        before: Option<&Division>,
        resources: EvalResources,
    ) -> Result<Division, EvalError> {
        let rows = Embeddings::from_tensor(embeddings)?;
        let clusters = k_means(&rows, heads, seed, resources)?;
        let places = match before {
            Some(before) => matched(&overlaps(&clusters, &before.of_images, heads)),
            None => (0..heads).collect(),
        };
        let head = |&cluster: &i64| places[cluster as usize] as i64;
        Ok(Division {
            heads,
            of_images: clusters.iter().map(head).collect(),
        })
    }

    /// Returns the division with these heads of images.
    #[cfg(test)]
    pub(crate) fn of(heads: usize, of_images: Vec<i64>) -> Division {
        Division { heads, of_images }
    }

    /// Returns the number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Returns the head of each image.
    pub fn of_images(&self) -> &[i64] {
        &self.of_images
    }

    /// Returns what [`restored`](Self::restored) needs.
    pub fn state(&self) -> State {
        vec![copy(HEADS, &Tensor::from_slice(&self.of_images))]
    }

    /// Returns the division with this state, of this number of images among this number of heads.
    ///
    /// # Errors
    /// If the state is not that of such a division.
    pub fn restored(state: &State, images: usize, heads: usize) -> Result<Division, StateError> {
        let mut found = Tensor::from_slice(&vec![0i64; images]);
        overwrite(&mut [(HEADS, &mut found)], state)?;
        let of_images = (0..images as i64).map(|image| found.int64_value(&[image]));
        Ok(Division {
            heads,
            of_images: of_images.collect(),
        })
    }
}

/// The name of the tensor in a state.
const HEADS: &str = "heads";

/// Returns for each cluster how many of its images each head had.
fn overlaps(clusters: &[i64], before: &[i64], heads: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; heads]; heads];
    for (&cluster, &head) in clusters.iter().zip(before) {
        counts[cluster as usize][head as usize] += 1;
    }
    counts
}

/// Returns for each row a column of its own, such that the sum of the elements is the largest: over all sets of columns,
/// each the best of its largest proper subsets.
fn matched(gains: &[Vec<usize>]) -> Vec<usize> {
    let columns = gains.len();
    let sets = 1usize << columns;
    let mut best = vec![0; sets];
    let mut last = vec![0; sets];
    for set in 1..sets {
        let row = set.count_ones() as usize - 1;
        let with = |column: usize| best[set & !(1 << column)] + gains[row][column];
        let members = (0..columns).filter(|column| set & (1 << column) != 0);
        // Of equals, the first column.
        let column = members
            .rev()
            .max_by_key(|&column| with(column))
            .unwrap_or(0);
        (best[set], last[set]) = (with(column), column);
    }
    let mut places = vec![0; columns];
    let mut set = sets - 1;
    for place in places.iter_mut().rev() {
        *place = last[set];
        set &= !(1 << last[set]);
    }
    places
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::{distance::normalize, testing::noise};

    /// All orders of some numbers.
    fn orders(numbers: &[usize]) -> Vec<Vec<usize>> {
        let Some((first, rest)) = numbers.split_first() else {
            return vec![Vec::new()];
        };
        let mut all = Vec::new();
        for order in orders(rest) {
            for place in 0..=order.len() {
                let mut order = order.clone();
                order.insert(place, *first);
                all.push(order);
            }
        }
        all
    }

    fn sum(gains: &[Vec<usize>], places: &[usize]) -> usize {
        let rows = gains.iter().zip(places);
        rows.map(|(row, &place)| row[place]).sum()
    }

    #[test]
    fn matching_is_the_best_of_all_orders() {
        for seed in 0..20 {
            let numbers = (noise(seed, 5, 5) * 4.0 + 4.0).to_kind(Kind::Int64);
            let gains: Vec<Vec<usize>> = (0..5)
                .map(|row| {
                    (0..5)
                        .map(|column| numbers.int64_value(&[row, column]) as usize)
                        .collect()
                })
                .collect();
            let found = matched(&gains);
            let best = orders(&[0, 1, 2, 3, 4]).into_iter();
            assert_eq!(
                sum(&gains, &found),
                best.map(|order| sum(&gains, &order)).max().unwrap()
            );
            let mut sorted = found;
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4]);
        }
    }

    /// Three groups of images far from each other, in an order that depends on the number.
    fn grouped(rotated: i64) -> (Tensor, Vec<i64>) {
        let groups: Vec<i64> = (0..30).map(|image| (image + rotated) % 3).collect();
        let centers = Tensor::from_slice(&groups).one_hot(3).to_kind(Kind::Double);
        (normalize(&(centers + noise(4, 30, 3) * 0.05)), groups)
    }

    fn division(embeddings: &Tensor, before: Option<&Division>, seed: u64) -> Division {
        Division::new(embeddings, 3, seed, before, EvalResources::default()).unwrap()
    }

    #[test]
    fn groups_of_images_are_found_and_keep_their_heads() {
        let (embeddings, groups) = grouped(0);
        let first = division(&embeddings, None, 1);
        let heads: std::collections::BTreeSet<(i64, i64)> = groups
            .iter()
            .copied()
            .zip(first.of_images().iter().copied())
            .collect();
        assert_eq!(heads.len(), 3, "each group has one head");
        for seed in 2..6 {
            assert_eq!(division(&embeddings, Some(&first), seed), first);
        }
    }

    #[test]
    fn a_division_is_restored() {
        let (embeddings, _) = grouped(1);
        let division = division(&embeddings, None, 1);
        assert_eq!(
            Division::restored(&division.state(), 30, 3).unwrap(),
            division
        );
        assert!(Division::restored(&division.state(), 31, 3).is_err());
    }

    #[test]
    fn embeddings_that_are_not_finite_are_not_divided() {
        let (embeddings, _) = grouped(0);
        let divided = Division::new(
            &(embeddings * f64::NAN),
            3,
            1,
            None,
            EvalResources::default(),
        );
        assert!(divided.is_err());
    }
}
