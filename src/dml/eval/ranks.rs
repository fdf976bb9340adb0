//! Counts on the CPU how many references are nearer than each target.
//!
//! All approximate products are computed tile by tile. A product that is certainly above a target's
//! threshold is counted; where it is too close to tell, the exact similarity decides. The counts
//! are exact in whatever order the work is done. In a set compared with itself, a tile serves its
//! rows as queries and, transposed, its columns.

use std::{ops::Range, ptr};

use schema::Comparison;

use super::{
    error::EvalError,
    frame::RowFrame,
    product::{QuantizedRows, TILE, Tile, TileSelection, TiledProduct},
    resources::EvalResources,
    targets::{RankProblem, TargetRank, Targets},
    task::SelfMatch,
};
use crate::processor::Processor;

/// Up to this many thresholds are compared one by one with a product; more are searched.
const FEW: usize = 256;

/// Cost of starting a comparison loop, in comparisons.
const CALL: usize = 48;

/// Ranks the targets of all queries, see [`RankProblem::rank`]. Holds about as many bytes beside its
/// arguments as its resources allow.
///
/// # Errors
/// If it is stopped.
pub(super) fn ranks(
    problem: &RankProblem,
    comparison: Comparison,
    resources: EvalResources,
    processor: Processor,
    emit: impl FnMut(usize, &[TargetRank]),
) -> Result<(), EvalError> {
    let EvalResources { budget, stop, .. } = resources;
    let frame = RowFrame::new(problem.queries, problem.references, comparison, processor);
    let queries = QuantizedRows::new(problem.queries, &frame);
    let same_rows = ptr::eq(problem.queries, problem.references);
    let others = (!same_rows).then(|| QuantizedRows::new(problem.references, &frame));
    let references = others.as_ref().unwrap_or(&queries);
    let bands = problem.bands(TILE, budget / 2);
    let is_symmetric = matches!(problem.self_match, SelfMatch::SameIndex);
    let selection = if is_symmetric && bands.len() == 1 {
        TileSelection::Upper
    } else {
        TileSelection::All
    };
    let count = |targets: &Targets| {
        let counter = TileCounter {
            problem,
            queries: &queries,
            references,
            targets,
            frame: &frame,
            selection,
        };
        let band = targets.queries();
        let product = TiledProduct {
            left: &queries,
            right: references,
            left_tiles: band.start / TILE..band.end.div_ceil(TILE),
            selection,
            budget: budget / 2,
            stop,
        };
        product.for_each(|tile| counter.count_tile(tile))
    };
    problem.rank(bands, &queries.framed, stop, count, emit)
}

/// Counts the references of tiles for the targets of some queries.
struct TileCounter<'a> {
    problem: &'a RankProblem<'a>,
    queries: &'a QuantizedRows<'a>,
    references: &'a QuantizedRows<'a>,
    targets: &'a Targets,
    frame: &'a RowFrame,
    selection: TileSelection,
}

/// Products of a query with the references of a tile.
struct QueryProducts<'a> {
    query: usize,
    /// First reference.
    first: usize,
    values: &'a [f32],
    /// Distance from a threshold within which a product leaves the order open.
    margin: f32,
}

/// Exact similarities of a query to the references of a tile; NaN where not computed.
type ExactSimilarities = Option<[f64; TILE]>;

