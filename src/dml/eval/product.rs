//! Approximate dot products of all rows of one set with all of another, tile by tile, and how wrong they can be.
//!
//! They are computed as fast as the processor can: in bfloat16 where it has such instructions and they are precise
//! enough, in single precision otherwise. Nothing is decided by them alone: whoever uses them looks at the exact
//! similarity where the [`radius`](Side::radius) of the error leaves a question open. So no result depends on how,
//! or in tiles of what size, they were computed.

use std::ops::Range;

use rayon::prelude::*;

use super::rows::{Comparison, Rows, dot};
use crate::processor::Processor;

/// Rows and columns of a tile: small enough that all it needs stays in a core's cache.
pub(super) const TILE: usize = 192;

/// The numbers in which approximate products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    F32,
    Bf16,
}

/// How products are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) processor: Processor,
    pub(super) numbers: Numbers,
}

impl Method {
    /// The fastest here.
    pub(super) fn fastest() -> Method {
        let processor = Processor::best();
        Method { processor, numbers: if processor.has_bf16() { Numbers::Bf16 } else { Numbers::F32 } }
    }

    /// In single precision.
    pub(super) fn precise(self) -> Method {
        Method { numbers: Numbers::F32, ..self }
    }

    /// Bytes that a row of this width takes once it is packed.
    pub(super) fn packed_bytes(self, width: usize) -> usize {
        match self.numbers {
            Numbers::F32 => 4 * width,
            Numbers::Bf16 => 4 * width.div_ceil(2),
        }
    }
}

/// How long a row is, and how long what rounding takes off it.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    length: f64,
    residue: f64,
}

/// One of the two sets whose products are computed.
pub(super) struct Side<'a> {
    pub(super) rows: &'a Rows,
    method: Method,
    scale: f32,
    extents: Vec<Extent>,
    /// The largest of each tile.
    of_tiles: Vec<Extent>,
    /// Half the square of each row's length, scaled, for [`Comparison::Euclidean`].
    pub(super) offsets: Vec<f32>,
}

/// A power of two that brings the lengths of all rows below one, so that no product overflows.
pub(super) fn scale(sets: &[&Rows]) -> f32 {
    let largest = |rows: &Rows| {
        (0..rows.len()).into_par_iter().map(|row| dot(rows.row(row), rows.row(row))).reduce(|| 0.0, f64::max)
    };
    let length = sets.iter().map(|rows| largest(rows)).fold(0.0, f64::max).sqrt();
    if length > 0.0 { (-length.log2().ceil()).clamp(-120.0, 120.0).exp2() as f32 } else { 1.0 }
}

impl<'a> Side<'a> {
    pub(super) fn new(rows: &'a Rows, comparison: Comparison, method: Method, scale: f32) -> Side<'a> {
        let extents: Vec<Extent> =
            (0..rows.len()).into_par_iter().map(|row| Extent::of(rows.row(row), method, scale)).collect();
        let of_tiles = extents.chunks(TILE).map(|extents| extents.iter().fold(Extent::default(), Extent::larger));
        let of_tiles = of_tiles.collect();
        let offsets = match comparison {
            Comparison::Cosine | Comparison::Dot => Vec::new(),
            Comparison::Euclidean => extents.iter().map(|of| (of.length * of.length / 2.0) as f32).collect(),
        };
        Side { rows, method, scale, extents, of_tiles, offsets }
    }

    /// By how much, at most, a product of this row with one of the `other` side's tile is wrong, the rounding of
    /// offsets included.
    pub(super) fn radius(&self, row: usize, other: &Side, tile: usize) -> f64 {
        let (a, b) = (self.extents[row], other.of_tiles[tile]);
        let rounding = a.residue * b.length + (a.length + a.residue) * b.residue;
        // The error of a sum of n products in any order is below n units in the last place of the sum of their
        // magnitudes (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1), which the lengths
        // bound. Twice that allows for instructions that do not round to the nearest.
        let unit = f64::from(f32::EPSILON);
        let sum = (self.rows.width() + 8) as f64 * unit * (a.length + a.residue) * (b.length + b.residue);
        let offset = if other.offsets.is_empty() { 0.0 } else { 4.0 * unit * (a.length + b.length).powi(2) };
        // What is too small for a number of single precision is lost.
        1.001 * (rounding + sum + offset) + 1e-30
    }

    /// Turns a similarity to this row into the number to compare products, less their offsets, with.
    pub(super) fn threshold(&self, row: usize, comparison: Comparison, similarity: f64) -> f64 {
        let scaled = similarity * f64::from(self.scale) * f64::from(self.scale);
        match comparison {
            Comparison::Cosine | Comparison::Dot => scaled,
            Comparison::Euclidean => (scaled + self.extents[row].length.powi(2)) / 2.0,
        }
    }

    fn tiles(&self) -> usize {
        self.rows.len().div_ceil(TILE)
    }

    /// The rows of a tile, `panel` of them side by side, column by column.
    fn pack(&self, tile: usize, panel: usize, to: &mut Packed) {
        match to {
            Packed::F32(to) => self.pack_numbers(tile, panel, to, |row, column| row[column] * self.scale, 1),
            Packed::Bf16(to) => self.pack_numbers(tile, panel, to, |row, column| pair(row, column, self.scale), 2),
        }
    }

    fn pack_numbers<T: Copy + Default>(
        &self,
        tile: usize,
        panel: usize,
        to: &mut [T],
        number: impl Fn(&[f32], usize) -> T,
        step: usize,
    ) {
        let columns = self.rows.width().div_ceil(step);
        for (strip, to) in to.chunks_exact_mut(panel * columns).enumerate() {
            for place in 0..panel {
                let row = tile * TILE + strip * panel + place;
                let places = to[place..].iter_mut().step_by(panel).zip((0..).step_by(step));
                if row < self.rows.len() {
                    let row = self.rows.row(row);
                    places.for_each(|(to, column)| *to = number(row, column));
                } else {
                    places.for_each(|(to, _)| *to = T::default());
                }
            }
        }
    }
}

impl Extent {
    fn of(row: &[f32], method: Method, scale: f32) -> Extent {
        let length = dot(row, row).sqrt() * f64::from(scale);
        let residue = match method.numbers {
            Numbers::F32 => 0.0,
            Numbers::Bf16 => {
                let lost = |value: &f32| {
                    let value = value * scale;
                    f64::from(value) - f64::from(from_bf16(bf16(value)))
                };
                row.iter().map(lost).map(|lost| lost * lost).sum::<f64>().sqrt()
            }
        };
        Extent { length, residue }
    }

