//! Approximate dot products of all rows of one set with all rows of another, tile by tile, with
//! bounds of their errors.
//!
//! Each row, in its [`RowFrame`](super::frame::RowFrame), is quantized to 16-bit integers with a
//! unit of its own. Integer sums of products are exact, and a processor computes twice as many per
//! instruction as in `f32`. Callers compute the exact similarity wherever the
//! [`radius`](QuantizedRows::radius) of the error leaves a question open, so no result depends on
//! the order of the computation or on the size of a tile.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    embeddings::Embeddings,
    error::EvalError,
    frame::{FramedRows, RowExtent, RowFrame},
    kernel::Pair,
    resources::StopFlag,
};

/// Rows and columns of a tile. Everything a tile needs fits into a core's cache.
pub(super) const TILE: usize = 192;

/// Largest quantized value.
const MAX_VALUE: f64 = 32_767.0;

/// Largest length of a quantized row: the square of the next integer exceeds `i32`.
const MAX_LENGTH: f64 = 46_340.0;

/// Upper bounds over some rows.
#[derive(Clone, Copy, Default)]
struct RowBounds {
    length: f64,
    /// Length of the quantization error.
    residue: f64,
    /// Magnitude of the offset.
    offset: f64,
}

/// One of the two sets whose products are computed.
pub(super) struct QuantizedRows<'a> {
    pub(super) framed: FramedRows<'a>,
    /// Length of the quantization error of each row.
    residues: Vec<f64>,
    tile_bounds: Vec<RowBounds>,
    bounds: RowBounds,
    /// Value of the integer 1 in each row.
    units: Vec<f32>,
    /// Subtracted from products with each row as the reference: of two references, the more
    /// similar one then has the larger product.
    pub(super) offsets: Vec<f32>,
}

impl<'a> QuantizedRows<'a> {
    pub(super) fn new(rows: &'a Embeddings, frame: &'a RowFrame) -> QuantizedRows<'a> {
        let framed = FramedRows::new(rows, frame);
        let units: Vec<f32> = framed
            .extents
            .par_iter()
            .map(|extent| unit(extent, rows.width()))
            .collect();
        let residues: Vec<f64> = (0..rows.len())
            .into_par_iter()
            .map_init(
                || vec![0; rows.width()],
                |buffer, row| residue(&framed, row, units[row], buffer),
            )
            .collect();
        let tile_bounds = framed
            .extents
            .chunks(TILE)
            .zip(residues.chunks(TILE))
            .map(|(extents, residues)| RowBounds::over(extents, residues))
            .collect();
        let offsets = framed.extents.iter().map(|extent| extent.offset as f32);
        QuantizedRows {
            tile_bounds,
            bounds: RowBounds::over(&framed.extents, &residues),
            offsets: offsets.collect(),
            framed,
            residues,
            units,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.framed.rows.len()
    }

    fn width(&self) -> usize {
        self.framed.rows.width()
    }

    fn tiles(&self) -> usize {
        self.len().div_ceil(TILE)
    }

    /// Returns the largest error of a product of this row with a row of the `other` side's tile,
    /// minus its offset.
    pub(super) fn radius(&self, row: usize, other: &QuantizedRows, tile: usize) -> f64 {
        let length = self.framed.extents[row].length;
        let lost = self.residues[row];
        let bounds = other.tile_bounds[tile];
        let residue = lost * bounds.length + (length + lost) * bounds.residue;
        let product = (length + lost) * (bounds.length + bounds.residue);
        // The integer sum is exact. Its conversion to the result rounds five times, by half an
        // epsilon each.
        let single = 3.0 * f64::from(f32::EPSILON) * (product + bounds.offset);
        // Covers underflow to subnormal `f32`.
        1.001 * (residue + single + self.slack()) + 1e-30
    }

    /// Returns the largest error of a threshold.
    pub(super) fn slack(&self) -> f64 {
        self.framed.frame.rounding()
    }

