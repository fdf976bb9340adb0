//! The inner loops, for each kind of [`Processor`]. Only products of bfloat16 numbers need to be spelled out.

#![expect(unsafe_code, reason = "functions for a kind of processor are called where that kind was detected")]

use super::rows::{Comparison, dot, squared_distance};
use crate::processor::{Processor, for_every_processor};

impl Processor {
    for_every_processor! {
        pub(super) fn multiply_f32(a: &[f32], b: &[f32], to: &mut [f32], stride: usize) =
            [micro::<4, 8, false>, micro::<6, 16, true>, micro::<12, 32, true>];
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
            Processor::Avx512 | Processor::Avx512Bf16 => (12, 32),
        }
    }

    /// As [`multiply_f32`](Self::multiply_f32), of pairs of bfloat16 numbers.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn multiply_bf16(self, a: &[u32], b: &[u32], to: &mut [f32], stride: usize) {
        assert_eq!(self, Processor::Avx512Bf16, "only this processor multiplies such numbers");
        // SAFETY: `available` detected what the function needs.
        unsafe { micro_bf16(a, b, to, stride) }
    }

    /// As [`multiply_f32`](Self::multiply_f32), of pairs of bfloat16 numbers.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn multiply_bf16(self, _: &[u32], _: &[u32], _: &mut [f32], _: usize) {
        unreachable!("only other processors multiply such numbers");
    }
}

/// Products of `M` rows with `N` rows: `a` holds `M` and `b` holds `N` numbers of each column, column by column.
#[inline(always)]
fn micro<const M: usize, const N: usize, const FUSED: bool>(a: &[f32], b: &[f32], to: &mut [f32], stride: usize) {
    let mut sums = [[0f32; N]; M];
    for (a, b) in a.as_chunks::<M>().0.iter().zip(b.as_chunks::<N>().0) {
        for row in 0..M {
            for column in 0..N {
                let sum = &mut sums[row][column];
                *sum = if FUSED { a[row].mul_add(b[column], *sum) } else { a[row] * b[column] + *sum };
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        to[row * stride..][..N].copy_from_slice(sums);
    }
}

/// As [`micro`] with 12 and 32 rows; each number is a pair of two neighbouring columns.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn micro_bf16(a: &[u32], b: &[u32], to: &mut [f32], stride: usize) {
    use std::{arch::x86_64::*, mem::transmute};
    let pair = |from: &[u32; 16]| {
        // SAFETY: an array of 64 bytes is as good as a register of 64 bytes, whatever its numbers mean.
        unsafe { transmute::<[u32; 16], __m512bh>(*from) }
    };
    let mut sums = [[_mm512_setzero_ps(); 2]; 12];
    for (a, b) in a.as_chunks::<12>().0.iter().zip(b.as_chunks::<32>().0) {
        let ([left, right], _) = b.as_chunks::<16>() else { unreachable!("32 are two times 16") };
        let (left, right) = (pair(left), pair(right));
        for (a, sums) in a.iter().zip(&mut sums) {
            // SAFETY: both types are registers of 64 bytes.
            let a = unsafe { transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*a as i32)) };
            sums[0] = _mm512_dpbf16_ps(sums[0], a, left);
            sums[1] = _mm512_dpbf16_ps(sums[1], a, right);
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let to = &mut to[row * stride..][..32];
        // SAFETY: there is place for 32 numbers.
        unsafe {
            _mm512_storeu_ps(to.as_mut_ptr(), sums[0]);
            _mm512_storeu_ps(to.as_mut_ptr().add(16), sums[1]);
        }
    }
}

/// Puts minus infinity in the place of values whose class this is.
#[inline(always)]
fn mask(values: &mut [f32], classes: &[u32], class: u32) {
    for (value, &of) in values.iter_mut().zip(classes) {
        *value = if of == class { f32::NEG_INFINITY } else { *value };
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
    rest.iter().fold(lanes[0], |largest, &value| larger(largest, value))
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
    let of_rest = |test: &dyn Fn(f32) -> bool| rest.iter().filter(|value| test(**value)).count() as u32;
    let sum = |lanes: [u32; 16]| lanes.iter().sum::<u32>();
    (sum(above) + of_rest(&|value| value > high), sum(possible) + of_rest(&|value| value >= low))
}

/// Puts the places of values from `low` to `high` into `found` and says how many there are.
#[inline(always)]
fn find(values: &[f32], low: f32, high: f32, found: &mut [u32]) -> usize {
    let mut count = 0;
    for (start, chunk) in (0u32..).step_by(16).zip(values.chunks(16)) {
        if chunk.iter().fold(false, |any, value| any | ((*value >= low) & (*value <= high))) {
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
