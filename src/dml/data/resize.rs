//! Antialiased resizing, pixel by pixel as Pillow's `resize` with its bilinear filter.
//!
//! A pixel of the result is a mean of the source, weighted by a triangle about its middle that reaches to the
//! middles of its neighbours (of the source's pixels, when the image grows). Columns are resized first and rounded to
//! bytes, then rows. Weights are whole numbers, multiples of 2^-22, so results are the same bit for bit on every
//! platform, and the same as Pillow's.

use super::raster::{Raster, Region};

/// Binary digits of a weight after the point.
const DIGITS: u32 = 22;
const HALF: u32 = 1 << (DIGITS - 1);

impl Raster {
    /// The image, stretched to these sides.
    pub fn resized(&self, width: usize, height: usize) -> Raster {
        self.resized_part(self.region(), width, height)
    }

    /// A part of the image, stretched to these sides. What lies around the part has no influence.
    pub(super) fn resized_part(&self, part: Region, width: usize, height: usize) -> Raster {
        let mut pixels = vec![0; width * height * self.channels];
        resize(self, part, width, height, &mut pixels);
        Raster { width, height, channels: self.channels, pixels }
    }
}

/// Stretches a part of an image to these sides. What lies around the part has no influence.
///
/// # Panics
/// If the part reaches over the image's border or is empty, or `out` is not as long as the result.
pub(super) fn resize(image: &Raster, region: Region, width: usize, height: usize, out: &mut [u8]) {
    match image.channels {
        1 => resize_channels::<1>(image, region, width, height, out),
        3 => resize_channels::<3>(image, region, width, height, out),
        channels => unreachable!("an image has 1 or 3 channels, not {channels}"),
    }
}

fn resize_channels<const C: usize>(image: &Raster, region: Region, width: usize, height: usize, out: &mut [u8]) {
    assert_eq!(out.len(), width * height * C, "room for the result");
    let stride = image.width * C;
    let row = |y: usize| &image.pixels[(region.top + y) * stride + region.left * C..][..region.width * C];
    if region.height == height {
        return narrow::<C>((0..height).map(row), region.width, width, out);
    }
    if region.width == width {
        return shorten(|y| row(y), region.height, height, width * C, out);
    }
    let mut narrowed = vec![0; region.height * width * C];
    narrow::<C>((0..region.height).map(row), region.width, width, &mut narrowed);
    shorten(|y| &narrowed[y * width * C..][..width * C], region.height, height, width * C, out);
}

/// Resizes each row.
fn narrow<'a, const C: usize>(rows: impl Iterator<Item = &'a [u8]>, from: usize, to: usize, out: &mut [u8]) {
    let out_rows = out.chunks_exact_mut(to * C);
    if from == to {
        return out_rows.zip(rows).for_each(|(out, row)| out.copy_from_slice(row));
    }
    let windows = windows(from, to);
    for (out, row) in out_rows.zip(rows) {
        let (row, out) = (row.as_chunks::<C>().0, out.as_chunks_mut::<C>().0);
        for (out, window) in out.iter_mut().zip(&windows) {
            *out = window.mean(row);
        }
    }
}

/// Resizes across rows, each of `length` bytes.
fn shorten<'a>(row: impl Fn(usize) -> &'a [u8], from: usize, to: usize, length: usize, out: &mut [u8]) {
    let mut sums = vec![0u32; length];
    for (out, window) in out.chunks_exact_mut(length).zip(windows(from, to)) {
        sums.fill(HALF);
        for (y, &weight) in (window.first..).zip(&window.weights) {
            sums.iter_mut().zip(row(y)).for_each(|(sum, &value)| *sum += u32::from(value) * weight);
        }
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = (sum >> DIGITS) as u8);
    }
}

/// Which pixels of the source go into a pixel of the result, and with what weight.
struct Window {
    first: usize,
    weights: Vec<u32>,
}

impl Window {
    fn mean<const C: usize>(&self, row: &[[u8; C]]) -> [u8; C] {
        let mut sums = [HALF; C];
        for (&weight, pixel) in self.weights.iter().zip(&row[self.first..self.first + self.weights.len()]) {
            for channel in 0..C {
                sums[channel] += u32::from(pixel[channel]) * weight;
            }
        }
        sums.map(|sum| (sum >> DIGITS) as u8)
    }
}

fn windows(from: usize, to: usize) -> Vec<Window> {
    (0..to).map(|pixel| window(pixel, from, to)).collect()
}

fn window(pixel: usize, from: usize, to: usize) -> Window {
    let scale = from as f64 / to as f64;
    let (middle, reach) = ((pixel as f64 + 0.5) * scale, scale.max(1.0));
    // Converting to an unsigned number cuts at 0.
    let first = (middle - reach + 0.5) as usize;
    let end = ((middle + reach + 0.5) as usize).min(from);
    let triangle = |source: usize| (1.0 - ((source as f64 - middle + 0.5) / reach).abs()).max(0.0);
    let total: f64 = (first..end).map(triangle).sum();
    let weight = |source| (triangle(source) / total * f64::from(1 << DIGITS) + 0.5) as u32;
    Window { first, weights: (first..end).map(weight).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, pixels: &[u8]) -> Raster {
        Raster { width, height: pixels.len() / width, channels: 1, pixels: pixels.to_vec() }
    }

    #[test]
    fn halving_weighs_four_pixels_as_one_three_three_one() {
        // At the left border the outer pixel is cut off: (3 · 0 + 3 · 70 + 1 · 140) / 7.
        assert_eq!(grey(4, &[0, 70, 140, 210].repeat(4)).resized(2, 2).pixels[..2], [50, 160]);
        assert_eq!(grey(8, &[0, 0, 80, 160, 0, 80, 0, 0].repeat(8)).resized(4, 4).pixels[1], 90);
    }

    #[test]
    fn an_even_image_stays_even_whatever_its_size() {
        for (from, to) in [(105, 28), (105, 84), (3, 2), (2, 5), (1, 3), (400, 3)] {
            assert_eq!(
                grey(from, &vec![255; from * from]).resized(to, to).pixels,
                vec![255; to * to],
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn the_same_size_changes_nothing_and_a_larger_one_interpolates() {
        let image = grey(2, &[0, 100, 0, 100]);
        assert_eq!(image.resized(2, 2), image);
        assert_eq!(image.resized(4, 4).pixels[..4], [0, 25, 75, 100]);
    }

    #[test]
    fn a_part_is_resized_as_if_there_were_nothing_around_it() {
        let pixels = (0..40 * 30 * 3).map(|place| (place * 7919 % 251) as u8).collect();
        let image = Raster { width: 40, height: 30, channels: 3, pixels };
        let region = Region { left: 5, top: 3, width: 21, height: 17 };
        for (width, height) in [(9, 9), (21, 8), (8, 17), (33, 40), (21, 17)] {
            let resized = image.resized_part(region, width, height);
            assert_eq!(resized, image.crop(region).resized(width, height), "{width} x {height}");
        }
    }
}
