//! Approximate dot products of all rows of one set with all of another, tile by tile, and how wrong they can be.
//!
//! Rows are written in whole numbers of 16 bits, each row, in its [`Frame`], in a unit of its own. Processors sum
//! products of such numbers without any error, and twice as many at a time as of single precision. Nothing is decided
//! by them alone: whoever uses them looks at the exact similarity where the [`radius`](Side::radius) of the error leaves
//! a question open. So no result depends on how, or in tiles of what size, they were computed.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    frame::{Extent, Frame},
    kernel::Pair,
    rows::Rows,
};

/// Rows and columns of a tile: small enough that all it needs stays in a core's cache.
pub(super) const TILE: usize = 192;

/// The largest number of a row in its unit.
const LARGEST: f64 = 32_767.0;

/// The greatest length of a row in its unit: the square of one more would be too large for a sum of products.
const LONGEST: f64 = 46_340.0;

/// Bounds of some rows.
#[derive(Clone, Copy, Default)]
struct Bounds {
    length: f64,
    /// The length of what rounding takes off them.
    residue: f64,
    /// The magnitude of what is taken off products with them.
    offset: f64,
}

/// One of the two sets whose products are computed.
pub(super) struct Side<'a> {
    pub(super) rows: &'a Rows,
    frame: &'a Frame,
    extents: Vec<Extent>,
    /// The length of what rounding takes off each row.
    residues: Vec<f64>,
    of_tiles: Vec<Bounds>,
    of_all: Bounds,
    /// One of the whole numbers that each row is written in.
    units: Vec<f32>,
    /// What is taken off products with each row, so that of two rows the more similar one has the larger product.
    pub(super) offsets: Vec<f32>,
}

impl<'a> Side<'a> {
    pub(super) fn new(rows: &'a Rows, frame: &'a Frame) -> Side<'a> {
        let extents: Vec<Extent> = (0..rows.len())
            .into_par_iter()
            .map(|row| frame.extent(rows.row(row)))
            .collect();
        let units: Vec<f32> = extents
            .par_iter()
            .map(|extent| unit(extent, rows.width()))
            .collect();
        let residue = |whole: &mut Vec<i16>, row: usize| {
            quantise(frame, rows.row(row), units[row], whole);
            frame
                .processor
                .residue(rows.row(row), &frame.centre, frame.scale, whole, units[row])
                .sqrt()
        };
        let whole = || vec![0; rows.width()];
        let residues: Vec<f64> = (0..rows.len())
            .into_par_iter()
            .map_init(whole, residue)
            .collect();
        let of_tile = |(extents, residues): (&[Extent], &[f64])| {
            extents
                .iter()
                .zip(residues)
                .fold(Bounds::default(), |bounds, (of, residue)| Bounds {
                    length: bounds.length.max(of.length),
                    residue: bounds.residue.max(*residue),
                    offset: bounds.offset.max(of.offset.abs()),
                })
        };
        let of_tiles: Vec<Bounds> = extents
            .chunks(TILE)
            .zip(residues.chunks(TILE))
            .map(of_tile)
            .collect();
        let of_all = of_tile((&extents, &residues));
        let offsets = extents.iter().map(|of| of.offset as f32).collect();
        Side {
            rows,
            frame,
            extents,
            residues,
            of_tiles,
            of_all,
            units,
            offsets,
        }
    }

    /// By how much, at most, a product of this row with one of the `other` side's tile is wrong, less its offset.
    pub(super) fn radius(&self, row: usize, other: &Side, tile: usize) -> f64 {
        let (length, lost, b) = (
            self.extents[row].length,
            self.residues[row],
            other.of_tiles[tile],
        );
        let residue = lost * b.length + (length + lost) * b.residue;
        let product = (length + lost) * (b.length + b.residue);
        // The sum, in whole numbers, is exact. Its five roundings on the way to the result are halves of this.
        let single = 3.0 * f64::from(f32::EPSILON) * (product + b.offset);
        // What is too small for a number of single precision is lost.
        1.001 * (residue + single + self.frame.rounding()) + 1e-30
    }

    /// Turns a similarity to this row into the number to compare products, less their offsets, with.
    pub(super) fn threshold(&self, row: usize, similarity: f64) -> f64 {
        self.frame.threshold(&self.extents[row], similarity)
    }

    /// By how much, at most, a threshold is wrong.
    pub(super) fn slack(&self) -> f64 {
        self.frame.rounding()
    }

    /// How far apart a product with this row and a threshold must be for single precision to say which is larger.
    pub(super) fn margin(&self, row: usize, other: &Side, tile: usize) -> f32 {
        // Products, thresholds and both more or less the margin are rounded.
        let magnitude = self.extents[row].length * other.of_all.length + other.of_all.offset;
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
                    quantise(
                        self.frame,
                        self.rows.row(row),
                        self.units[row],
                        &mut whole[..width],
                    );
                } else {
                    whole.fill(0);
                }
                let places = to[place..].iter_mut().step_by(panel);
                places
                    .zip(whole.as_chunks().0)
                    .for_each(|(to, pair)| *to = *pair);
            }
        }
    }
}

