//! The inner loops, for each kind of [`Processor`].

#![expect(
    unsafe_code,
    reason = "functions for a kind of processor are called where that kind was detected"
)]

use super::rows::{Comparison, dot, squared_distance};
use crate::processor::{Processor, for_every_processor};

impl Processor {
    for_every_processor! {
        fn multiply_by_parts(a: &[Pair], b: &[Pair], to: &mut [i32], stride: usize) =
            [micro::<4, 8>, micro_avx2, micro_avx512];
        pub(super) fn measure(row: &[f32], centre: &[f32], scale: f32) -> Measured = [measure, measure, measure];
        pub(super) fn residue(row: &[f32], centre: &[f32], scale: f32, whole: &[i16], unit: f32) -> f64 =
            [residue, residue, residue];
        pub(super) fn quantise(row: &[f32], centre: &[f32], scale: f32, per_unit: f32, to: &mut [i16]) =
            [quantise, quantise, quantise];
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

    /// Rows of the left and of the right side that are multiplied at a time.
    pub(super) fn shape(self) -> (usize, usize) {
        match self {
            Processor::Any => (4, 8),
            #[cfg(target_arch = "x86_64")]
            Processor::Avx2 => (6, 16),
            #[cfg(target_arch = "x86_64")]
            Processor::Avx512 | Processor::Avx512Vnni => (12, 32),
        }
    }

    /// The sums of products of as many rows as [`shape`](Self::shape) says with as many others. Sides hold all rows'
    /// first pairs of columns, then all second ones, and so on. No sum may be larger than its type can hold.
    pub(super) fn multiply(self, a: &[Pair], b: &[Pair], to: &mut [i32], stride: usize) {
        #[cfg(target_arch = "x86_64")]
        if self == Processor::Avx512Vnni {
            // SAFETY: `available` detected what the function needs.
            return unsafe { micro_vnni(a, b, to, stride) };
        }
        self.multiply_by_parts(a, b, to, stride);
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
                let [first, second] =
                    [0, 1].map(|of| i32::from(a[row][of]) * i32::from(b[column][of]));
                sums[row][column] += first + second;
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        to[row * stride..][..N].copy_from_slice(sums);
    }
}

/// Makes a function as [`micro`] of instructions for two registers of columns.
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
                // SAFETY: there are two registers of pairs.
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
                    // SAFETY: there is place for two registers of sums.
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

/// What is known of a row, times a scale and less a centre.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    /// The square of its length.
    pub(super) square: f64,
    /// Its product with the centre.
    pub(super) with_centre: f64,
    /// The largest magnitude of its numbers.
    pub(super) largest: f64,
}

/// Numbers that are summed side by side.
const LANES: usize = 16;

#[inline(always)]
fn measure(row: &[f32], centre: &[f32], scale: f32) -> Measured {
    let (mut squares, mut products, mut largest) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    let mut take = |lane: usize, value: f32, centre: f32| {
        let (value, centre) = (
            f64::from(value * scale) - f64::from(centre),
            f64::from(centre),
        );
        squares[lane] += value * value;
        products[lane] += value * centre;
        largest[lane] = if value.abs() > largest[lane] {
            value.abs()
        } else {
            largest[lane]
        };
    };
    let ((rows, rest), (centres, rest_of_centre)) =
        (row.as_chunks::<LANES>(), centre.as_chunks::<LANES>());
    for (row, centre) in rows.iter().zip(centres) {
        (0..LANES).for_each(|lane| take(lane, row[lane], centre[lane]));
    }
    rest.iter()
        .zip(rest_of_centre)
        .enumerate()
        .for_each(|(lane, (value, centre))| take(lane, *value, *centre));
    Measured {
        square: squares.iter().sum(),
        with_centre: products.iter().sum(),
        largest: largest
            .iter()
            .fold(0.0, |largest, &value| f64::max(largest, value)),
    }
}

