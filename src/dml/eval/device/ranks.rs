//! Counts on a device how many references are nearer than each target.
//!
//! In these tensors the targets of a query are in *ascending* order of their thresholds: the
//! farthest first. Targets beyond the last of a query are padded with infinity.

use std::ops::Range;

use rayon::prelude::*;
use schema::Comparison;
use tch::{Kind, Tensor};

use super::{CHUNK, DeviceBlock, DeviceProducts, OpenPair};
use crate::{
    eval::{
        error::EvalError,
        frame::{FramedRows, RowFrame},
        product::TILE,
        resources::EvalResources,
        targets::{RankDepth, RankProblem, TargetRank, Targets},
    },
    processor::Processor,
};

/// Ranks the targets of all queries, see [`RankProblem::rank`].
///
/// # Errors
/// If it is stopped.
pub(in crate::eval) fn ranks(
    problem: &RankProblem,
    comparison: Comparison,
    resources: EvalResources,
    emit: impl FnMut(usize, &[TargetRank]),
) -> Result<(), EvalError> {
    let (queries, references) = (problem.queries, problem.references);
    let frame = RowFrame::new(queries, references, comparison, Processor::best());
    let products = DeviceProducts::new(
        FramedRows::new(queries, &frame),
        FramedRows::new(references, &frame),
        resources,
    );
    let bands = problem.bands(TILE, resources.budget / 2);
    let count = |targets: &Targets| {
        let counter = DeviceCounter {
            problem,
            products: &products,
            targets,
        };
        counter.count_all()
    };
    problem.rank(bands, &products.queries, resources.stop, count, emit)
}

/// Counts references for the targets of some queries.
struct DeviceCounter<'a> {
    problem: &'a RankProblem<'a>,
    products: &'a DeviceProducts<'a>,
    targets: &'a Targets,
}

/// Bounds of the thresholds of some queries, in ascending order.
struct ThresholdTensors {
    /// `[queries, targets + 1]`; the last column is infinity.
    low: Tensor,
    /// `[queries, targets]`
    high: Tensor,
}