/// One of the whole numbers that a row of this width is written in.
fn unit(of: &Extent, width: usize) -> f32 {
    // Rounding to whole numbers makes it longer by half a unit in each direction.
    let longest = LONGEST - 1.0 - (width as f64).sqrt() / 2.0;
    (of.largest / LARGEST).max(of.length / longest).max(1e-30) as f32
}

fn quantise(frame: &Frame, row: &[f32], unit: f32, to: &mut [i16]) {
    frame
        .processor
        .quantise(row, &frame.centre, frame.scale, 1.0 / unit, to);
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
        let scratch = || {
            (
                packed(),
                vec![0; rows * TILE],
                vec![0.0; TILE * TILE],
                vec![0.0; TILE * TILE],
            )
        };
        left_tiles
            .clone()
            .into_par_iter()
            .with_max_len(1)
            .for_each_init(scratch, |(own, sums, values, spare), tile| {
                left.pack(tile, rows, own);
                for (other, packed) in range.clone().zip(&others) {
                    if which == Which::All || other >= tile {
                        multiply((left, tile, own), (right, other, packed), sums, values);
                        visit(Tile {
                            left: tile,
                            right: other,
                            values,
                            spare,
                        });
                    }
                }
            });
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
    for ((a, of_rows), to) in a
        .chunks_exact(rows * pairs)
        .zip(of_rows)
        .zip(to.chunks_exact_mut(rows * TILE))
    {
        for (column, b) in b.chunks_exact(columns * pairs).enumerate() {
            processor.multiply(a, b, &mut sums[column * columns..], TILE);
        }
        for ((sums, &unit), to) in sums
            .chunks_exact(TILE)
            .zip(of_rows)
            .zip(to.chunks_exact_mut(TILE))
        {
            processor.to_products(sums, unit, units, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        eval::Comparison,
        processor::Processor,
        random::{Draws, Purpose},
    };

    const COMPARISONS: [Comparison; 3] =
        [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot];

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
        tiles(
            (&left, &right),
            0..left.tiles(),
            Which::All,
            1 << 16,
            |tile| {
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
            },
        );
        assert_eq!(*seen.lock().unwrap(), queries.len() * references.len());
    }

    #[test]
    fn products_are_as_wrong_as_they_say_at_most() {
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
                let frame = Frame::new(&queries, &references, comparison, processor);
                side_by_side(
                    &queries,
                    &references,
                    &frame,
                    |left, right, query, reference, product| {
                        let similarity =
                            comparison.similarity(queries.row(query), references.row(reference));
                        let wrong = (product - left.threshold(query, similarity)).abs();
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
    fn products_tell_embeddings_apart_however_close_together_they_are() {
        for spread in [1.0, 1e-2, 1e-4] {
            let rows = Comparison::Cosine.prepare(cloud(3, 300, 32, (1.0, spread)));
            let frame = Frame::new(&rows, &rows, Comparison::Cosine, Processor::best());
            let side = Side::new(&rows, &frame);
            let similarity = |row| Comparison::Cosine.similarity(rows.row(0), rows.row(row));
            let thresholds = || (1..300).map(|row| side.threshold(0, similarity(row)));
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