/// The square of the length of what is lost by writing a row in whole numbers.
#[inline(always)]
fn residue(row: &[f32], centre: &[f32], scale: f32, whole: &[i16], unit: f32) -> f64 {
    let mut squares = [0.0; LANES];
    let mut take = |lane: usize, value: f32, centre: f32, whole: i16| {
        let lost =
            f64::from(value * scale) - f64::from(centre) - f64::from(whole) * f64::from(unit);
        squares[lane] += lost * lost;
    };
    let ((rows, rest), (centres, rest_of_centre)) =
        (row.as_chunks::<LANES>(), centre.as_chunks::<LANES>());
    let (wholes, rest_of_whole) = whole.as_chunks::<LANES>();
    for ((row, centre), whole) in rows.iter().zip(centres).zip(wholes) {
        (0..LANES).for_each(|lane| take(lane, row[lane], centre[lane], whole[lane]));
    }
    let rest = rest
        .iter()
        .zip(rest_of_centre)
        .zip(rest_of_whole)
        .enumerate();
    rest.for_each(|(lane, ((value, centre), whole))| take(lane, *value, *centre, *whole));
    squares.iter().sum()
}

/// Writes the numbers of a row, times `scale` and less the `centre`, in whole numbers of a unit, the nearest, of
/// which there are 32,767 at most.
#[inline(always)]
fn quantise(row: &[f32], centre: &[f32], scale: f32, per_unit: f32, to: &mut [i16]) {
    // Beside this number there is no place for fractions, and whole numbers are the last bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    for ((value, centre), to) in row.iter().zip(centre).zip(to) {
        *to = ((value * scale - centre) * per_unit + ROUND).to_bits() as i16;
    }
}

/// Turns sums of products of whole numbers into products of rows.
#[inline(always)]
fn to_products(sums: &[i32], unit: f32, units: &[f32], to: &mut [f32]) {
    for ((sum, of_other), to) in sums.iter().zip(units).zip(to) {
        *to = *sum as f32 * unit * of_other;
    }
}

/// Puts minus infinity in the place of values whose class this is.
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
fn largest(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
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

/// How many values are above `high`, and how many at least `low`.
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
    let of_rest =
        |test: &dyn Fn(f32) -> bool| rest.iter().filter(|value| test(**value)).count() as u32;
    let sum = |lanes: [u32; 16]| lanes.iter().sum::<u32>();
    (
        sum(above) + of_rest(&|value| value > high),
        sum(possible) + of_rest(&|value| value >= low),
    )
}

/// Puts the places of values from `low` to `high` into `found` and says how many there are.
#[inline(always)]
fn find(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    let mut count = 0;
    for (start, chunk) in (0u32..).step_by(16).zip(values.chunks(16)) {
        if chunk.iter().fold(false, |any, value| {
            any | ((*value >= low) & (*value <= high))
        }) {
            for (place, value) in (start..).zip(chunk) {
                found[count] = place;
                count = count.wrapping_add(usize::from((*value >= low) & (*value <= high)));
            }
        }
    }
    count
}

/// As [`count`], with the instructions that compare 16 numbers into the bits of a mask.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn count_avx512(values: &[f32], low: f32, high: f32) -> (u32, u32) {
    use std::arch::x86_64::*;
    let (chunks, rest) = values.as_chunks::<16>();
    let (lows, highs) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
    let (mut above, mut possible) = count(rest, low, high);
    for chunk in chunks {
        // SAFETY: a chunk is 16 numbers.
        let chunk = unsafe { _mm512_loadu_ps(chunk.as_ptr()) };
        above += _mm512_cmp_ps_mask::<_CMP_GT_OQ>(chunk, highs).count_ones();
        possible += _mm512_cmp_ps_mask::<_CMP_GE_OQ>(chunk, lows).count_ones();
    }
    (above, possible)
}

/// As [`find`], in the same way.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn find_avx512(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    use std::arch::x86_64::*;
    let (chunks, rest) = values.as_chunks::<16>();
    let (lows, highs) = (_mm512_set1_ps(low), _mm512_set1_ps(high));
    let mut count = 0;
    for (start, chunk) in (0u32..).step_by(16).zip(chunks) {
        // SAFETY: a chunk is 16 numbers.
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
    for (place, value) in (first..).zip(rest) {
        if *value >= low && *value <= high {
            found[count] = place as u32;
            count += 1;
        }
    }
    count
}

/// Transposes a square whose side is a multiple of 8.
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

#[inline(always)]
fn similarity(comparison: Comparison, a: &[f32], b: &[f32]) -> f64 {
    match comparison {
        Comparison::Cosine | Comparison::Dot => dot(a, b),
        Comparison::Euclidean => -squared_distance(a, b),
    }
}