impl DeviceCounter<'_> {
    fn count_all(&self) -> Result<(), EvalError> {
        for references in self.products.reference_blocks() {
            let classes = &self.problem.classes.of_references[references.clone()];
            let marks = classes.iter().map(|&class| class as i32).collect();
            let block = self.products.reference_block(references, marks);
            self.products.for_each_query_block(
                self.targets.queries(),
                block.len(),
                |query| self.targets.alive(query),
                |queries| self.count(queries, &block),
            )?;
        }
        Ok(())
    }

    /// Counts a block of references for the targets of some queries.
    fn count(&self, queries: Range<usize>, references: &DeviceBlock) {
        let alive = queries.clone().map(|query| self.targets.alive(query));
        let Some(targets @ 1..) = alive.max() else {
            return;
        };
        let classes = &self.problem.classes.of_queries[queries.clone()];
        let marks = classes.iter().map(|&class| class as i32).collect();
        let block = self.products.query_block(queries.clone(), marks);
        let thresholds = self.thresholds(queries.clone(), targets);
        let lower = DeviceProducts::lower_bounds(&block, references);
        // Number of targets that each product is certainly above.
        let above = lower.searchsorted(&thresholds.high, false, false, "left", None::<&Tensor>);
        let mut counts = histogram(&above, targets);
        let next = match self.problem.depth {
            RankDepth::Nearest => above.maximum(&self.hopeless(&counts, &block, references)),
            RankDepth::First | RankDepth::All => above.shallow_clone(),
        };
        let open = thresholds
            .low
            .gather(1, &next, false)
            .le_tensor(&self.products.upper_bounds(lower, &block, references));
        drop(next);
        let indices = open.view(-1).nonzero().view(-1);
        // Open products are counted by their exact similarity instead.
        uncount(&mut counts, &above, &indices, references.len());
        drop((above, open));
        self.take(&counts, queries.clone());
        self.products
            .for_each_open(&indices, &block, references, |open| self.settle(open));
        queries
            .into_par_iter()
            .for_each(|query| self.targets.prune(query, self.targets.alive(query)));
    }

    fn thresholds(&self, queries: Range<usize>, targets: usize) -> ThresholdTensors {
        let rows = queries.len();
        let mut low = vec![f32::INFINITY; rows * (targets + 1)];
        let mut high = vec![f32::INFINITY; rows * targets];
        low.par_chunks_exact_mut(targets + 1)
            .zip(high.par_chunks_exact_mut(targets))
            .zip(queries)
            .for_each(|((low, high), query)| {
                let ascending = self.targets.thresholds(query).iter().rev();
                for ((&threshold, low), high) in ascending.zip(low).zip(high) {
                    let bounds = self.products.bounds(threshold);
                    *low = bounds.low;
                    *high = bounds.high;
                }
            });
        ThresholdTensors {
            low: self.products.tensor(&low, &[rows, targets + 1]),
            high: self.products.tensor(&high, &[rows, targets]),
        }
    }

    /// Returns for each query the number of targets that cannot reach rank R, `[queries, 1]`: the
    /// first ones in ascending order. The nearest target is never one of them.
    fn hopeless(&self, counts: &Tensor, queries: &DeviceBlock, references: &DeviceBlock) -> Tensor {
        let mut last = Vec::with_capacity(queries.len());
        let mut enough = Vec::with_capacity(queries.len());
        for query in queries.range.clone() {
            let alive = self.targets.alive(query) as i32;
            last.push(alive.max(1) - 1);
            enough.push(self.problem.positives(query) as i32 - alive + 1);
        }
        let last = self.products.tensor(&last, &[queries.len(), 1]);
        let enough = self.products.tensor(&enough, &[queries.len(), 1]);
        let targets = counts.size()[1] - 1;
        // The target at position i is preceded by the references above it and, of the alive
        // targets, by all but i + 1.
        let below = counts.cumsum(1, Kind::Int).narrow(1, 0, targets);
        let above = references.len() as i64 - below;
        let positions = Tensor::arange(targets, (Kind::Int, counts.device()));
        (above - positions)
            .ge_tensor(&enough)
            .sum_dim_intlist([1i64].as_slice(), true, Kind::Int64)
            .minimum(&last)
    }

    /// Adds the counts of the device.
    fn take(&self, counts: &Tensor, queries: Range<usize>) {
        let columns = counts.size()[1] as usize;
        let counts = Vec::<i32>::try_from(counts.view(-1)).expect("counts are integers");
        for (query, counts) in queries.zip(counts.chunks_exact(columns)) {
            let start = self.targets.of(query).start;
            let alive = self.targets.alive(query);
            for (above, &count) in counts[..=alive].iter().enumerate().skip(1) {
                self.targets
                    .count_nearer(start + alive - above, count as u32);
            }
        }
    }

    /// Counts references that are too close to a target to tell.
    fn settle(&self, open: &[OpenPair]) {
        open.par_chunks(CHUNK).for_each(|open| {
            // Consecutive references are often equal: the last similarity is reused.
            let mut last = None;
            for &OpenPair { query, reference } in open {
                let pair = (query, self.problem.first_equal[reference]);
                let similarity = match last {
                    Some((before, similarity)) if before == pair => similarity,
                    _ => self.products.similarity(query, reference),
                };
                last = Some((pair, similarity));
                self.targets.count_exact(query, reference, similarity);
            }
        });
    }
}

/// Counts for each query the products that are above 0, 1, .. `targets` targets,
/// `[queries, targets + 1]`.
fn histogram(above: &Tensor, targets: usize) -> Tensor {
    let options = (Kind::Int, above.device());
    let one = Tensor::ones([1, 1], options);
    let mut counts = Tensor::zeros([above.size()[0], targets as i64 + 1], options);
    counts.scatter_add_(1, above, &one.expand_as(above))
}

/// Removes the products at these indices from the histogram.
fn uncount(counts: &mut Tensor, above: &Tensor, indices: &Tensor, references: usize) {
    let columns = counts.size()[1];
    let rows = indices.divide_scalar_mode(references as i64, "floor");
    let bins = rows * columns + above.take(indices);
    let minus_one = Tensor::full([1], -1, (Kind::Int, counts.device()));
    let _ = counts
        .view(-1)
        .scatter_add_(0, &bins, &minus_one.expand_as(&bins));
}