    /// Returns how far a product with this row must be from a threshold to decide in `f32` which of
    /// the two is larger.
    pub(super) fn margin(&self, row: usize, other: &QuantizedRows, tile: usize) -> f32 {
        // The product, the threshold and threshold ± margin are rounded.
        let length = self.framed.extents[row].length;
        let magnitude = length * other.bounds.length + other.bounds.offset;
        let single = 2.0 * f64::from(f32::EPSILON) * magnitude;
        (1.001 * (self.radius(row, other, tile) + self.slack() + single)) as f32
    }

    /// Packs the rows of a tile into panels of `panel` rows: one pair of columns after another.
    fn pack(&self, tile: usize, panel: usize, to: &mut [Pair]) {
        let pairs = self.width().div_ceil(2);
        let mut buffer = vec![0; 2 * pairs];
        for (strip, to) in to.chunks_exact_mut(panel * pairs).enumerate() {
            for position in 0..panel {
                let row = tile * TILE + strip * panel + position;
                if row < self.len() {
                    let values = &mut buffer[..self.width()];
                    quantize(&self.framed, row, self.units[row], values);
                } else {
                    buffer.fill(0);
                }
                let column = to[position..].iter_mut().step_by(panel);
                for (to, pair) in column.zip(buffer.as_chunks().0) {
                    *to = *pair;
                }
            }
        }
    }
}

impl RowBounds {
    fn over(extents: &[RowExtent], residues: &[f64]) -> RowBounds {
        let mut bounds = RowBounds::default();
        for (extent, residue) in extents.iter().zip(residues) {
            bounds.length = bounds.length.max(extent.length);
            bounds.residue = bounds.residue.max(*residue);
            bounds.offset = bounds.offset.max(extent.offset.abs());
        }
        bounds
    }
}

/// Returns the unit of a row: the smallest that neither exceeds the range of an integer nor lets a
/// sum of products overflow.
fn unit(extent: &RowExtent, width: usize) -> f32 {
    // Rounding lengthens the row by up to half a unit in each dimension.
    let max_length = MAX_LENGTH - 1.0 - (width as f64).sqrt() / 2.0;
    let by_value = extent.largest / MAX_VALUE;
    let by_length = extent.length / max_length;
    by_value.max(by_length).max(1e-30) as f32
}

fn quantize(framed: &FramedRows, row: usize, unit: f32, to: &mut [i16]) {
    let frame = framed.frame;
    let values = framed.rows.row(row);
    frame
        .processor
        .quantize(values, &frame.center, frame.scale, 1.0 / unit, to);
}

fn residue(framed: &FramedRows, row: usize, unit: f32, buffer: &mut [i16]) -> f64 {
    quantize(framed, row, unit, buffer);
    let frame = framed.frame;
    let values = framed.rows.row(row);
    frame
        .processor
        .residue(values, &frame.center, frame.scale, buffer, unit)
        .sqrt()
}

/// The approximate products of some left rows with some right rows.
pub(super) struct Tile<'a> {
    pub(super) left: usize,
    pub(super) right: usize,
    /// [`TILE`] products for each left row.
    pub(super) values: &'a mut [f32],
    /// Scratch memory of the same size.
    pub(super) spare: &'a mut [f32],
}

impl Tile<'_> {
    /// Returns the rows of a tile of a side with `len` rows.
    pub(super) fn rows(tile: usize, len: usize) -> Range<usize> {
        tile * TILE..len.min((tile + 1) * TILE)
    }
}

/// Which tiles are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TileSelection {
    All,
    /// Of the product of a set with itself: the diagonal and the tiles to the right of it.
    Upper,
}

/// A product of two sets of rows, computed tile by tile.
pub(super) struct TiledProduct<'a> {
    pub(super) left: &'a QuantizedRows<'a>,
    pub(super) right: &'a QuantizedRows<'a>,
    /// Left tiles to compute.
    pub(super) left_tiles: Range<usize>,
    pub(super) selection: TileSelection,
    /// Bytes of packed right rows to hold at a time.
    pub(super) budget: usize,
    pub(super) stop: StopFlag<'a>,
}

