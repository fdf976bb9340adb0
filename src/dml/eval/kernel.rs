//! Inner loops, compiled for each instruction set of [`Processor`].
//!
//! Rows are multiplied as 16-bit integers ([`super::product`]), whose sums of products are exact in
//! 32 bits. The other loops compare, count and find `f32` values.

#![expect(
    unsafe_code,
    reason = "functions for an instruction set are called where it was detected"
)]

use schema::Comparison;

use super::embeddings::similarity;
use crate::processor::{Processor, for_every_processor};

impl Processor {
    for_every_processor! {
        fn multiply_pairs(a: &[Pair], b: &[Pair], to: &mut [i32], stride: usize) =
            [micro::<4, 8>, micro_avx2, micro_avx512];
        pub(super) fn measure(row: &[f32], center: &[f32], scale: f32) -> RowSums = [measure, measure, measure];
        pub(super) fn residue(row: &[f32], center: &[f32], scale: f32, quantized: &[i16], unit: f32) -> f64 =
            [residue, residue, residue];
        pub(super) fn quantize(row: &[f32], center: &[f32], scale: f32, per_unit: f32, to: &mut [i16]) =
            [quantize, quantize, quantize];
        pub(super) fn to_products(sums: &[i32], unit: f32, units: &[f32], to: &mut [f32]) =
            [to_products, to_products, to_products];
        pub(super) fn mask(values: &mut [f32], classes: &[u32], class: u32) = [mask, mask, mask];
        pub(super) fn subtract(values: &mut [f32], offsets: &[f32]) = [subtract, subtract, subtract];
        pub(super) fn largest(values: &[f32]) -> f32 = [largest, largest, largest];
        pub(super) fn count(values: &[f32], low: f32, high: f32) -> (u32, u32) = [count, count, count_avx512];
        pub(super) fn find(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize = [find, find, find_avx512];
        pub(super) fn transpose(from: &[f32], stride: usize, to: &mut [f32]) = [transpose, transpose, transpose];
        pub(super) fn similarity(comparison: Comparison, a: &[f32], b: &[f32]) -> f64 = [similarity, similarity, similarity];
    }

    /// Returns how many left and right rows [`multiply`](Self::multiply) takes.
    pub(super) fn shape(self) -> (usize, usize) {
        match self {
            Processor::Any => (4, 8),
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => (6, 16),
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 | Processor::Avx512Vnni => (12, 32),
        }
    }

    /// Computes the products of a panel of left rows with a panel of right rows, see
    /// [`shape`](Self::shape). A panel holds the first pair of columns of all its rows, then the
    /// second, and so on. No sum may overflow.
    pub(super) fn multiply(self, a: &[Pair], b: &[Pair], to: &mut [i32], stride: usize) {
        #[cfg(target_arch = "x86_64")]
        if self == Processor::Avx512Vnni {
            // SAFETY: `available` detected AVX-512 VNNI.
            return unsafe { micro_vnni(a, b, to, stride) };
        }
        self.multiply_pairs(a, b, to, stride);
    }
}

/// Two neighbouring columns of a row.
pub(super) type Pair = [i16; 2];

#[inline(always)]
fn micro<const M: usize, const N: usize>(a: &[Pair], b: &[Pair], to: &mut [i32], stride: usize) {
    let mut sums = [[0; N]; M];
    for (a, b) in a.as_chunks::<M>().0.iter().zip(b.as_chunks::<N>().0) {
        for row in 0..M {
            for column in 0..N {
                sums[row][column] += pair_product(a[row], b[column]);
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        to[row * stride..][..N].copy_from_slice(sums);
    }
}

#[inline(always)]
fn pair_product(a: Pair, b: Pair) -> i32 {
    i32::from(a[0]) * i32::from(b[0]) + i32::from(a[1]) * i32::from(b[1])
}

/// Defines a [`micro`] that holds two registers of columns.
#[cfg(target_arch = "x86_64")]
macro_rules! micro_of {
    (
        $name:ident, $features:literal, $rows:literal x 2 x $lanes:literal,
        [$zero:ident, $load:ident, $spread:ident, $store:ident], |$sum:ident, $a:ident, $b:ident| $next:expr
    ) => {
        #[target_feature(enable = $features)]
        fn $name(a: &[Pair], b: &[Pair], to: &mut [i32], stride: usize) {
            use std::arch::x86_64::*;
            let mut sums = [[$zero(); 2]; $rows];
            for (a, b) in a
                .as_chunks::<$rows>()
                .0
                .iter()
                .zip(b.as_chunks::<{ 2 * $lanes }>().0)
            {
                // SAFETY: `b` holds two registers of pairs.
                let b = [0, 1].map(|half| unsafe { $load(b.as_ptr().add(half * $lanes).cast()) });
                for (&[first, second], sums) in a.iter().zip(&mut sums) {
                    let $a = $spread(i32::from(first) & 0xffff | i32::from(second) << 16);
                    for ($sum, $b) in sums.iter_mut().zip(b) {
                        *$sum = $next;
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                let to = &mut to[row * stride..][..2 * $lanes];
                for (half, sum) in sums.iter().enumerate() {
                    // SAFETY: `to` has room for two registers.
                    unsafe { $store(to.as_mut_ptr().add(half * $lanes).cast(), *sum) };
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
micro_of!(
    micro_avx2, "avx2,fma", 6 x 2 x 8,
    [_mm256_setzero_si256, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256],
    |sum, a, b| _mm256_add_epi32(*sum, _mm256_madd_epi16(a, b))
);

#[cfg(target_arch = "x86_64")]
micro_of!(
    micro_avx512, "avx512f,avx512bw", 12 x 2 x 16,
    [_mm512_setzero_si512, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512],
    |sum, a, b| _mm512_add_epi32(*sum, _mm512_madd_epi16(a, b))
);

#[cfg(target_arch = "x86_64")]
micro_of!(
    micro_vnni, "avx512f,avx512bw,avx512vnni", 12 x 2 x 16,
    [_mm512_setzero_si512, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512],
    |sum, a, b| _mm512_dpwssd_epi32(*sum, a, b)
);

/// Sums over a row, scaled and centered.
#[derive(Clone, Copy)]
pub(super) struct RowSums {
    /// Squared length.
    pub(super) square: f64,
    /// Product with the center.
    pub(super) with_center: f64,
    /// Largest magnitude of a value.
    pub(super) largest: f64,
}

/// Partial sums of a row.
const LANES: usize = 16;

#[inline(always)]
fn measure(row: &[f32], center: &[f32], scale: f32) -> RowSums {
    let (mut squares, mut products, mut largest) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut take = |lane: usize, value: f32, center: f32| {
        let (value, center) = (
            f64::from(value * scale) - f64::from(center),
            f64::from(center),
        );
        squares[lane] += value * value;
        products[lane] += value * center;
        largest[lane] = if value.abs() > largest[lane] {
            value.abs()
        } else {
            largest[lane]
        };
    };
    let ((rows, rest), (centers, rest_of_center)) =
        (row.as_chunks::<LANES>(), center.as_chunks::<LANES>());
    for (row, center) in rows.iter().zip(centers) {
        (0..LANES).for_each(|lane| take(lane, row[lane], center[lane]));
    }
    rest.iter()
        .zip(rest_of_center)
        .enumerate()
        .for_each(|(lane, (value, center))| take(lane, *value, *center));
    RowSums {
        square: squares.iter().sum(),
        with_center: products.iter().sum(),
        largest: largest
            .iter()
            .fold(0.0, |largest, &value| f64::max(largest, value)),
    }
}

/// Returns the squared length of the quantization error of a row.
#[inline(always)]
fn residue(row: &[f32], center: &[f32], scale: f32, quantized: &[i16], unit: f32) -> f64 {
    let mut squares = [0.0; LANES];
    let mut take = |lane: usize, value: f32, center: f32, quantized: i16| {
        let lost =
            f64::from(value * scale) - f64::from(center) - f64::from(quantized) * f64::from(unit);
        squares[lane] += lost * lost;
    };
    let ((rows, rest), (centers, rest_of_center)) =
        (row.as_chunks::<LANES>(), center.as_chunks::<LANES>());
    let (quantized, rest_of_quantized) = quantized.as_chunks::<LANES>();
    for ((row, center), quantized) in rows.iter().zip(centers).zip(quantized) {
        (0..LANES).for_each(|lane| take(lane, row[lane], center[lane], quantized[lane]));
    }
    let rest = rest
        .iter()
        .zip(rest_of_center)
        .zip(rest_of_quantized)
        .enumerate();
    rest.for_each(|(lane, ((value, center), quantized))| take(lane, *value, *center, *quantized));
    squares.iter().sum()
}

/// Rounds a row, scaled and centered, to integer multiples of a unit. Their magnitude must not
/// exceed 32,767.
#[inline(always)]
fn quantize(row: &[f32], center: &[f32], scale: f32, per_unit: f32, to: &mut [i16]) {
    // 1.5 · 2^23: adding it rounds to an integer, which is then in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    for ((value, center), to) in row.iter().zip(center).zip(to) {
        *to = ((value * scale - center) * per_unit + ROUND).to_bits() as i16;
    }
}

/// Converts sums of integer products into products of rows.
#[inline(always)]
fn to_products(sums: &[i32], unit: f32, units: &[f32], to: &mut [f32]) {
    for ((sum, of_other), to) in sums.iter().zip(units).zip(to) {
        *to = *sum as f32 * unit * of_other;
    }
}

/// Replaces the values of one class by negative infinity.
#[inline(always)]
fn mask(values: &mut [f32], classes: &[u32], class: u32) {
    for (value, &of) in values.iter_mut().zip(classes) {
        *value = if of == class {
            f32::NEG_INFINITY
        } else {
            *value
        };
    }
}

#[inline(always)]
fn subtract(values: &mut [f32], offsets: &[f32]) {
    for (value, offset) in values.iter_mut().zip(offsets) {
        *value -= offset;
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<32>();
    let mut lanes = [f32::NEG_INFINITY; 32];
    for chunk in chunks {
        for lane in 0..32 {
            lanes[lane] = larger(lanes[lane], chunk[lane]);
        }
    }
    for half in [16, 8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = larger(lanes[lane], lanes[lane + half]);
        }
    }
    rest.iter()
        .fold(lanes[0], |largest, &value| larger(largest, value))
}

/// Returns how many values are above `high`, and how many are at least `low`.
#[inline(always)]
fn count(values: &[f32], low: f32, high: f32) -> (u32, u32) {
    let (chunks, rest) = values.as_chunks::<16>();
    let (mut above, mut possible) = ([0u32; 16], [0u32; 16]);
    for chunk in chunks {
        for lane in 0..16 {
            above[lane] = above[lane].wrapping_add(u32::from(chunk[lane] > high));
            possible[lane] = possible[lane].wrapping_add(u32::from(chunk[lane] >= low));
        }
    }
    let mut all_above = above.iter().sum::<u32>();
    let mut all_possible = possible.iter().sum::<u32>();
    for &value in rest {
        all_above += u32::from(value > high);
        all_possible += u32::from(value >= low);
    }
    (all_above, all_possible)
}

/// Writes the indices of values from `low` to `high` into `found` and returns their number.
/// `found` must have room for one index more than there are values.
#[inline(always)]
fn find(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    let mut count = 0;
    for (start, chunk) in (0u32..).step_by(16).zip(values.chunks(16)) {
        if chunk.iter().fold(false, |any, value| {
            any | ((*value >= low) & (*value <= high))
        }) {
            for (index, value) in (start..).zip(chunk) {
                found[count] = index;
                count = count.wrapping_add(usize::from((*value >= low) & (*value <= high)));
            }
        }
    }
    count
}

/// Like [`count`], comparing 16 values into the bits of a mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn count_avx512(values: &[f32], low: f32, high: f32) -> (u32, u32) {
    use std::arch::x86_64::*;
    let (chunks, rest) = values.as_chunks::<16>();
    let (lows, highs) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
    let (mut above, mut possible) = count(rest, low, high);
    for chunk in chunks {
        // SAFETY: a chunk holds 16 values.
        let chunk = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        above += _mm512_cmp_ps_mask::<_CMP_GT_OQ>(chunk, highs).count_ones();
        possible += _mm512_cmp_ps_mask::<_CMP_GE_OQ>(chunk, lows).count_ones();
    }
    (above, possible)
}

/// Like [`find`], comparing 16 values into the bits of a mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn find_avx512(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let (chunks, rest) = values.as_chunks::<16>();
    let (lows, highs) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
    let mut count = 0;
    for (start, chunk) in (0u32..).step_by(16).zip(chunks) {
        // SAFETY: a chunk holds 16 values.
        let chunk = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        let from = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(chunk, lows);
        let mut within = _mm512_mask_cmp_ps_mask::<_CMP_LE_OQ>(from, chunk, highs);
        while within != 0 {
            found[count] = start + within.trailing_zeros();
            within &= within - 1;
            count += 1;
        }
    }
    let first = values.len() - rest.len();
    for (index, value) in (first..).zip(rest) {
        if *value >= low && *value <= high {
            found[count] = index as u32;
            count += 1;
        }
    }
    count
}

/// Transposes a square matrix whose side is a multiple of 8.
#[inline(always)]
fn transpose(from: &[f32], stride: usize, to: &mut [f32]) {
    for (strip, to) in to.chunks_exact_mut(stride * 8).enumerate() {
        for (row, from) in from.chunks_exact(stride).enumerate() {
            for (column, value) in from[strip * 8..][..8].iter().enumerate() {
                to[column * stride + row] = *value;
            }
        }
    }
}
