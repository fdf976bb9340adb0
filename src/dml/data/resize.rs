//! Antialiased resizing, pixel by pixel as Pillow's `resize` with its bilinear filter.
//!
//! A pixel of the result is a weighted mean of source pixels. The weights form a triangle around its
//! center that ends at the centers of the neighboring pixels (of the source, when the image grows).
//! Columns are resized first and rounded to bytes, then rows. Weights are fixed-point integers in
//! units of 2^-22, so results are the same bit for bit on every platform, and equal to Pillow's.
//!
//! Only the requested part of the result is computed. Several rows are resized at a time, with the
//! pixels of a column side by side in memory, so that each weight multiplies many values at once.

#![expect(
    unsafe_code,
    reason = "functions for a kind of processor are called where that kind was detected"
)]

use std::ops::Range;

use super::raster::{Raster, Region};
use crate::processor::{Processor, for_every_processor};

/// Fractional bits of a weight.
const DIGITS: u32 = 22;
const HALF: u32 = 1 << (DIGITS - 1);

/// Bytes of a column that are narrowed at a time: 4 rows of pixels with three channels and a gap, or 16 of gray ones.
const LANES: usize = 16;

/// Bytes of a row that are shortened at a time.
const WIDE: usize = 64;

impl Raster {
    /// Returns the image resized to these sides.
    pub fn resized(&self, width: usize, height: usize) -> Raster {
        let whole = Region {
            left: 0,
            top: 0,
            width,
            height,
        };
        self.resized_part(self.region(), [width, height], whole)
    }

    /// Returns the `wanted` region of a part of the image that is resized to these sides. Pixels around
    /// the part have no influence.
    pub(super) fn resized_part(&self, part: Region, sides: [usize; 2], wanted: Region) -> Raster {
        let mut pixels = vec![0; wanted.width * wanted.height * self.channels];
        resize(self, part, sides, wanted, &mut pixels);
        Raster {
            width: wanted.width,
            height: wanted.height,
            channels: self.channels,
            pixels,
        }
    }
}

/// Resizes a part of an image to these sides, width and height, and writes the `wanted` region of the
/// result. Pixels around the part have no influence.
///
/// # Panics
/// If the part is empty or exceeds the image, the wanted region exceeds the result, or `out` has
/// another length.
pub(super) fn resize(
    image: &Raster,
    part: Region,
    [width, height]: [usize; 2],
    wanted: Region,
    out: &mut [u8],
) {
    let length = wanted.width * image.channels;
    assert_eq!(out.len(), wanted.height * length, "room for the result");
    assert!(
        wanted.left + wanted.width <= width && wanted.top + wanted.height <= height,
        "only what there is"
    );
    if out.is_empty() {
        return;
    }
    let of_channel = |pixels: usize| pixels * image.channels;
    let lines = Lines {
        pixels: &image.pixels[of_channel(part.top * image.width + part.left)..],
        stride: of_channel(image.width),
        length: of_channel(part.width),
    };
    if [part.width, part.height] == [width, height] {
        let copied = out.chunks_exact_mut(length).zip(wanted.top..);
        return copied.for_each(|(out, y)| {
            out.copy_from_slice(&lines.of(y)[of_channel(wanted.left)..][..length])
        });
    }
    let columns = Windows::new(part.width, width, wanted.left..wanted.left + wanted.width);
    let rows = Windows::new(part.height, height, wanted.top..wanted.top + wanted.height);
    let mut narrowed = vec![0; rows.reach().len() * length];
    match image.channels {
        1 => Processor::best().narrow_gray(&lines, rows.reach(), &columns, &mut narrowed),
        3 => Processor::best().narrow_color(&lines, rows.reach(), &columns, &mut narrowed),
        channels => unreachable!("an image has 1 or 3 channels, not {channels}"),
    }
    Processor::best().shorten(&narrowed, &rows, length, out);
}

/// Rows of a part of an image.
struct Lines<'a> {
    /// From the first of the part.
    pixels: &'a [u8],
    /// Bytes from one row to the next.
    stride: usize,
    /// Bytes of a row.
    length: usize,
}

impl Lines<'_> {
    fn of(&self, y: usize) -> &[u8] {
        &self.pixels[y * self.stride..][..self.length]
    }
}

impl Processor {
    for_every_processor! {
        fn narrow_gray(lines: &Lines, rows: Range<usize>, columns: &Windows, out: &mut [u8]) =
            [narrow::<1>, narrow::<1>, narrow::<1>];
        fn narrow_color(lines: &Lines, rows: Range<usize>, columns: &Windows, out: &mut [u8]) =
            [narrow::<3>, narrow::<3>, narrow::<3>];
        fn shorten(narrowed: &[u8], rows: &Windows, length: usize, out: &mut [u8]) = [shorten, shorten, shorten];
    }
}

