//! Scale and center of rows before multiplication, so that embeddings that all point the same way
//! can be told apart with few digits.
//!
//! Let `u` and `v` be two scaled rows `a` and `b` minus the center `c`. Then
//! `a·b = u·v + c·a + c·v` and `|a - b|² = |u - v|² = |u|² + |v|² - 2 u·v`. Every term except `u·v`
//! depends on one row alone. Therefore `u·v` minus an *offset* of the reference orders references
//! by similarity, and a similarity plus a *shift* of the query is the *threshold* with which that
//! difference is compared.

use rayon::prelude::*;
use schema::Comparison;

use super::{embeddings::Embeddings, kernel::RowSums};
use crate::processor::Processor;

/// Rows that are averaged for the center.
const SAMPLE: usize = 1024;

/// A scale and a center for a set of queries and references.
pub(super) struct RowFrame {
    /// Power of two that scales the longest row to at most length 1, so that no product overflows.
    /// Clamped to 2^±120.
    pub(super) scale: f32,
    pub(super) center: Vec<f32>,
    /// Squared length of the center.
    center_square: f64,
    /// Largest magnitude of a product; normally 1.
    max_product: f64,
    comparison: Comparison,
    pub(super) processor: Processor,
}

/// Sums over a row in its frame.
#[derive(Clone, Copy)]
pub(super) struct RowExtent {
    pub(super) length: f64,
    /// Largest magnitude of a value.
    pub(super) largest: f64,
    /// Subtracted from products with this row as the reference.
    pub(super) offset: f64,
    /// Added to similarities to this row as the query.
    shift: f64,
}

impl RowFrame {
    /// Chooses scale and center for these rows.
    pub(super) fn new(
        queries: &Embeddings,
        references: &Embeddings,
        comparison: Comparison,
        processor: Processor,
    ) -> RowFrame {
        let longest = max_square(queries, processor).max(max_square(references, processor));
        let length = longest.sqrt();
        let scale = scale_for(length);
        let center = mean_of_sample(references, scale);
        RowFrame {
            center_square: square(&center, processor),
            max_product: (length * f64::from(scale)).powi(2).max(1.0),
            scale,
            center,
            comparison,
            processor,
        }
    }

    fn extent(&self, row: &[f32]) -> RowExtent {
        let RowSums {
            square,
            with_center,
            largest,
        } = self.processor.measure(row, &self.center, self.scale);
        let (offset, shift) = match self.comparison {
            Comparison::Cosine | Comparison::Dot => {
                (-with_center, -with_center - self.center_square)
            }
            Comparison::Euclidean => (square / 2.0, square / 2.0),
        };
        RowExtent {
            length: square.sqrt(),
            largest,
            offset,
            shift,
        }
    }

    fn threshold(&self, query: &RowExtent, similarity: f64) -> f64 {
        let scaled = similarity * f64::from(self.scale) * f64::from(self.scale);
        let comparable = match self.comparison {
            Comparison::Cosine | Comparison::Dot => scaled,
            Comparison::Euclidean => scaled / 2.0,
        };
        query.shift + comparable
    }

    /// Returns the difference of two similarities whose products differ by 1.
    pub(super) fn similarity_unit(&self) -> f64 {
        let product = match self.comparison {
            Comparison::Cosine | Comparison::Dot => 1.0,
            Comparison::Euclidean => 2.0,
        };
        product / f64::from(self.scale) / f64::from(self.scale)
    }

    /// Returns bounds of the similarities of all rows.
    pub(super) fn similarities(&self) -> [f64; 2] {
        let unit = self.max_product * self.similarity_unit();
        match self.comparison {
            Comparison::Cosine | Comparison::Dot => [-unit, unit],
            Comparison::Euclidean => [-2.0 * unit, 0.0],
        }
    }

    /// Returns the exact similarity of two rows.
    pub(super) fn similarity(&self, query: &[f32], reference: &[f32]) -> f64 {
        self.processor.similarity(self.comparison, query, reference)
    }

    /// Returns the largest rounding error of a similarity in `f64`, or of a threshold.
    pub(super) fn rounding(&self) -> f64 {
        16.0 * (self.center.len() + 16) as f64 * f64::EPSILON * self.max_product
    }
}

fn square(row: &[f32], processor: Processor) -> f64 {
    processor.similarity(Comparison::Dot, row, row)
}

fn max_square(rows: &Embeddings, processor: Processor) -> f64 {
    (0..rows.len())
        .into_par_iter()
        .map(|row| square(rows.row(row), processor))
        .reduce(|| 0.0, f64::max)
}

fn scale_for(length: f64) -> f32 {
    if length > 0.0 {
        (-length.log2().ceil()).clamp(-120.0, 120.0).exp2() as f32
    } else {
        1.0
    }
}

fn mean_of_sample(rows: &Embeddings, scale: f32) -> Vec<f32> {
    let step = rows.len().div_ceil(SAMPLE).max(1);
    let share = f64::from(scale) / rows.len().div_ceil(step) as f64;
    let mut center = vec![0.0; rows.width()];
    for row in (0..rows.len()).step_by(step) {
        for (sum, value) in center.iter_mut().zip(rows.row(row)) {
            *sum += f64::from(*value) * share;
        }
    }
    center.into_iter().map(|value| value as f32).collect()
}

/// Queries or references in their frame.
pub(super) struct FramedRows<'a> {
    pub(super) rows: &'a Embeddings,
    pub(super) frame: &'a RowFrame,
    pub(super) extents: Vec<RowExtent>,
}

impl<'a> FramedRows<'a> {
    pub(super) fn new(rows: &'a Embeddings, frame: &'a RowFrame) -> FramedRows<'a> {
        let extents = (0..rows.len())
            .into_par_iter()
            .map(|row| frame.extent(rows.row(row)))
            .collect();
        FramedRows {
            rows,
            frame,
            extents,
        }
    }

    /// Returns the similarity to this row as the query that corresponds to a product, less its offset.
    pub(super) fn similarity(&self, query: usize, product: f64) -> f64 {
        (product - self.extents[query].shift) * self.frame.similarity_unit()
    }

    /// Returns the threshold that corresponds to a similarity to this row as the query.
    pub(super) fn threshold(&self, query: usize, similarity: f64) -> f64 {
        self.frame.threshold(&self.extents[query], similarity)
    }
}
