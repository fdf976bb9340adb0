//! Approximate dot products of all rows of one set with all of another, tile by tile, and how wrong they can be.
//!
//! Rows are taken relative to a centre, so that embeddings which all point the same way can still be told apart, and
//! written in whole numbers of 16 bits, each row in a unit of its own. Processors sum products of such numbers
//! without any error, and twice as many at a time as of single precision. Nothing is decided by them alone: whoever
//! uses them looks at the exact similarity where the [`radius`](Side::radius) of the error leaves a question open. So
//! no result depends on how, or in tiles of what size, they were computed.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    kernel::{Measured, Pair},
    rows::{Comparison, Rows},
};
use crate::processor::Processor;

/// Rows and columns of a tile: small enough that all it needs stays in a core's cache.
pub(super) const TILE: usize = 192;

/// The largest number of a row in its unit.
const LARGEST: f64 = 32_767.0;

/// The greatest length of a row in its unit: the square of one more would be too large for a sum of products.
const LONGEST: f64 = 46_340.0;

/// So many rows are enough to find a centre.
const SAMPLE: usize = 1024;

/// How rows are written before they are multiplied: times `scale` and less the `centre`.
///
/// If `u` and `v` are what is left of `a` and `b` without the centre `c`, then `a·b = u·v + c·a + c·v`. The last two
/// belong to one row each.
pub(super) struct Frame {
    /// A power of two that brings the lengths of all rows below one, so that no product overflows.
    pub(super) scale: f32,
    pub(super) centre: Vec<f32>,
    /// The square of the centre's length.
    of_centre: f64,
    comparison: Comparison,
    pub(super) processor: Processor,
}

/// What is known of a row in its frame.
#[derive(Clone, Copy, Default)]
struct Extent {
    length: f64,
    /// The length of what rounding takes off it.
    residue: f64,
    /// What is taken off products with it.
    offset: f64,
    /// What is added to similarities to it.
    shift: f64,
}

/// One of the two sets whose products are computed.
pub(super) struct Side<'a> {
    pub(super) rows: &'a Rows,
    frame: &'a Frame,
    extents: Vec<Extent>,
    /// The largest of each tile.
    of_tiles: Vec<Extent>,
    /// The largest of all.
    largest: Extent,
    /// One of the whole numbers that each row is written in.
    units: Vec<f32>,
    /// What is taken off products with each row, so that of two rows the more similar one has the larger product.
    pub(super) offsets: Vec<f32>,
}

impl Frame {
    /// One for these queries and references.
    pub(super) fn new(queries: &Rows, references: &Rows, comparison: Comparison, processor: Processor) -> Frame {
        let square = |row: &[f32]| processor.similarity(Comparison::Dot, row, row);
        let longest =
            |rows: &Rows| (0..rows.len()).into_par_iter().map(|row| square(rows.row(row))).reduce(|| 0.0, f64::max);
        let length = longest(queries).max(longest(references)).sqrt();
        let scale = if length > 0.0 { (-length.log2().ceil()).clamp(-120.0, 120.0).exp2() as f32 } else { 1.0 };
        let mut centre = vec![0.0; references.width()];
        let step = references.len().div_ceil(SAMPLE).max(1);
        let share = f64::from(scale) / references.len().div_ceil(step) as f64;
        for row in (0..references.len()).step_by(step) {
            centre.iter_mut().zip(references.row(row)).for_each(|(sum, value)| *sum += f64::from(*value) * share);
        }
        let centre: Vec<f32> = centre.into_iter().map(|value| value as f32).collect();
        let of_centre = square(&centre);
        Frame { scale, centre, of_centre, comparison, processor }
    }

    /// By how much, at most, a similarity in double precision is wrong, or a shift, as lengths are below one.
    pub(super) fn rounding(&self) -> f64 {
        16.0 * (self.centre.len() + 16) as f64 * f64::EPSILON
    }