/// Weights add up to 2^22 but for rounding, so that a sum never overflows; a check would cost more than the sum.
#[inline(always)]
fn add(sum: &mut u32, value: u8, weight: u32) {
    *sum = sum.wrapping_add(u32::from(value).wrapping_mul(weight));
}

/// Resizes some rows.
#[inline(always)]
fn narrow<const C: usize>(lines: &Lines, rows: Range<usize>, columns: &Windows, out: &mut [u8]) {
    let room = C.next_power_of_two();
    let length = columns.firsts.len() * C;
    let mut together = vec![[0; LANES]; lines.length / C];
    let mut narrowed = vec![[0; LANES]; columns.firsts.len()];
    for (out, first) in out
        .chunks_mut(LANES / room * length)
        .zip(rows.step_by(LANES / room))
    {
        for (row, y) in (first..).take(out.len() / length).enumerate() {
            let pixels = lines.of(y).as_chunks::<C>().0;
            together
                .iter_mut()
                .zip(pixels)
                .for_each(|(column, pixel)| column[row * room..][..C].copy_from_slice(pixel));
        }
        for (mean, (first, weights)) in narrowed.iter_mut().zip(columns.each()) {
            let mut sums = [HALF; LANES];
            for (column, &weight) in together[first..].iter().zip(weights) {
                sums.iter_mut()
                    .zip(column)
                    .for_each(|(sum, &value)| add(sum, value, weight));
            }
            *mean = sums.map(|sum| (sum >> DIGITS) as u8);
        }
        for (row, out) in out.chunks_exact_mut(length).enumerate() {
            let pixels = out.as_chunks_mut::<C>().0.iter_mut();
            pixels
                .zip(&narrowed)
                .for_each(|(pixel, mean)| pixel.copy_from_slice(&mean[row * room..][..C]));
        }
    }
}

/// Resizes across rows, each of `length` bytes.
#[inline(always)]
fn shorten(narrowed: &[u8], rows: &Windows, length: usize, out: &mut [u8]) {
    let above = rows.reach().start;
    for (out, (first, weights)) in out.chunks_exact_mut(length).zip(rows.each()) {
        let source = &narrowed[(first - above) * length..];
        let (wide, rest) = out.as_chunks_mut::<WIDE>();
        let done = wide.len() * WIDE;
        for (out, x) in wide.iter_mut().zip((0..).step_by(WIDE)) {
            let mut sums = [HALF; WIDE];
            for (row, &weight) in source[x..].chunks(length).zip(weights) {
                sums.iter_mut()
                    .zip(&row[..WIDE])
                    .for_each(|(sum, &value)| add(sum, value, weight));
            }
            *out = sums.map(|sum| (sum >> DIGITS) as u8);
        }
        for (out, x) in rest.iter_mut().zip(done..) {
            let values = source[x..].iter().step_by(length);
            let sum: u32 = values
                .zip(weights)
                .map(|(&value, weight)| u32::from(value) * weight)
                .sum();
            *out = ((sum + HALF) >> DIGITS) as u8;
        }
    }
}

/// Source pixels and weights of some pixels of the result. All have the same number of weights; where
/// fewer are needed, the others are zero.
struct Windows {
    taps: usize,
    firsts: Vec<usize>,
    weights: Vec<u32>,
}

impl Windows {
    /// Those of the `wanted` among `to` pixels that are made of `from`.
    fn new(from: usize, to: usize, wanted: Range<usize>) -> Windows {
        let scale = from as f64 / to as f64;
        let reach = scale.max(1.0);
        let middle = |pixel: usize| (pixel as f64 + 0.5) * scale;
        // The conversion to an unsigned integer saturates at 0.
        let first = |middle: f64| (middle - reach + 0.5) as usize;
        let end = |middle: f64| ((middle + reach + 0.5) as usize).min(from);
        let taps = wanted
            .clone()
            .map(middle)
            .map(|middle| end(middle) - first(middle))
            .max()
            .unwrap_or(0);
        let mut windows = Windows {
            taps,
            firsts: Vec::new(),
            weights: vec![0; taps * wanted.len()],
        };
        for (middle, weights) in wanted
            .map(middle)
            .zip(windows.weights.chunks_exact_mut(taps))
        {
            let sources = first(middle)..end(middle);
            let start = sources.start.min(from - taps);
            windows.firsts.push(start);
            let triangle =
                |source: usize| (1.0 - ((source as f64 - middle + 0.5) / reach).abs()).max(0.0);
            let total: f64 = sources.clone().map(triangle).sum();
            for source in sources {
                weights[source - start] =
                    (triangle(source) / total * f64::from(1 << DIGITS) + 0.5) as u32;
            }
        }
        windows
    }