/// Memory that a thread reuses from tile to tile.
struct Scratch {
    packed: Vec<Pair>,
    sums: Vec<i32>,
    values: Vec<f32>,
    spare: Vec<f32>,
}

impl TiledProduct<'_> {
    /// Computes the tiles and calls `visit` with each, from several threads at a time.
    ///
    /// # Errors
    /// If it is stopped.
    pub(super) fn for_each(&self, visit: impl Fn(Tile) + Sync) -> Result<(), EvalError> {
        let held = (self.budget / (self.tile_pairs() * size_of::<Pair>())).max(1);
        for start in (0..self.right.tiles()).step_by(held) {
            let right = start..self.right.tiles().min(start + held);
            self.compute(right, &visit)?;
        }
        Ok(())
    }

    fn compute(
        &self,
        right: Range<usize>,
        visit: &(impl Fn(Tile) + Sync),
    ) -> Result<(), EvalError> {
        let (panel, right_panel) = self.processor_shape();
        let right: Vec<PackedTile> = right
            .into_par_iter()
            .map(|tile| {
                let mut pairs = vec![Pair::default(); self.tile_pairs()];
                self.right.pack(tile, right_panel, &mut pairs);
                PackedTile { tile, pairs }
            })
            .collect();
        let left_tiles = self.left_tiles.clone().into_par_iter().with_max_len(1);
        left_tiles.try_for_each_init(
            || self.scratch(panel),
            |scratch, left| {
                self.left.pack(left, panel, &mut scratch.packed);
                for right in &right {
                    self.stop.check()?;
                    if self.selection == TileSelection::All || right.tile >= left {
                        self.multiply(left, right, scratch);
                        visit(Tile {
                            left,
                            right: right.tile,
                            values: &mut scratch.values,
                            spare: &mut scratch.spare,
                        });
                    }
                }
                Ok(())
            },
        )
    }

    /// Multiplies the packed left tile with a right tile.
    fn multiply(&self, left: usize, right: &PackedTile, scratch: &mut Scratch) {
        let processor = self.left.framed.frame.processor;
        let (panel, right_panel) = processor.shape();
        let pairs = self.left.width().div_ceil(2);
        let right_units = &self.right.units[Tile::rows(right.tile, self.right.len())];
        let left_units = self.left.units[Tile::rows(left, self.left.len())].chunks(panel);
        let panels = scratch.packed.chunks_exact(panel * pairs);
        let strips = scratch.values.chunks_exact_mut(panel * TILE);
        for ((a, units), to) in panels.zip(left_units).zip(strips) {
            for (column, b) in right.pairs.chunks_exact(right_panel * pairs).enumerate() {
                processor.multiply(a, b, &mut scratch.sums[column * right_panel..], TILE);
            }
            let rows = scratch.sums.chunks_exact(TILE).zip(units);
            for ((sums, &unit), to) in rows.zip(to.chunks_exact_mut(TILE)) {
                processor.to_products(sums, unit, right_units, to);
            }
        }
    }

    fn processor_shape(&self) -> (usize, usize) {
        self.left.framed.frame.processor.shape()
    }

    /// Returns the pairs of a packed tile.
    fn tile_pairs(&self) -> usize {
        TILE * self.left.width().div_ceil(2)
    }

    fn scratch(&self, panel: usize) -> Scratch {
        Scratch {
            packed: vec![Pair::default(); self.tile_pairs()],
            sums: vec![0; panel * TILE],
            values: vec![0.0; TILE * TILE],
            spare: vec![0.0; TILE * TILE],
        }
    }
}

struct PackedTile {
    tile: usize,
    pairs: Vec<Pair>,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use schema::Comparison;

    use super::*;
    use crate::{
        eval::embeddings::similarity,
        processor::Processor,
        random::{Draws, Purpose},
    };