    fn quantise(&self, row: &[f32], unit: f32, to: &mut [i16]) {
        self.processor.quantise(row, &self.centre, self.scale, 1.0 / unit, to);
    }
}

impl<'a> Side<'a> {
    pub(super) fn new(rows: &'a Rows, frame: &'a Frame) -> Side<'a> {
        let of_row = |whole: &mut Vec<i16>, row| Extent::of(frame, rows.row(row), whole);
        let known: Vec<(Extent, f32)> =
            (0..rows.len()).into_par_iter().map_init(|| vec![0; rows.width()], of_row).collect();
        let (extents, units): (Vec<Extent>, Vec<f32>) = known.into_iter().unzip();
        let of_tiles = extents.chunks(TILE).map(|extents| extents.iter().fold(Extent::default(), Extent::larger));
        let of_tiles: Vec<Extent> = of_tiles.collect();
        let largest = of_tiles.iter().fold(Extent::default(), Extent::larger);
        let offsets = extents.iter().map(|of| of.offset as f32).collect();
        Side { rows, frame, extents, of_tiles, largest, units, offsets }
    }

    /// By how much, at most, a product of this row with one of the `other` side's tile is wrong, less its offset.
    pub(super) fn radius(&self, row: usize, other: &Side, tile: usize) -> f64 {
        let (a, b) = (self.extents[row], other.of_tiles[tile]);
        let residue = a.residue * b.length + (a.length + a.residue) * b.residue;
        let product = (a.length + a.residue) * (b.length + b.residue);
        // The sum, in whole numbers, is exact. Its five roundings on the way to the result are halves of this.
        let single = 3.0 * f64::from(f32::EPSILON) * (product + b.offset);
        // What is too small for a number of single precision is lost.
        1.001 * (residue + single + self.frame.rounding()) + 1e-30
    }

    /// Turns a similarity to this row into the number to compare products, less their offsets, with.
    pub(super) fn threshold(&self, row: usize, similarity: f64) -> f64 {
        let scaled = similarity * f64::from(self.frame.scale) * f64::from(self.frame.scale);
        self.extents[row].shift
            + match self.frame.comparison {
                Comparison::Cosine | Comparison::Dot => scaled,
                Comparison::Euclidean => scaled / 2.0,
            }
    }

    /// By how much, at most, a threshold is wrong.
    pub(super) fn slack(&self) -> f64 {
        self.frame.rounding()
    }

    /// How far apart a product with this row and a threshold must be for single precision to say which is larger.
    pub(super) fn margin(&self, row: usize, other: &Side, tile: usize) -> f32 {
        // Products, thresholds and both more or less the margin are rounded.
        let magnitude = self.extents[row].length * other.largest.length + other.largest.offset;
        let single = 2.0 * f64::from(f32::EPSILON) * magnitude;
        (1.001 * (self.radius(row, other, tile) + self.slack() + single)) as f32
    }

    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(TILE)
    }

    /// The rows of a tile, `panel` of them side by side, one pair of columns after the other.
    fn pack(&self, tile: usize, panel: usize, to: &mut [Pair]) {
        let width = self.rows.width();
        let pairs = width.div_ceil(2);
        let mut whole = vec![0; 2 * pairs];
        for (strip, to) in to.chunks_exact_mut(panel * pairs).enumerate() {
            for place in 0..panel {
                let row = tile * TILE + strip * panel + place;
                if row < self.rows.len() {
                    self.frame.quantise(self.rows.row(row), self.units[row], &mut whole[..width]);
                } else {
                    whole.fill(0);
                }
                let places = to[place..].iter_mut().step_by(panel);
                places.zip(whole.as_chunks().0).for_each(|(to, pair)| *to = *pair);
            }
        }
    }
}