    /// The first pixel of the source and the weights from there on, for each pixel of the result.
    fn each(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.firsts
            .iter()
            .copied()
            .zip(self.weights.chunks_exact(self.taps))
    }

    /// All pixels of the source that have a weight.
    fn reach(&self) -> Range<usize> {
        let [first, last] =
            [self.firsts.first(), self.firsts.last()].map(|first| first.copied().unwrap_or(0));
        first..last + self.taps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, pixels: &[u8]) -> Raster {
        Raster {
            width,
            height: pixels.len() / width,
            channels: 1,
            pixels: pixels.to_vec(),
        }
    }

    fn whole(width: usize, height: usize) -> Region {
        Region {
            left: 0,
            top: 0,
            width,
            height,
        }
    }

    #[test]
    fn halving_weighs_four_pixels_as_one_three_three_one() {
        // At the left border the outer pixel is cut off: (3 · 0 + 3 · 70 + 1 · 140) / 7.
        assert_eq!(
            gray(4, &[0, 70, 140, 210].repeat(4)).resized(2, 2).pixels[..2],
            [50, 160]
        );
        assert_eq!(
            gray(8, &[0, 0, 80, 160, 0, 80, 0, 0].repeat(8))
                .resized(4, 4)
                .pixels[1],
            90
        );
    }

    #[test]
    fn an_even_image_stays_even_whatever_its_size() {
        for (from, to) in [(105, 28), (105, 84), (3, 2), (2, 5), (1, 3), (400, 3)] {
            assert_eq!(
                gray(from, &vec![255; from * from]).resized(to, to).pixels,
                vec![255; to * to],
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn the_same_size_changes_nothing_and_a_larger_one_interpolates() {
        let image = gray(2, &[0, 100, 0, 100]);
        assert_eq!(image.resized(2, 2), image);
        assert_eq!(image.resized(4, 4).pixels[..4], [0, 25, 75, 100]);
    }

    #[test]
    fn a_part_is_resized_as_if_there_were_nothing_around_it() {
        let image = pattern(40, 30, 3);
        let region = Region {
            left: 5,
            top: 3,
            width: 21,
            height: 17,
        };
        for (width, height) in [(9, 9), (21, 8), (8, 17), (33, 40), (21, 17)] {
            let resized = image.resized_part(region, [width, height], whole(width, height));
            assert_eq!(
                resized,
                image.crop(region).resized(width, height),
                "{width} x {height}"
            );
        }
    }

    fn pattern(width: usize, height: usize, channels: usize) -> Raster {
        let pixels = (0..width * height * channels)
            .map(|place| (place * 7919 % 251) as u8)
            .collect();
        Raster {
            width,
            height,
            channels,
            pixels,
        }
    }

    #[test]
    fn what_is_wanted_of_a_result_is_what_it_has_there() {
        let part = Region {
            left: 3,
            top: 1,
            width: 90,
            height: 70,
        };
        for (channels, [width, height]) in [
            (1, [33, 29]),
            (3, [33, 29]),
            (3, [100, 80]),
            (3, [90, 20]),
            (3, [90, 70]),
        ] {
            let image = pattern(95, 72, channels);
            let all = image.resized_part(part, [width, height], whole(width, height));
            let wanted = Region {
                left: 5,
                top: 7,
                width: 21,
                height: 9,
            };
            assert_eq!(
                image.resized_part(part, [width, height], wanted),
                all.crop(wanted),
                "{width} x {height}"
            );
        }
    }

    #[test]
    fn every_processor_gives_the_same_pixels() {
        let (image, columns, rows) = (
            pattern(97, 50, 3),
            Windows::new(97, 41, 0..41),
            Windows::new(50, 23, 0..23),
        );
        let lines = Lines {
            pixels: &image.pixels,
            stride: 97 * 3,
            length: 97 * 3,
        };
        let by = |processor: Processor| {
            let (mut narrowed, mut out) = (vec![0; 50 * 41 * 3], vec![0; 23 * 41 * 3]);
            processor.narrow_color(&lines, 0..50, &columns, &mut narrowed);
            processor.shorten(&narrowed, &rows, 41 * 3, &mut out);
            out
        };
        assert!(
            Processor::available()
                .into_iter()
                .all(|processor| by(processor) == by(Processor::Any))
        );
    }
}
