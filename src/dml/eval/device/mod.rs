//! Ranks and neighbors on a device of libtorch, such as a GPU. Bit-equal to the results of the CPU.
//!
//! The order of a GPU's sums is chosen by its library and changes with the shape of the matrices.
//! So here, too, approximate products decide nothing alone. One matrix product gives a lower bound
//! of every dot product and a narrow second one the distance to its upper bound; where a question
//! is open between the two, the exact similarity, computed on the CPU, decides. Queries, and
//! references too if necessary, are processed in blocks that fit the memory of the device.
//!
//! The bounds hold for any order of the sums, fused or not, but not for factors with fewer digits
//! than `f32`, such as TF32. [`EvalResources`] therefore excludes devices that use it.

mod neighbors;
mod ranks;

pub(super) use self::{neighbors::nearest, ranks::ranks};

use std::ops::Range;

use rayon::prelude::*;
use tch::Tensor;

use super::{
    error::EvalError,
    frame::{FramedRows, RowExtent},
    resources::EvalResources,
};

/// Bytes on the device for a product and everything derived from it, if all questions are open.
const PRODUCT_BYTES: usize = 48;

/// Bytes on the device for a target.
const TARGET_BYTES: usize = 40;

/// Queries of a block, at least.
const MIN_QUERIES: usize = 64;

/// References of a block, at least.
const MIN_REFERENCES: usize = 128;

/// Open questions that a thread answers at a time.
const CHUNK: usize = 1 << 12;

/// Columns beside the values of a row, from which the bounds follow.
const BOUND_COLUMNS: usize = 3;

/// Bounds of the products of queries with references in their frame.
///
/// The error of a sum of n products in any order is below n units in the last place of the sum of
/// their magnitudes (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). For a
/// query of length A and a reference of length B these magnitudes are at most AB, and |o| more
/// because an offset o is subtracted. So the error is below E = kAB + k|o| with k of that size,
/// doubled in case the device does not round to nearest. E is a sum of products itself: with three
/// more columns -kA, -k, -1 of a query and B, |o|, o of a reference, the product is a lower bound;
/// the first two of these columns give half the distance to the upper bound.
struct DeviceProducts<'a> {
    queries: FramedRows<'a>,
    references: FramedRows<'a>,
    /// The k above.
    unit: f64,
    resources: EvalResources<'a>,
}

/// Some queries or references on the device.
struct DeviceBlock {
    range: Range<usize>,
    /// `[len, columns]`: values, the columns for the bounds, and zeros up to a multiple of 16 bytes.
    rows: Tensor,
    /// `[len]`: products of a query and a reference with equal marks are negative infinity.
    marks: Tensor,
}

impl DeviceBlock {
    fn len(&self) -> usize {
        self.range.len()
    }
}

/// Bounds of a threshold between which a product leaves the order open.
#[derive(Clone, Copy)]
struct ThresholdBounds {
    low: f32,
    high: f32,
}

/// A query and a reference whose order is open.
#[derive(Clone, Copy)]
struct OpenPair {
    query: usize,
    reference: usize,
}