impl Extent {
    /// That of a row, and the unit that suits it.
    fn of(frame: &Frame, row: &[f32], whole: &mut [i16]) -> (Extent, f32) {
        let Measured { square, with_centre, largest } = frame.processor.measure(row, &frame.centre, frame.scale);
        let length = square.sqrt();
        // Rounding to whole numbers makes it longer by half a unit in each direction.
        let longest = LONGEST - 1.0 - (row.len() as f64).sqrt() / 2.0;
        let unit = (largest / LARGEST).max(length / longest).max(1e-30) as f32;
        frame.quantise(row, unit, whole);
        let residue = frame.processor.residue(row, &frame.centre, frame.scale, whole, unit).sqrt();
        let (offset, shift) = match frame.comparison {
            Comparison::Cosine | Comparison::Dot => (-with_centre, -with_centre - frame.of_centre),
            Comparison::Euclidean => (square / 2.0, square / 2.0),
        };
        (Extent { length, residue, offset, shift }, unit)
    }

    fn larger(self, other: &Extent) -> Extent {
        Extent {
            length: self.length.max(other.length),
            residue: self.residue.max(other.residue),
            offset: self.offset.max(other.offset.abs()),
            shift: self.shift.max(other.shift),
        }
    }
}

/// The approximate products of some rows of the left side with some of the right.
pub(super) struct Tile<'a> {
    pub(super) left: usize,
    pub(super) right: usize,
    /// A row of [`TILE`] numbers for each row of the left side.
    pub(super) values: &'a mut [f32],
    /// As much room again.
    pub(super) spare: &'a mut [f32],
}

impl Tile<'_> {
    /// Which rows of a side of `len` rows the tile of this number has.
    pub(super) fn rows(tile: usize, len: usize) -> Range<usize> {
        tile * TILE..len.min((tile + 1) * TILE)
    }
}

/// Which tiles are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    All,
    /// Of a product of a set with itself: those on the diagonal and to its right.
    Upper,
}

/// Computes products and has `visit` look at each tile, from several threads at a time. `bytes` bound what is held
/// of the right side; the left tiles are those of `left_tiles`.
pub(super) fn tiles(
    (left, right): (&Side, &Side),
    left_tiles: Range<usize>,
    which: Which,
    bytes: usize,
    visit: impl Fn(Tile) + Sync,
) {
    let (rows, columns) = left.frame.processor.shape();
    let pairs = TILE * left.rows.width().div_ceil(2);
    let packed = || vec![Pair::default(); pairs];
    let held = (bytes / (pairs * size_of::<Pair>())).max(1);
    for start in (0..right.tiles()).step_by(held) {
        let range = start..right.tiles().min(start + held);
        let others: Vec<Vec<Pair>> = range
            .clone()
            .into_par_iter()
            .map(|tile| {
                let mut packed = packed();
                right.pack(tile, columns, &mut packed);
                packed
            })
            .collect();
        let scratch = || (packed(), vec![0; rows * TILE], vec![0.0; TILE * TILE], vec![0.0; TILE * TILE]);
        left_tiles.clone().into_par_iter().with_max_len(1).for_each_init(
            scratch,
            |(own, sums, values, spare), tile| {
                left.pack(tile, rows, own);
                for (other, packed) in range.clone().zip(&others) {
                    if which == Which::All || other >= tile {
                        multiply((left, tile, own), (right, other, packed), sums, values);
                        visit(Tile { left: tile, right: other, values, spare });
                    }
                }
            },
        );
    }
}

/// A tile of a side, packed.
type Part<'a> = (&'a Side<'a>, usize, &'a [Pair]);

