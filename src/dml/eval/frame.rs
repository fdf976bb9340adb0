//! In what frame rows are multiplied: times a scale and less a centre, so that embeddings which all point the same way
//! can still be told apart in few digits.
//!
//! If `u` and `v` are what is left of two scaled rows `a` and `b` without the centre `c`, then
//! `a·b = u·v + c·a + c·v`, and `|a - b|² = |u - v|² = |u|² + |v|² - 2 u·v`. What is not `u·v` belongs to one row each. So a
//! product, less an *offset* of the reference, says how similar it is to a query; and a similarity plus a *shift* of the
//! query is what such a number is compared with, its *threshold*.

use rayon::prelude::*;

use super::{
    kernel::Measured,
    rows::{Comparison, Rows},
};
use crate::processor::Processor;

/// So many rows are enough to find a centre.
const SAMPLE: usize = 1024;

/// A scale and a centre for some queries and references.
pub(super) struct Frame {
    /// A power of two that brings the lengths of all rows to one or below, if there is such a one, so that no product
    /// overflows.
    pub(super) scale: f32,
    pub(super) centre: Vec<f32>,
    /// The square of the centre's length.
    of_centre: f64,
    /// The largest magnitude of a product, one as a rule.
    reach: f64,
    comparison: Comparison,
    pub(super) processor: Processor,
}

/// What is known of a row in its frame.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) length: f64,
    /// The largest magnitude of its numbers.
    pub(super) largest: f64,
    /// What is taken off products with it.
    pub(super) offset: f64,
    /// What is added to similarities to it.
    shift: f64,
}

impl Frame {
    /// One that suits these rows.
    pub(super) fn new(
        queries: &Rows,
        references: &Rows,
        comparison: Comparison,
        processor: Processor,
    ) -> Frame {
        let square = |row: &[f32]| processor.similarity(Comparison::Dot, row, row);
        let longest = |rows: &Rows| {
            (0..rows.len())
                .into_par_iter()
                .map(|row| square(rows.row(row)))
                .reduce(|| 0.0, f64::max)
        };
        let length = longest(queries).max(longest(references)).sqrt();
        let scale = if length > 0.0 {
            (-length.log2().ceil()).clamp(-120.0, 120.0).exp2() as f32
        } else {
            1.0
        };
        let mut centre = vec![0.0; references.width()];
        let step = references.len().div_ceil(SAMPLE).max(1);
        let share = f64::from(scale) / references.len().div_ceil(step) as f64;
        for row in (0..references.len()).step_by(step) {
            centre
                .iter_mut()
                .zip(references.row(row))
                .for_each(|(sum, value)| *sum += f64::from(*value) * share);
        }
        let centre: Vec<f32> = centre.into_iter().map(|value| value as f32).collect();
        let of_centre = square(&centre);
        let reach = (length * f64::from(scale)).powi(2).max(1.0);
        Frame {
            scale,
            centre,
            of_centre,
            reach,
            comparison,
            processor,
        }
    }

    /// What is known of this row.
    pub(super) fn extent(&self, row: &[f32]) -> Extent {
        let Measured {
            square,
            with_centre,
            largest,
        } = self.processor.measure(row, &self.centre, self.scale);
        let (offset, shift) = match self.comparison {
            Comparison::Cosine | Comparison::Dot => (-with_centre, -with_centre - self.of_centre),
            Comparison::Euclidean => (square / 2.0, square / 2.0),
        };
        Extent {
            length: square.sqrt(),
            largest,
            offset,
            shift,
        }
    }

    /// Turns a similarity to this query into the number to compare products, less their offsets, with.
    pub(super) fn threshold(&self, query: &Extent, similarity: f64) -> f64 {
        let scaled = similarity * f64::from(self.scale) * f64::from(self.scale);
        query.shift
            + match self.comparison {
                Comparison::Cosine | Comparison::Dot => scaled,
                Comparison::Euclidean => scaled / 2.0,
            }
    }

    /// The exact similarity of a reference to a query.
    pub(super) fn similarity(&self, query: &[f32], reference: &[f32]) -> f64 {
        self.processor.similarity(self.comparison, query, reference)
    }

    /// By how much, at most, a similarity in double precision is wrong, or a threshold.
    pub(super) fn rounding(&self) -> f64 {
        16.0 * (self.centre.len() + 16) as f64 * f64::EPSILON * self.reach
    }
}