impl<'a> DeviceProducts<'a> {
    fn new(
        queries: FramedRows<'a>,
        references: FramedRows<'a>,
        resources: EvalResources<'a>,
    ) -> DeviceProducts<'a> {
        // A few more for the columns of the bounds and for the rounding of centered rows.
        let terms = (queries.rows.width() + 16) as f64;
        DeviceProducts {
            queries,
            references,
            unit: 1.01 * terms * f64::from(f32::EPSILON),
            resources,
        }
    }

    /// Splits the references into blocks that fit the device.
    fn reference_blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let len = self.references.rows.len();
        let bytes = self.resources.device_budget;
        let by_rows = bytes / 4 / self.row_bytes();
        let by_products = bytes / 2 / (MIN_QUERIES * PRODUCT_BYTES);
        let block = by_rows.min(by_products).max(MIN_REFERENCES);
        (0..len)
            .step_by(block)
            .map(move |start| start..len.min(start + block))
    }

    /// Splits queries into blocks that fit the device together with a block of references.
    /// `targets` returns the number of a query's targets when its block begins.
    ///
    /// # Errors
    /// If it is stopped.
    fn for_each_query_block(
        &self,
        queries: Range<usize>,
        references: usize,
        targets: impl Fn(usize) -> usize,
        mut visit: impl FnMut(Range<usize>),
    ) -> Result<(), EvalError> {
        let mut rest = queries;
        while !rest.is_empty() {
            self.resources.stop.check()?;
            let block = self.first_block(rest.clone(), references, &targets);
            rest.start = block.end;
            visit(block);
        }
        Ok(())
    }

    fn first_block(
        &self,
        queries: Range<usize>,
        references: usize,
        targets: impl Fn(usize) -> usize,
    ) -> Range<usize> {
        let bytes = self.resources.device_budget / 4 * 3;
        let mut max_targets = 0;
        for query in queries.clone() {
            max_targets = max_targets.max(targets(query) + 1);
            let each = references * PRODUCT_BYTES + max_targets * TARGET_BYTES + self.row_bytes();
            let count = query - queries.start + 1;
            if count > MIN_QUERIES && count * each > bytes {
                return queries.start..query;
            }
        }
        queries
    }

    fn columns(&self) -> usize {
        (self.queries.rows.width() + BOUND_COLUMNS).next_multiple_of(4)
    }

    fn row_bytes(&self) -> usize {
        size_of::<f32>() * self.columns() + size_of::<i32>()
    }

    fn query_block(&self, queries: Range<usize>, marks: Vec<i32>) -> DeviceBlock {
        self.block(&self.queries, queries, marks, |extent| {
            [-self.unit * extent.length, -self.unit, -1.0]
        })
    }

    fn reference_block(&self, references: Range<usize>, marks: Vec<i32>) -> DeviceBlock {
        self.block(&self.references, references, marks, |extent| {
            [extent.length, extent.offset.abs(), extent.offset]
        })
    }

    fn block(
        &self,
        side: &FramedRows,
        range: Range<usize>,
        marks: Vec<i32>,
        bounds: impl Fn(&RowExtent) -> [f64; BOUND_COLUMNS] + Sync,
    ) -> DeviceBlock {
        let columns = self.columns();
        let mut values = vec![0f32; range.len() * columns];
        values
            .par_chunks_exact_mut(columns)
            .zip(range.clone())
            .for_each(|(to, row)| write_row(side, row, bounds(&side.extents[row]), to));
        DeviceBlock {
            rows: self.tensor(&values, &[range.len(), columns]),
            marks: self.tensor(&marks, &[range.len()]),
            range,
        }
    }

    fn tensor<T: tch::kind::Element>(&self, values: &[T], shape: &[usize]) -> Tensor {
        let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
        Tensor::from_slice(values)
            .view(&shape[..])
            .to_device(self.resources.device)
    }

    /// Returns lower bounds of the products, `[queries, references]`.
    fn lower_bounds(queries: &DeviceBlock, references: &DeviceBlock) -> Tensor {
        let mut lower = queries.rows.matmul(&references.rows.tr());
        let excluded = queries
            .marks
            .unsqueeze(1)
            .eq_tensor(&references.marks.unsqueeze(0));
        lower.masked_fill_(&excluded, f64::NEG_INFINITY)
    }

    /// Turns lower bounds into upper bounds.
    fn upper_bounds(
        &self,
        mut lower: Tensor,
        queries: &DeviceBlock,
        references: &DeviceBlock,
    ) -> Tensor {
        let width = self.queries.rows.width() as i64;
        let of_queries = queries.rows.narrow(1, width, 2) * -2.0;
        let of_references = references.rows.narrow(1, width, 2);
        lower.addmm_(&of_queries, &of_references.tr())
    }

    fn bounds(&self, threshold: f32) -> ThresholdBounds {
        // Thresholds are rounded in `f64` first; 1e-30 covers underflow to subnormal `f32`.
        let slack = 2.0 * self.queries.frame.rounding() + 1e-30;
        let low = f64::from(threshold.next_down()) - slack;
        let high = f64::from(threshold.next_up()) + slack;
        ThresholdBounds {
            low: (low as f32).next_down(),
            high: (high as f32).next_up(),
        }
    }

    /// Returns the exact similarity.
    fn similarity(&self, query: usize, reference: usize) -> f64 {
        let query = self.queries.rows.row(query);
        let reference = self.references.rows.row(reference);
        self.queries.frame.similarity(query, reference)
    }

    /// Calls `visit` with the pairs at these indices of the flattened matrix
    /// `[queries, references]`, in portions that fit the budget of main memory.
    fn for_each_open(
        &self,
        indices: &Tensor,
        queries: &DeviceBlock,
        references: &DeviceBlock,
        mut visit: impl FnMut(&[OpenPair]),
    ) {
        let columns = references.len();
        let first_query = queries.range.start;
        let first_reference = references.range.start;
        let pair_bytes = size_of::<i64>() + size_of::<OpenPair>();
        let portion = (self.resources.budget / 4 / pair_bytes).max(CHUNK);
        for indices in indices.split(portion as i64, 0) {
            let indices = Vec::<i64>::try_from(&indices).expect("indices are integers");
            let pairs: Vec<OpenPair> = indices
                .par_iter()
                .map(|&index| OpenPair {
                    query: first_query + index as usize / columns,
                    reference: first_reference + index as usize % columns,
                })
                .collect();
            visit(&pairs);
        }
    }
}

/// Writes the scaled and centered values of a row, and the columns for its bounds.
fn write_row(side: &FramedRows, row: usize, bounds: [f64; BOUND_COLUMNS], to: &mut [f32]) {
    let frame = side.frame;
    let (values, rest) = to.split_at_mut(side.rows.width());
    let row = side.rows.row(row).iter().zip(&frame.center);
    for (to, (value, center)) in values.iter_mut().zip(row) {
        *to = value * frame.scale - center;
    }
    for (to, bound) in rest.iter_mut().zip(bounds) {
        *to = bound as f32;
    }
}