    const COMPARISONS: [Comparison; 3] =
        [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot];

    /// Returns rows of this width around a point; some are 30 times as far away as others.
    fn cloud(seed: u64, len: usize, width: usize, (point, spread): (f32, f64)) -> Embeddings {
        let mut draws = Draws::new(seed, Purpose::Weights, 0, 0);
        let mut values = Vec::new();
        for row in 0..len {
            let longer = if row % 7 == 0 { 30.0 } else { 1.0 };
            values.extend((0..width).map(|_| point + (spread * longer * draws.normal()) as f32));
        }
        Embeddings::new(values, width).unwrap()
    }

    fn side_by_side(
        queries: &Embeddings,
        references: &Embeddings,
        frame: &RowFrame,
        check: impl Fn(&QuantizedRows, &QuantizedRows, usize, usize, f64) + Sync,
    ) {
        let left = QuantizedRows::new(queries, frame);
        let right = QuantizedRows::new(references, frame);
        let seen = Mutex::new(0);
        let product = TiledProduct {
            left: &left,
            right: &right,
            left_tiles: 0..left.tiles(),
            selection: TileSelection::All,
            budget: 1 << 16,
            stop: StopFlag(None),
        };
        let done = product.for_each(|tile| {
            for (query, values) in
                Tile::rows(tile.left, queries.len()).zip(tile.values.chunks_exact(TILE))
            {
                for (reference, value) in Tile::rows(tile.right, references.len()).zip(values) {
                    check(
                        &left,
                        &right,
                        query,
                        reference,
                        f64::from(value - right.offsets[reference]),
                    );
                    *seen.lock().unwrap() += 1;
                }
            }
        });
        assert_eq!(done, Ok(()));
        assert_eq!(*seen.lock().unwrap(), queries.len() * references.len());
    }

    #[test]
    fn the_error_of_a_product_is_within_its_radius() {
        for ((width, place), processor) in [1, 3, 64, 129]
            .into_iter()
            .flat_map(|width| {
                [
                    (0.0, 1.0),
                    (5.0, 1e-3),
                    (-1e-20, 1e-22),
                    (1e15, 1e9),
                    (0.0, 3e36),
                ]
                .map(|place| (width, place))
            })
            .flat_map(|case| {
                Processor::available()
                    .into_iter()
                    .map(move |processor| (case, processor))
            })
        {
            let (queries, references) = (cloud(1, 40, width, place), cloud(2, 230, width, place));
            for comparison in COMPARISONS {
                let frame = RowFrame::new(&queries, &references, comparison, processor);
                side_by_side(
                    &queries,
                    &references,
                    &frame,
                    |left, right, query, reference, product| {
                        let similarity =
                            similarity(comparison, queries.row(query), references.row(reference));
                        let wrong = (product - left.framed.threshold(query, similarity)).abs();
                        let radius = left.radius(query, right, reference / TILE) + left.slack();
                        assert!(
                            wrong <= radius,
                            "{wrong:e} > {radius:e}: {comparison:?} {processor:?} {width} {place:?}"
                        );
                    },
                );
            }
        }
    }

    #[test]
    fn products_distinguish_embeddings_that_are_close_together() {
        for spread in [1.0, 1e-2, 1e-4] {
            let rows = cloud(3, 300, 32, (1.0, spread)).prepared(Comparison::Cosine);
            let frame = RowFrame::new(&rows, &rows, Comparison::Cosine, Processor::best());
            let side = QuantizedRows::new(&rows, &frame);
            let similarity = |row| similarity(Comparison::Cosine, rows.row(0), rows.row(row));
            let thresholds = || (1..300).map(|row| side.framed.threshold(0, similarity(row)));
            let range =
                thresholds().fold(f64::MIN, f64::max) - thresholds().fold(f64::MAX, f64::min);
            assert!(
                side.radius(0, &side, 0) < range / 100.0,
                "{:e} of {range:e}",
                side.radius(0, &side, 0)
            );
        }
    }
}