fn multiply((left, tile, a): Part, (right, other, b): Part, sums: &mut [i32], to: &mut [f32]) {
    let processor = left.frame.processor;
    let (rows, columns) = processor.shape();
    let pairs = left.rows.width().div_ceil(2);
    let units = &right.units[Tile::rows(other, right.units.len())];
    let of_rows = left.units[Tile::rows(tile, left.units.len())].chunks(rows);
    for ((a, of_rows), to) in a.chunks_exact(rows * pairs).zip(of_rows).zip(to.chunks_exact_mut(rows * TILE)) {
        for (column, b) in b.chunks_exact(columns * pairs).enumerate() {
            processor.multiply(a, b, &mut sums[column * columns..], TILE);
        }
        for ((sums, &unit), to) in sums.chunks_exact(TILE).zip(of_rows).zip(to.chunks_exact_mut(TILE)) {
            processor.to_products(sums, unit, units, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::random::{Draws, Purpose};

    const COMPARISONS: [Comparison; 3] = [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot];

    /// Rows of this width around a point, of which some are many times as long as others.
    fn cloud(seed: u64, len: usize, width: usize, (point, spread): (f32, f64)) -> Rows {
        let mut draws = Draws::new(seed, Purpose::Weights, 0, 0);
        let mut values = Vec::new();
        for row in 0..len {
            let longer = if row % 7 == 0 { 30.0 } else { 1.0 };
            values.extend((0..width).map(|_| point + (spread * longer * draws.normal()) as f32));
        }
        Rows::new(values, width).unwrap()
    }

    fn side_by_side(
        queries: &Rows,
        references: &Rows,
        frame: &Frame,
        check: impl Fn(&Side, &Side, usize, usize, f64) + Sync,
    ) {
        let (left, right) = (Side::new(queries, frame), Side::new(references, frame));
        let seen = Mutex::new(0);
        tiles((&left, &right), 0..left.tiles(), Which::All, 1 << 16, |tile| {
            for (query, values) in Tile::rows(tile.left, queries.len()).zip(tile.values.chunks_exact(TILE)) {
                for (reference, value) in Tile::rows(tile.right, references.len()).zip(values) {
                    check(&left, &right, query, reference, f64::from(value - right.offsets[reference]));
                    *seen.lock().unwrap() += 1;
                }
            }
        });
        assert_eq!(*seen.lock().unwrap(), queries.len() * references.len());
    }

    #[test]
    fn products_are_as_wrong_as_they_say_at_most() {
        for ((width, place), processor) in [1, 3, 64, 129]
            .into_iter()
            .flat_map(|width| [(0.0, 1.0), (5.0, 1e-3), (-1e-20, 1e-22), (1e15, 1e9)].map(|place| (width, place)))
            .flat_map(|case| Processor::available().into_iter().map(move |processor| (case, processor)))
        {
            let (queries, references) = (cloud(1, 40, width, place), cloud(2, 230, width, place));
            for comparison in COMPARISONS {
                let frame = Frame::new(&queries, &references, comparison, processor);
                side_by_side(&queries, &references, &frame, |left, right, query, reference, product| {
                    let similarity = comparison.similarity(queries.row(query), references.row(reference));
                    let wrong = (product - left.threshold(query, similarity)).abs();
                    let radius = left.radius(query, right, reference / TILE) + left.slack();
                    assert!(wrong <= radius, "{wrong:e} > {radius:e}: {comparison:?} {processor:?} {width} {place:?}");
                });
            }
        }
    }

    #[test]
    fn products_tell_embeddings_apart_however_close_together_they_are() {
        for spread in [1.0, 1e-2, 1e-4] {
            let rows = Comparison::Cosine.prepare(cloud(3, 300, 32, (1.0, spread)));
            let frame = Frame::new(&rows, &rows, Comparison::Cosine, Processor::best());
            let side = Side::new(&rows, &frame);
            let similarity = |row| Comparison::Cosine.similarity(rows.row(0), rows.row(row));
            let thresholds = || (1..300).map(|row| side.threshold(0, similarity(row)));
            let range = thresholds().fold(f64::MIN, f64::max) - thresholds().fold(f64::MAX, f64::min);
            assert!(side.radius(0, &side, 0) < range / 100.0, "{:e} of {range:e}", side.radius(0, &side, 0));
        }
    }
}
