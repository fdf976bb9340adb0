//! Operations of augmentation policies, pixel by pixel as torchvision's on Pillow images.
//!
//! What an affine map takes from outside of the image is black.

use schema::Interpolation;

use super::colors::{Adjustment, blend};

/// A change of a square image that has its own size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// A pixel of the result is that of the image at a x + b y + c, d x + e y + f, for the matrix a to f and
    /// coordinates of the middles of pixels.
    Affine {
        /// The six numbers.
        matrix: [f64; 6],
        /// Between pixels.
        interpolation: Interpolation,
    },
    /// A change of color.
    Adjust(Adjustment),
    /// A factor: 0 is a smoothed image, 1 changes nothing.
    Sharpness(f32),
    /// The number of upper bits of a value that are kept.
    Posterize(u32),
    /// Values from this one on are inverted.
    Solarize(f32),
    /// Stretches the values of each channel to 0 to 255.
    AutoContrast,
    /// Spreads the values of each channel evenly.
    Equalize,
    /// Inverts all values.
    Invert,
}

impl Operation {
    /// Moves each row to the left by `tangent` of its height.
    pub fn shear_x(tangent: f64, interpolation: Interpolation) -> Operation {
        let matrix = [1.0, through_degrees(tangent).tan(), 0.0, 0.0, 1.0, 0.0];
        Operation::Affine {
            matrix,
            interpolation,
        }
    }

    /// Moves each column up by `tangent` of its distance from the left.
    pub fn shear_y(tangent: f64, interpolation: Interpolation) -> Operation {
        let angle = through_degrees(tangent);
        let matrix = [1.0, 0.0, 0.0, angle.sin() / angle.cos(), 1.0, 0.0];
        Operation::Affine {
            matrix,
            interpolation,
        }
    }

    /// Moves the image right and down by whole pixels.
    pub fn translate(right: f64, down: f64, interpolation: Interpolation) -> Operation {
        let matrix = [1.0, 0.0, -right.trunc(), 0.0, 1.0, -down.trunc()];
        Operation::Affine {
            matrix,
            interpolation,
        }
    }

    /// Rotates a square of this side counterclockwise about its middle.
    pub fn rotate(degrees: f64, side: usize, interpolation: Interpolation) -> Operation {
        let (sine, cosine) = (-degrees.rem_euclid(360.0).to_radians()).sin_cos();
        let [sine, cosine] = [sine, cosine].map(|value| (value * 1e15).round() / 1e15);
        let middle = side as f64 / 2.0;
        let across = cosine * -middle + sine * -middle + middle;
        let down = -sine * -middle + cosine * -middle + middle;
        Operation::Affine {
            matrix: [cosine, sine, across, -sine, cosine, down],
            interpolation,
        }
    }

    /// Changes a square image with this number of channels.
    pub(super) fn apply(self, pixels: &mut [u8], side: usize, channels: usize) {
        match self {
            Operation::Affine {
                matrix,
                interpolation,
            } => affine(pixels, side, channels, &matrix, interpolation),
            Operation::Adjust(adjustment) => adjustment.apply(pixels, channels),
            Operation::Sharpness(factor) => sharpen(pixels, side, channels, factor),
            Operation::Posterize(bits) => {
                let kept = !(0xFF_u16 >> bits) as u8;
                map(pixels, |value| value & kept);
            }
            Operation::Solarize(threshold) => map(pixels, |value| match f32::from(value) {
                light if light < threshold => value,
                _ => 255 - value,
            }),
            Operation::AutoContrast => map_channels(pixels, channels, stretched),
            Operation::Equalize => map_channels(pixels, channels, evened),
            Operation::Invert => map(pixels, |value| 255 - value),
        }
    }
}

/// Returns the angle of a tangent, in radians that have been degrees.
fn through_degrees(tangent: f64) -> f64 {
    tangent.atan().to_degrees().to_radians()
}

fn map(pixels: &mut [u8], change: impl Fn(u8) -> u8) {
    pixels.iter_mut().for_each(|value| *value = change(*value));
}

/// Changes each channel by a table that is made from the numbers of its values.
fn map_channels(pixels: &mut [u8], channels: usize, table: impl Fn(&[u32; 256]) -> [u8; 256]) {
    for channel in 0..channels {
        let mut counts = [0; 256];
        for &value in pixels.iter().skip(channel).step_by(channels) {
            counts[usize::from(value)] += 1;
        }
        let table = table(&counts);
        for value in pixels.iter_mut().skip(channel).step_by(channels) {
            *value = table[usize::from(*value)];
        }
    }
}

/// Returns the table that leaves everything as it is.
fn unchanged() -> [u8; 256] {
    std::array::from_fn(|value| value as u8)
}

