//! Embeddings as rows of numbers, and how similar two of them are.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::EvalError;

/// How embeddings are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// By the cosine of the angle between them.
    #[default]
    Cosine,
    /// By their Euclidean distance.
    Euclidean,
    /// By their dot product.
    Dot,
}

/// Embeddings of some images: `len` rows of `width` finite numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    values: Vec<f32>,
    width: usize,
}

/// Lanes of a sum of products. Part of the definition of a similarity, whatever the machine has.
const LANES: usize = 32;

/// Values that a thread treats at a time.
const PORTION: usize = 1 << 14;

impl Rows {
    /// Rows of `width` numbers, one after the other in `values`.
    ///
    /// # Errors
    /// If a number is not finite.
    ///
    /// # Panics
    /// If `values` is no whole number of rows.
    pub fn new(values: Vec<f32>, width: usize) -> Result<Rows, EvalError> {
        assert!(
            width > 0 && values.len().is_multiple_of(width),
            "{} numbers in rows of {width}",
            values.len()
        );
        match values
            .par_chunks(PORTION)
            .position_first(|portion| !portion.iter().all(|value| value.is_finite()))
        {
            None => Ok(Rows { values, width }),
            Some(portion) => {
                let first = values[portion * PORTION..]
                    .iter()
                    .position(|value| !value.is_finite());
                Err(EvalError::NotFinite {
                    image: (portion * PORTION + first.unwrap_or(0)) / width,
                })
            }
        }
    }

    /// The rows of a matrix on any device.
    ///
    /// # Errors
    /// If a number is not finite.
    pub fn from_tensor(matrix: &Tensor) -> Result<Rows, EvalError> {
        let matrix = matrix
            .detach()
            .to_device(Device::Cpu)
            .to_kind(Kind::Float)
            .contiguous();
        let mut values = vec![0.0; matrix.numel()];
        matrix.copy_data(&mut values, matrix.numel());
        Rows::new(values, matrix.size()[1] as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many numbers each has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One of them.
    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.width..][..self.width]
    }

    /// Some of them, by their index.
    #[must_use]
    pub fn part(&self, rows: &[usize]) -> Rows {
        Rows {
            values: rows
                .iter()
                .flat_map(|&row| self.row(row))
                .copied()
                .collect(),
            width: self.width,
        }
    }

    /// All numbers, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The same in a matrix `[len, width]` on the CPU.
    pub fn to_tensor(&self) -> Tensor {
        Tensor::from_slice(&self.values).view([self.len() as i64, self.width as i64])
    }

    /// Gives each row the Euclidean length one. A row of zeros stays one.
    #[must_use]
    pub fn normalised(mut self) -> Rows {
        self.values
            .par_chunks_exact_mut(self.width)
            .for_each(|row| {
                let length = dot(row, row).sqrt();
                if length > 0.0 {
                    row.iter_mut()
                        .for_each(|value| *value = (f64::from(*value) / length) as f32);
                }
            });
        self
    }
}

impl Comparison {
    /// Returns `rows` as they are compared: for [`Comparison::Cosine`], normalised.
    #[must_use]
    pub fn prepare(self, rows: Rows) -> Rows {
        match self {
            Comparison::Cosine => rows.normalised(),
            Comparison::Euclidean | Comparison::Dot => rows,
        }
    }

    /// How similar two prepared rows are: their dot product, or the negative square of their distance.
    ///
    /// This is what decides which of two images is nearer. It is computed in double precision in one fixed order
    /// of operations, so that no machine, number of threads or size of a block has a say.
    pub fn similarity(self, a: &[f32], b: &[f32]) -> f64 {
        match self {
            Comparison::Cosine | Comparison::Dot => dot(a, b),
            Comparison::Euclidean => -squared_distance(a, b),
        }
    }
}

/// The sum of products. Those are exact: two numbers of 24 bits make one of 48.
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
