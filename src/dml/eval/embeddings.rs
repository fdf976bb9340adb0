//! Embeddings as rows of `f32` values, and the similarity of two rows.
//!
//! [`similarity`] decides which of two images is nearer. It sums in double precision and in one
//! fixed order, so it does not depend on the machine, the number of threads or the size of a block.

use rayon::prelude::*;
use schema::Comparison;
use tch::{Device, Kind, Tensor};

use super::error::EvalError;

/// Embeddings of images: `len` rows of `width` finite values.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>,
    width: usize,
}

/// Partial sums of a similarity. Part of its definition: every machine uses as many.
const LANES: usize = 32;

/// Values that a thread checks at a time.
const CHUNK: usize = 1 << 14;

impl Embeddings {
    /// Makes rows of `width` values from `values`, which holds one row after another.
    ///
    /// # Errors
    /// If a value is not finite.
    ///
    /// # Panics
    /// If `width` is 0 or does not divide the number of values.
    pub fn new(values: Vec<f32>, width: usize) -> Result<Embeddings, EvalError> {
        assert!(
            width > 0 && values.len().is_multiple_of(width),
            "{} values in rows of {width}",
            values.len()
        );
        match first_not_finite(&values) {
            None => Ok(Embeddings { values, width }),
            Some(index) => Err(EvalError::NotFinite {
                image: index / width,
            }),
        }
    }

    /// Copies the rows of a matrix `[len, width]` on any device.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn from_tensor(matrix: &Tensor) -> Result<Embeddings, EvalError> {
        let matrix = matrix
            .detach()
            .to_device(Device::Cpu)
            .to_kind(Kind::Float)
            .contiguous();
        let mut values = vec![0.0; matrix.numel()];
        matrix.copy_data(&mut values, matrix.numel());
        Embeddings::new(values, matrix.size()[1] as usize)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the number of values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the row at `index`.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// Returns the rows at `indices`, in that order.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Embeddings {
        let rows = indices.iter().flat_map(|&index| self.row(index));
        Embeddings {
            values: rows.copied().collect(),
            width: self.width,
        }
    }

    /// Returns all values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Scales each row to Euclidean length 1. Rows of zeros remain zero.
    #[must_use]
    pub fn normalized(mut self) -> Embeddings {
        self.values
            .par_chunks_exact_mut(self.width)
            .for_each(normalize);
        self
    }

    /// Changes the sign of the first number of each row.
    pub(super) fn negate_first(&mut self) {
        let firsts = self.values.iter_mut().step_by(self.width);
        firsts.for_each(|first| *first = -*first);
    }

    /// Returns the rows as they are compared: normalized for [`Comparison::Cosine`].
    #[must_use]
    pub fn prepared(self, comparison: Comparison) -> Embeddings {
        match comparison {
            Comparison::Cosine => self.normalized(),
            Comparison::Euclidean | Comparison::Dot => self,
        }
    }
}

/// Returns the index of the first value that is not finite.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    let chunk = values
        .par_chunks(CHUNK)
        .position_first(|chunk| chunk.iter().any(|value| !value.is_finite()))?;
    let start = chunk * CHUNK;
    let offset = values[start..]
        .iter()
        .position(|value| !value.is_finite())?;
    Some(start + offset)
}

fn normalize(row: &mut [f32]) {
    let length = dot(row, row).sqrt();
    if length > 0.0 {
        for value in row {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

/// Returns the similarity of two prepared rows: their dot product, or the negated square of their
/// distance for [`Comparison::Euclidean`].
#[inline(always)]
pub fn similarity(comparison: Comparison, a: &[f32], b: &[f32]) -> f64 {
    match comparison {
        Comparison::Cosine | Comparison::Dot => dot(a, b),
        Comparison::Euclidean => -squared_distance(a, b),
    }
}

/// Returns the dot product. Each product of two `f32` is exact in `f64`.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| a * b)
}

#[inline(always)]
pub(super) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    sum(a, b, |a, b| (a - b) * (a - b))
}

#[inline(always)]
fn sum(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            lanes[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    for (lane, (a, b)) in rest.enumerate() {
        lanes[lane] += term(f64::from(*a), f64::from(*b));
    }
    for half in [16, 8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

/// A reference with its similarity to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SimilarImage {
    pub(super) similarity: f64,
    pub(super) image: u32,
}

/// Sorts by descending similarity, equal ones by index, and keeps the first `count`.
pub(super) fn keep_nearest(images: &mut Vec<SimilarImage>, count: usize) {
    images.sort_unstable_by(|a, b| {
        let by_similarity = b.similarity.total_cmp(&a.similarity);
        by_similarity.then(a.image.cmp(&b.image))
    });
    images.truncate(count);
}
