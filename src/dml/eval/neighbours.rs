//! The nearest neighbours of every embedding among all others.
//!
//! Exact: all cosine similarities are computed, a block of queries at a time so that memory stays bounded. A query
//! is excluded by its index. Equal similarities are ordered by index, so a ranking is one definite thing: with
//! a collapsed network, whose embeddings are all equal, no metric can come out well by favouring the right answer.

use rayon::prelude::*;
use tch::{Kind, Tensor, no_grad};

use crate::distance::normalise;

/// Bytes of similarities that are held at once.
const BLOCK_BYTES: usize = 64 << 20;

/// Embeddings that cannot be measured.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An embedding is not made of finite numbers.
    #[error("the embedding of image {image} is not finite")]
    NotFinite {
        /// The first such image.
        image: usize,
    },
    /// Embeddings and labels do not belong together.
    #[error("there are {embeddings} embeddings but {labels} labels")]
    Labels {
        /// How many embeddings.
        embeddings: usize,
        /// How many labels.
        labels: usize,
    },
    /// No class has two images.
    #[error("no class has two images, so there is nothing to retrieve")]
    NoQueries,
}

/// The nearest neighbours of every embedding.
#[derive(Debug)]
pub struct Neighbours {
    /// How many each has.
    count: usize,
    /// All of them, one query after the other.
    indices: Vec<u32>,
}

impl Neighbours {
    /// Returns the neighbours of `query`, nearest first.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.indices[query * self.count..][..self.count]
    }
}

/// Returns the `count` nearest others, or all if there are fewer, of each of `embeddings` `[n, d]`, which need not
/// have length one.
pub fn nearest(embeddings: &Tensor, count: usize) -> Result<Neighbours, EvalError> {
    no_grad(|| {
        let embeddings = embeddings.detach().to_kind(Kind::Float);
        check_finite(&embeddings)?;
        let embeddings = normalise(&embeddings);
        let images = embeddings.size()[0] as usize;
        let count = count.min(images.saturating_sub(1));
        let block = (BLOCK_BYTES / 4 / images.max(1)).max(1);
        let mut indices = Vec::with_capacity(images * count);
        for start in (0..images).step_by(block) {
            let queries = embeddings.narrow(0, start as i64, block.min(images - start) as i64);
            let similarities = numbers(&queries.matmul(&embeddings.tr()));
            let rows = similarities.par_chunks_exact(images).enumerate();
            let found: Vec<Vec<u32>> = rows.map(|(row, values)| closest(values, start + row, count)).collect();
            indices.extend(found.into_iter().flatten());
        }
        Ok(Neighbours { count, indices })
    })
}

fn check_finite(embeddings: &Tensor) -> Result<(), EvalError> {
    let finite = embeddings.isfinite().all_dim(1, false);
    if finite.all().int64_value(&[]) != 0 {
        return Ok(());
    }
    Err(EvalError::NotFinite { image: finite.to_kind(Kind::Int64).argmin(0, false).int64_value(&[]) as usize })
}

fn numbers(matrix: &Tensor) -> Vec<f32> {
    let mut numbers = vec![0.0; matrix.numel()];
    matrix.contiguous().copy_data(&mut numbers, matrix.numel());
    numbers
}

/// Returns the `count` indices of the largest `similarities`, in order, without `own`.
fn closest(similarities: &[f32], own: usize, count: usize) -> Vec<u32> {
    let mut keys: Vec<u64> = (0u32..).zip(similarities).map(|(index, &similarity)| key(similarity, index)).collect();
    keys.swap_remove(own);
    if count < keys.len() {
        keys.select_nth_unstable(count);
        keys.truncate(count);
    }
    keys.sort_unstable();
    keys.into_iter().map(|key| key as u32).collect()
}

/// A number that is smaller for a larger similarity, and among equal ones for a smaller index.
fn key(similarity: f32, index: u32) -> u64 {
    // The bits of floats are in the order of their values once those of negative ones are flipped; +0.0 unites
    // the two zeros.
    let bits = (similarity + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(!ascending) << 32 | u64::from(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, rows};

    #[test]
    fn neighbours_are_those_of_a_sort() {
        let embeddings = noise(1, 60, 4).to_kind(Kind::Float);
        let found = nearest(&embeddings, 7).unwrap();
        let normalised = rows(&normalise(&embeddings));
        let similarity = |a: usize, b: usize| normalised[a].iter().zip(&normalised[b]).map(|(a, b)| a * b).sum::<f64>();
        for query in 0..60 {
            let mut others: Vec<usize> = (0..60).filter(|&other| other != query).collect();
            others.sort_by(|&a, &b| similarity(query, b).total_cmp(&similarity(query, a)));
            let expected: Vec<u32> = others[..7].iter().map(|&other| other as u32).collect();
            assert_eq!(found.of(query), expected);
        }
    }

    #[test]
    fn equal_similarities_are_ordered_by_index() {
        assert_eq!(closest(&[0.5, 0.7, 0.5, 0.7, 0.5], 4, 3), [1, 3, 0]);
        assert_eq!(closest(&[0.0, -0.0, 0.0, 0.0, -0.0], 1, 4), [0, 2, 3, 4]);
    }

    #[test]
    fn keys_are_in_the_order_of_similarities() {
        let similarities = [1.5, 1.0, 1e-20, 0.0, -1e-20, -0.5, -1.0];
        assert!(similarities.windows(2).all(|pair| key(pair[0], u32::MAX) < key(pair[1], 0)));
    }

    #[test]
    fn a_query_is_excluded_by_index_even_if_it_is_not_its_own_nearest() {
        assert_eq!(closest(&[-0.9, 0.3, 0.1], 0, 2), [1, 2]);
        assert_eq!(closest(&[0.2, 0.3, 0.1], 1, 2), [0, 2]);
    }

    #[test]
    fn more_neighbours_than_there_are_others_are_not_found() {
        assert_eq!(nearest(&noise(1, 3, 2), 10).unwrap().of(0).len(), 2);
        assert!(nearest(&noise(1, 1, 2), 10).unwrap().of(0).is_empty());
    }

    #[test]
    fn an_embedding_that_is_not_finite_is_an_error() {
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut embeddings = vec![1f32; 12];
            embeddings[7] = wrong;
            let embeddings = Tensor::from_slice(&embeddings).view([4, 3]);
            assert_eq!(nearest(&embeddings, 1).unwrap_err(), EvalError::NotFinite { image: 2 });
        }
    }

    #[test]
    fn blocks_do_not_change_what_is_found() {
        let images = 6000;
        assert!(images * images * 4 > 2 * BLOCK_BYTES);
        let embeddings = noise(1, images as i64, 8).to_kind(Kind::Float);
        let found = nearest(&embeddings, 2).unwrap();
        let normalised = normalise(&embeddings);
        for query in [0, 1, 2796, 2797, 5593, 5594, 5999] {
            let similarities = normalised.matmul(&normalised.get(query));
            let _ = similarities.get(query).fill_(-2.0);
            assert_eq!(i64::from(found.of(query as usize)[0]), similarities.argmax(0, false).int64_value(&[]));
        }
    }
}