/// Returns the table that maps the smallest value to 0 and the largest to 255.
fn stretched(counts: &[u32; 256]) -> [u8; 256] {
    let low = counts.iter().position(|&count| count > 0).unwrap_or(0);
    let high = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
    if high <= low {
        return unchanged();
    }
    let scale = 255.0 / (high - low) as f64;
    let offset = -(low as f64) * scale;
    std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
}

/// Returns the table after which each part of the range has about as many values as any other.
fn evened(counts: &[u32; 256]) -> [u8; 256] {
    let last = counts.iter().rev().find(|&&count| count > 0);
    let step = (counts.iter().sum::<u32>() - last.unwrap_or(&0)) / 255;
    if step == 0 {
        return unchanged();
    }
    let mut below = step / 2;
    counts.map(|count| {
        let value = (below / step).min(255) as u8;
        below += count;
        value
    })
}

/// Blends an image with itself smoothed by the weights 1 around 5, except at its border.
fn sharpen(pixels: &mut [u8], side: usize, channels: usize, factor: f32) {
    let row = side * channels;
    let image = pixels.to_vec();
    for y in 1..side.saturating_sub(1) {
        for place in y * row + channels..(y + 1) * row - channels {
            let line = |middle: usize| {
                [middle - channels, middle, middle + channels]
                    .map(|place| u32::from(image[place]))
                    .into_iter()
                    .sum::<u32>()
            };
            let around = line(place - row) + line(place) + line(place + row);
            let sum = around + 4 * u32::from(image[place]);
            // The sum of weights is 13.
            let smooth = ((2 * sum + 13) / 26) as u8;
            pixels[place] = blend(smooth, image[place], factor);
        }
    }
}

fn affine(
    pixels: &mut [u8],
    side: usize,
    channels: usize,
    matrix: &[f64; 6],
    interpolation: Interpolation,
) {
    let image = Square {
        pixels: pixels.to_vec(),
        side,
        channels,
    };
    for (index, pixel) in pixels.chunks_exact_mut(channels).enumerate() {
        let (x, y) = (index % side, index / side);
        match interpolation {
            Interpolation::Nearest => image.nearest(matrix, x, y, pixel),
            Interpolation::Bilinear => image.bilinear(matrix, x, y, pixel),
        }
    }
}

/// The image that an affine map takes pixels from.
struct Square {
    pixels: Vec<u8>,
    side: usize,
    channels: usize,
}

impl Square {
    fn value(&self, x: usize, y: usize, channel: usize) -> f64 {
        f64::from(self.pixels[(y * self.side + x) * self.channels + channel])
    }

    /// Writes the nearest pixel. Coordinates are in units of 2^-16 of a pixel.
    fn nearest(&self, &[a, b, c, d, e, f]: &[f64; 6], x: usize, y: usize, out: &mut [u8]) {
        let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
        let line = |along: f64, across: f64, start: f64| {
            let first = fixed(start + along * 0.5 + across * 0.5);
            (first + fixed(along) * x as i64 + fixed(across) * y as i64) >> 16
        };
        let inside = |place: i64| {
            usize::try_from(place)
                .ok()
                .filter(|&place| place < self.side)
        };
        match (inside(line(a, b, c)), inside(line(d, e, f))) {
            (Some(x), Some(y)) => {
                let first = (y * self.side + x) * self.channels;
                out.copy_from_slice(&self.pixels[first..][..self.channels]);
            }
            _ => out.fill(0),
        }
    }

    /// Writes the pixel between four. At the border the outermost pixels go on.
    fn bilinear(&self, &[a, b, c, d, e, f]: &[f64; 6], x: usize, y: usize, out: &mut [u8]) {
        let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
        let (x, y) = (a * x + b * y + c, d * x + e * y + f);
        let inside = 0.0..self.side as f64;
        if !inside.contains(&x) || !inside.contains(&y) {
            out.fill(0);
            return;
        }
        let last = self.side as i64 - 1;
        let neighbors = |place: f64| {
            let first = place.floor();
            let clipped = |place: i64| place.clamp(0, last) as usize;
            let [one, other] = [first as i64, first as i64 + 1].map(clipped);
            (one, other, place - first)
        };
        let (left, right, across) = neighbors(x - 0.5);
        let (top, bottom, down) = neighbors(y - 0.5);
        let between = |one: f64, other: f64, share: f64| one + (other - one) * share;
        for (channel, out) in out.iter_mut().enumerate() {
            let value = |x, y| self.value(x, y, channel);
            let upper = between(value(left, top), value(right, top), across);
            let lower = between(value(left, bottom), value(right, bottom), across);
            *out = between(upper, lower, down) as u8;
        }
    }
}