impl TileCounter<'_> {
    fn count_tile(&self, tile: Tile) {
        let rows = Tile::rows(tile.left, self.queries.len());
        let columns = Tile::rows(tile.right, self.references.len());
        self.exclude_own_class(rows.clone(), columns.clone(), tile.values);
        if self.selection == TileSelection::Upper && tile.left != tile.right {
            self.frame
                .processor
                .transpose(tile.values, TILE, tile.spare);
            self.count_rows(columns.clone(), rows.clone(), tile.left, tile.spare);
        }
        self.count_rows(rows, columns, tile.right, tile.values);
    }

    /// Replaces the products of images of one class by negative infinity: targets are not counted.
    fn exclude_own_class(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        let classes = self.problem.classes;
        let of_columns = &classes.of_references[columns.clone()];
        for (row, values) in rows.zip(values.chunks_exact_mut(TILE)) {
            let values = &mut values[..columns.len()];
            let class = classes.of_queries[row];
            self.frame.processor.mask(values, of_columns, class);
        }
    }

    fn count_rows(
        &self,
        queries: Range<usize>,
        references: Range<usize>,
        tile: usize,
        values: &mut [f32],
    ) {
        let offsets = &self.references.offsets[references.clone()];
        for (query, values) in queries.zip(values.chunks_exact_mut(TILE)) {
            let values = &mut values[..references.len()];
            self.frame.processor.subtract(values, offsets);
            self.count(&QueryProducts {
                query,
                first: references.start,
                values,
                margin: self.queries.margin(query, self.references, tile),
            });
        }
    }

    fn count(&self, products: &QueryProducts) {
        let thresholds = self.targets.thresholds(products.query);
        let alive = thresholds.len();
        if alive == 0 {
            return;
        }
        // One more: `find` writes an index before it knows whether it counts.
        let mut found = [0; TILE + 1];
        let lowest = thresholds[alive - 1] - products.margin;
        let count = self
            .frame
            .processor
            .find(products.values, lowest, f32::MAX, &mut found);
        if count == 0 {
            return;
        }
        if alive > FEW || count * (alive + CALL) <= alive * (TILE + CALL) {
            self.count_by_product(products, thresholds, &found[..count]);
        } else {
            self.count_by_target(products, thresholds);
        }
        self.targets.prune(products.query, alive);
    }

    /// Finds for each of these products the first target that is farther.
    fn count_by_product(&self, products: &QueryProducts, thresholds: &[f32], found: &[u32]) {
        let start = self.targets.of(products.query).start;
        let mut exact = None;
        for &column in found {
            let column = column as usize;
            let value = products.values[column];
            let (certain, possible) = self.farther(thresholds, value, products.margin);
            let mut first_farther = possible;
            for target in (certain..possible).rev() {
                if self.is_nearer(products, column, start + target, &mut exact) {
                    first_farther = target;
                }
            }
            if first_farther < thresholds.len() {
                self.targets.count_nearer(start + first_farther, 1);
            }
        }
    }

    /// Returns how many thresholds are certainly above a product, and how many possibly.
    fn farther(&self, thresholds: &[f32], value: f32, margin: f32) -> (usize, usize) {
        let low = value - margin;
        let high = value + margin;
        if thresholds.len() <= FEW {
            let (certain, possible) = self.frame.processor.count(thresholds, low, high);
            return (certain as usize, possible as usize);
        }
        let certain = thresholds.partition_point(|threshold| *threshold > high);
        // The open ones are few as a rule: a linear scan is faster than a search.
        let open = thresholds[certain..]
            .iter()
            .take_while(|threshold| **threshold >= low)
            .count();
        (certain, certain + open)
    }

    /// Counts for each target the products above it.
    fn count_by_target(&self, products: &QueryProducts, thresholds: &[f32]) {
        let start = self.targets.of(products.query).start;
        let mut exact = None;
        let mut counted = 0;
        for (target, threshold) in (start..).zip(thresholds) {
            let low = threshold - products.margin;
            let high = threshold + products.margin;
            let (certain, possible) = self.frame.processor.count(products.values, low, high);
            let mut nearer = certain;
            if possible > certain {
                nearer += self.resolve(products, target, low..high, &mut exact);
            }
            if nearer > counted {
                self.targets.count_nearer(target, nearer - counted);
                counted = nearer;
            }
        }
    }

    /// Returns how many of the products in `open` belong to references nearer than the target.
    fn resolve(
        &self,
        products: &QueryProducts,
        target: usize,
        open: Range<f32>,
        exact: &mut ExactSimilarities,
    ) -> u32 {
        let mut found = [0; TILE + 1];
        let processor = self.frame.processor;
        let count = processor.find(products.values, open.start, open.end, &mut found);
        let mut nearer = 0;
        for &column in &found[..count] {
            nearer += u32::from(self.is_nearer(products, column as usize, target, exact));
        }
        nearer
    }

    /// True if a reference is more similar than a target. Counts it if it is exactly as similar.
    fn is_nearer(
        &self,
        products: &QueryProducts,
        column: usize,
        target: usize,
        exact: &mut ExactSimilarities,
    ) -> bool {
        let reference = products.first + column;
        let first_equal = self.problem.first_equal;
        let of_target = self.targets.similarity[target];
        let target_image = self.targets.image[target] as usize;
        let of_reference = if first_equal[reference] == first_equal[target_image] {
            of_target
        } else {
            self.exact(products, column, exact)
        };
        if of_reference == of_target {
            self.targets.count_equal(target, reference);
        }
        of_reference > of_target
    }

    fn exact(&self, products: &QueryProducts, column: usize, exact: &mut ExactSimilarities) -> f64 {
        let known = &mut exact.get_or_insert([f64::NAN; TILE])[column];
        if known.is_nan() {
            let query = self.problem.queries.row(products.query);
            let reference = self.problem.references.row(products.first + column);
            *known = self.frame.similarity(query, reference);
        }
        *known
    }
}