    fn larger(self, other: &Extent) -> Extent {
        Extent { length: self.length.max(other.length), residue: self.residue.max(other.residue) }
    }
}

/// The nearest bfloat16 number, ties to even, as its bits. Numbers below one only.
fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// Numbers that are not normal count as zero in products.
fn from_bf16(bits: u32) -> f32 {
    let value = f32::from_bits(bits << 16);
    if value.is_normal() { value } else { 0.0 }
}

fn pair(row: &[f32], column: usize, scale: f32) -> u32 {
    let second = row.get(column + 1).map_or(0, |value| bf16(value * scale));
    bf16(row[column] * scale) | second << 16
}

enum Packed {
    F32(Vec<f32>),
    Bf16(Vec<u32>),
}

impl Packed {
    fn tile(method: Method, width: usize) -> Packed {
        match method.numbers {
            Numbers::F32 => Packed::F32(vec![0.0; TILE * width]),
            Numbers::Bf16 => Packed::Bf16(vec![0; TILE * width.div_ceil(2)]),
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
    let method = left.method;
    let width = left.rows.width();
    let (_, panel) = method.processor.shape();
    let held = (bytes / (TILE * method.packed_bytes(width))).max(1);
    for start in (0..right.tiles()).step_by(held) {
        let range = start..right.tiles().min(start + held);
        let packed: Vec<Packed> = range
            .clone()
            .into_par_iter()
            .map(|tile| {
                let mut packed = Packed::tile(method, width);
                right.pack(tile, panel, &mut packed);
                packed
            })
            .collect();
        let scratch = || (Packed::tile(method, width), vec![0f32; TILE * TILE], vec![0f32; TILE * TILE]);
        left_tiles.clone().into_par_iter().with_max_len(1).for_each_init(scratch, |(own, values, spare), tile| {
            left.pack(tile, method.processor.shape().0, own);
            for (other, packed) in range.clone().zip(&packed) {
                if which == Which::All || other >= tile {
                    multiply(method, own, packed, width, values);
                    visit(Tile { left: tile, right: other, values, spare });
                }
            }
        });
    }
}

fn multiply(method: Method, a: &Packed, b: &Packed, width: usize, to: &mut [f32]) {
    let (rows, columns) = method.processor.shape();
    for (row, to) in to.chunks_exact_mut(rows * TILE).enumerate() {
        for column in 0..TILE / columns {
            let to = &mut to[column * columns..];
            match (a, b) {
                (Packed::F32(a), Packed::F32(b)) => {
                    let (a, b) = (panel(a, row, rows * width), panel(b, column, columns * width));
                    method.processor.multiply_f32(a, b, to, TILE);
                }
                (Packed::Bf16(a), Packed::Bf16(b)) => {
                    let pairs = width.div_ceil(2);
                    let (a, b) = (panel(a, row, rows * pairs), panel(b, column, columns * pairs));
                    method.processor.multiply_bf16(a, b, to, TILE);
                }
                (Packed::F32(_), Packed::Bf16(_)) | (Packed::Bf16(_), Packed::F32(_)) => {
                    unreachable!("both sides are packed by one method")
                }
            }
        }
    }
}

fn panel<T>(packed: &[T], index: usize, len: usize) -> &[T] {
    &packed[index * len..][..len]
}
